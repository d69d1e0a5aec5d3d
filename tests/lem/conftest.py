"""The tests of the library run on one CPU thread, as training does: its bits and its speed are those of use."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import pytest
import torch

from lem.sources import open_source
from lem.universe import Universe
from lem.universe.calendars import partition_window
from tests.lem.bar_problems import DATE

torch.set_num_threads(1)


@pytest.fixture
def raw(make_universe: Callable[..., Universe]) -> pd.DataFrame:
    """24 good hourly rows of DATE."""
    return open_source(make_universe(), "").fetch("AAA-USD", *partition_window(DATE)).table
