"""A table that has shrunk since it was last read is held back, and says how to go on."""

from __future__ import annotations

import datetime as dt
import re

import pandas as pd
import pytest

from lem.errors import SourceError
from lem.lake import Lake
from lem.lineage.wholes import refuse_shrunk
from lem.sources.base import RawBars, Whole

NOW = dt.datetime(2024, 2, 1, tzinfo=dt.UTC)


def day(number):
    return dt.datetime(2024, 1, number, tzinfo=dt.UTC)


def answer(rows, first, last, source="/data/A.csv"):
    return RawBars(pd.DataFrame(), source, NOW, Whole(rows, day(first), day(last)))


@pytest.fixture
def lake(tmp_path):
    lake = Lake(str(tmp_path / "lake"))
    refuse_shrunk(lake, "small", "A", answer(20, 1, 20))
    return lake


@pytest.mark.parametrize("now", [(20, 1, 20), (21, 1, 21), (20, 2, 21), (15, 7, 21)])
def test_a_table_that_is_the_same_grows_or_rolls_on_passes(lake, now):
    refuse_shrunk(lake, "small", "A", answer(*now))


@pytest.mark.parametrize("now", [(10, 1, 10), (19, 1, 20), (19, 1, 21), (19, 2, 20), (25, 1, 19)])
def test_a_table_that_has_fewer_rows_or_ends_earlier_is_held_back_again_and_again(lake, now):
    for _ in range(2):
        with pytest.raises(SourceError, match=r"/data/A\.csv: the table has shrunk: 20 rows from .*2024-01-20 00:00"):
            refuse_shrunk(lake, "small", "A", answer(*now))


def test_deleting_what_the_error_names_takes_the_table_as_it_is(lake, tmp_path):
    with pytest.raises(SourceError) as error:
        refuse_shrunk(lake, "small", "A", answer(10, 1, 10))
    path = re.search(r"delete (\S+) and run again", str(error.value))[1]
    assert path.startswith(str(tmp_path))
    lake.remove(path.removeprefix(f"{tmp_path}/lake/"))
    refuse_shrunk(lake, "small", "A", answer(10, 1, 10))
    refuse_shrunk(lake, "small", "A", answer(11, 1, 11))


def test_another_table_or_none_is_not_compared(lake):
    refuse_shrunk(lake, "small", "A", answer(3, 1, 3, source="/elsewhere/A.csv"))
    refuse_shrunk(lake, "small", "A", RawBars(pd.DataFrame(), "simulated:7", NOW))
