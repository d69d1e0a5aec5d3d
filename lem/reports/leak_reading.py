"""The leak panel of a champion, from the lake; made and stored there when it is not, or when its inputs changed."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pandas as pd

from lem.backtest.leaks import LEAK_SCHEMA, leak_panel
from lem.backtest.random_walk import ARRIVALS, ERRORS, NOTHING_SIGMA, WALKS
from lem.data.panel import Panel
from lem.lake import Lake, inputs_version
from lem.lineage.tables import read_range
from lem.lineage.versions import named
from lem.model.contender import load_contender
from lem.registry import ModelRecord
from lem.universe import Universe
from lem.universe.calendars import offset_partition
from lem.universe.windows import dates_before, warmup_days


def leaks_path(universe: str, model_id: str) -> str:
    """Where a model's leak panel lies in the lake."""
    return f"{universe}/leak_panel/model={model_id}.parquet"


def leaks_of(lake: Lake, universe: Universe, record: ModelRecord) -> pd.DataFrame:
    """The leak panel of a model, on the window that the gate judged it on: it was not trained on those bars.

    It is made once for each model, and again only where a panel of that window, the settings of its orders or those of
    the random-walk control changed. The window begins a purge after the end of the model's training, even if the
    universe's window is another one by now. Where nothing is left of the window, there are no rows.

    Raises:
        LakeError: a panel of the window is missing, or the model's weights are missing or were changed.
    """
    date = record.usable_on
    first = min(offset_partition(universe, record.train_end, universe.purge_days), date)
    warmup = offset_partition(universe, first, -warmup_days(universe))
    table, inputs = read_range(lake, universe, "panel", dates_before(universe, warmup, date))
    settings = {
        "horizon": universe.horizon,
        "backtest": universe.backtest.model_dump(mode="json", exclude={"report_days"}),
        "features": universe.features.model_dump(mode="json"),
        "random_walk": [WALKS, ARRIVALS, ERRORS, NOTHING_SIGMA],
    }
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
    made_from = named(inputs) | {"model": record.id, "settings": digest}
    path = leaks_path(universe.name, record.id)
    stored = lake.versions_of([path]).get(path)
    if stored and stored.inputs == inputs_version(made_from):
        return lake.read_table(path)
    model = load_contender(lake, record).model
    leaks = leak_panel(Panel.from_table(table), np.datetime64(first), universe, model)
    lake.write_table(path, leaks, LEAK_SCHEMA, made_from)
    return leaks
