"""A small universe, a lake with a panel of each of its dates, and an empty registry."""

from __future__ import annotations

import datetime as dt

import pytest

from lem.data.panel import PANEL_SCHEMA, panel_table
from lem.lake import Lake
from lem.registry import Registry
from lem.universe.calendars import partition_dates
from tests.lem.builders import FEATURE_CONFIG, TINY, TINY_TRAINING, brownian_bars, features_of

DATE = dt.date(2024, 1, 14)


@pytest.fixture
def universe(make_universe):
    return make_universe(
        horizon=4,
        backtest={"min_bars": [1, 4]},
        model=TINY.model_dump(),
        training=TINY_TRAINING.model_dump(),
        features=FEATURE_CONFIG.model_dump(),
    )


@pytest.fixture
def lake(tmp_path, universe):
    """A panel of every date of the universe."""
    lake = Lake(f"memory://{tmp_path.name}")
    days = partition_dates(universe, universe.start, DATE)
    tables = {symbol: features_of(brownian_bars(len(days), i)) for i, symbol in enumerate(universe.symbols)}
    for date in days:
        rows = {s: t[t["ts"].dt.date == date] for s, t in tables.items()}
        lake.write_table(lake.path(universe.name, "panel", date), panel_table(rows), PANEL_SCHEMA)
    return lake


@pytest.fixture
def registry(tmp_path):
    return Registry(f"sqlite:///{tmp_path}/registry.db")
