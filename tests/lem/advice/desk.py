"""A desk of its own: a tiny universe with a champion that was not trained, in a folder, at any moment of a past day."""

from __future__ import annotations

import atexit
import datetime as dt
import shutil
import sqlite3
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from lem.advice.advisor import Advisor
from lem.advice.clock import ReplayClock
from lem.advice.order import ParentOrder, scenario
from lem.advice.store import AdviceStore
from lem.data.bars import validate_bars
from lem.data.features import compute_features
from lem.data.panel import Panel, panel_table
from lem.execution.orders import Order
from lem.lake import Lake
from lem.model.lem import LEM, weights_hash
from lem.registry import PromotionRecord, Registry
from lem.sources import open_source
from lem.sources.base import Source
from lem.training.manifest import model_record, weights_path
from lem.universe import Universe
from lem.universe.calendars import partition_window
from lem.universe.windows import execution_dates, history_dates, training_window
from tests.lem.builders import lively_model

DATE = dt.date(2024, 1, 18)
HOURLY: dict[str, Any] = {
    "bar": "1h",
    "horizon": 6,
    "training": {"window_days": 8, "holdout_days": 2, "steps": 3, "batch": 2, "sequence": 14},
}
"""Keys of the tiny universe that are other ones here."""
NOON = dt.datetime(2024, 1, 18, 12, tzinfo=dt.UTC)


WORDS = {"side": "buy", "benchmark": "vwap", "target": "quantity"}


class StoppedClock(ReplayClock):
    """Stands still until a test moves it."""

    def monotonic(self) -> float:
        return self._slept

    def set(self, now: dt.datetime) -> None:
        self._slept = (now - self._start).total_seconds()


@dataclass
class Desk:
    """Stores below a folder as the settings have them, and the model that trades there."""

    folder: Path
    universe: Universe
    model: LEM
    model_id: str
    url: str

    @property
    def lake(self) -> Lake:
        return Lake(str(self.folder / "home" / "lake"))

    def advisor(self, clock: ReplayClock, source: Source | None = None) -> Advisor:
        """A new one, as after a restart."""
        source = source or open_source(self.universe, "")
        return Advisor(self.universe, self.lake, Registry(self.url), AdviceStore(self.url), source, clock)


_MADE: dict[tuple[str, dt.date, int], tuple[Path, str]] = {}
"""Homes of desks that were made, and their models' ids: to migrate a registry takes longer than to copy it."""


def make_desk(folder: Path, universe: Universe, date: dt.date = DATE, seed: int = 3, url: str = "") -> Desk:
    """Register a model with random weights as the champion of `date`, in the database at `url` or in a file."""
    model = lively_model(universe.model, seed=seed, scale=1.0)
    key, home = (universe.model_dump_json(), date, seed), folder / "home"
    own = f"sqlite:///{home}/registry.sqlite"
    if url or (home / "registry.sqlite").exists():
        return Desk(folder, universe, model, _register(folder, universe, model, date, url or own), url or own)
    if key not in _MADE:
        whole = Path(tempfile.mkdtemp(prefix="desk"))
        atexit.register(shutil.rmtree, whole, ignore_errors=True)
        made = _register(whole, universe, model, date, f"sqlite:///{whole}/home/registry.sqlite")
        with sqlite3.connect(whole / "home" / "registry.sqlite") as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()
        _MADE[key] = whole, made
    whole, model_id = _MADE[key]
    shutil.copytree(whole / "home", home, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*-wal", "*-shm"))
    return Desk(folder, universe, model, model_id, own)


def _register(folder: Path, universe: Universe, model: LEM, date: dt.date, url: str) -> str:
    """The id of the model."""
    weights, lake = model.weights(), Lake(str(folder / "home" / "lake"))
    sha256 = weights_hash(weights)
    lake.write_bytes(weights_path(universe.name, sha256), weights)
    made = model_record(universe, date, training_window(universe, date), [], sha256)
    registry = Registry(url)
    registry.add_model(made)
    registry.record_promotion(PromotionRecord(universe.name, date, made.id, made.id, None, "promoted", ["made"]))
    return made.id


def buy(universe: Universe, key: str = "one", start: dt.datetime = NOON, **changes: Any) -> ParentOrder:
    """A buy of 100 AAA-USD against VWAP from `start` on, with anything replaced."""
    words = {name: changes.pop(name, value) for name, value in WORDS.items()}
    limits = {"min_bars": 1, "max_bars": universe.horizon, **changes}
    own = {"asset": limits.pop("asset", "AAA-USD"), "size": limits.pop("size", 100.0)}
    return ParentOrder(key, universe.name, own["asset"], Order(scenario(**words), **limits), own["size"], start)


_PANELS: dict[str, Panel] = {}


def panel_of(desk: Desk, symbol: str) -> Panel:
    """The features of the backtest of DATE, made once, of whole days as the night makes them."""
    if symbol not in _PANELS:
        _PANELS[symbol] = whole_days(desk, symbol)
    return _PANELS[symbol]


def whole_days(desk: Desk, symbol: str) -> Panel:
    universe, source = desk.universe, open_source(desk.universe, "")

    def bars(date: dt.date) -> pd.DataFrame:
        return validate_bars(source.fetch(symbol, *partition_window(date)).table, universe, symbol, date).table

    tables = []
    for date in execution_dates(universe, DATE):
        past = pd.concat([bars(d) for d in history_dates(universe, date)])
        tables.append(compute_features(past, bars(date), universe.features, universe.clock))
    return Panel.from_table(panel_table({symbol: pd.concat(tables, ignore_index=True)}))
