"""For notebooks: a universe's tables, its champions, orders run through any strategies, and two pictures.

Everything is read from the lake and the registry that the nightly runs write; nothing is written there.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import style
from matplotlib.figure import Figure

from lem.backtest.market import market_of
from lem.backtest.simulator import Executions, simulate
from lem.data.panel import Panel
from lem.errors import EvaluationError, RegistryError
from lem.execution.costs import BPS
from lem.execution.orders import SCENARIOS
from lem.execution.terms import terms_for
from lem.lake import Lake
from lem.lineage.stages import stage_named
from lem.lineage.tables import read_range
from lem.model.contender import Contender, load_contender
from lem.registry import Registry
from lem.reports.figures import SETTINGS, by_strategy, legend, marker_size, style_of
from lem.reports.wording import label
from lem.strategies.base import Setting, Strategy
from lem.strategies.learned import Learned
from lem.strategies.rules import make_rules
from lem.universe import load_universe
from lem.universe.calendars import check_partitions, partition_dates
from lem.universe.windows import execution_dates

Day = dt.date | str
"""A date, or one in ISO format (2024-03-29)."""


class Desk:
    """A universe with its lake and registry.

    Args:
        universe: its TOML file.
        home: folder of lake and registry (LEM_HOME of the commands).
        lake: URL of the lake, if it lies elsewhere.
        registry: URL of the registry, if it lies elsewhere.

    Raises:
        UniverseError: the file is wrong.
        LakeError: the lake cannot be reached.
        RegistryError: the registry cannot be reached.
    """

    def __init__(
        self,
        universe: str | PathLike[str],
        home: str | PathLike[str] = ".lem",
        lake: str | None = None,
        registry: str | None = None,
    ) -> None:
        self.universe = load_universe(universe)
        self.lake = Lake(lake or str(Path(home) / "lake"))
        self.registry = Registry(registry or f"sqlite:///{Path(home) / 'registry.sqlite'}", read_only=True)

    def table(self, name: str, first: Day, last: Day | None = None) -> pd.DataFrame:
        """A table of the lake, of all assets: one row for each bar, or of `backtest` for each order and strategy.

        Args:
            name: raw_bars, bars, features, panel or backtest. Tables by asset get a column `asset`.
            first: first partition date.
            last: last partition date, inclusive; if left out, `first`.

        Raises:
            LakeError: a partition is missing; the message has the command that makes it.
        """
        dates = self._dates(first, last)
        if not stage_named(name).per_asset:
            return read_range(self.lake, self.universe, name, dates)[0]
        parts = []
        for symbol in self.universe.symbols:
            part = read_range(self.lake, self.universe, name, dates, symbol)[0]
            parts.append(part.assign(asset=symbol))
        return pd.concat(parts, ignore_index=True)

    def champion(self, date: Day) -> Contender:
        """The champion of a date: `model` (a `LEM` in evaluation mode), `model_id`, `train_end`.

        Raises:
            RegistryError: no model trades on that date.
            LakeError: its weights are missing or were changed.
        """
        found = self.registry.champion_on(self.universe.name, _day(date))
        if found is None:
            raise RegistryError(f"{self.universe.name}: no model trades on {date}; allowed: dates with a champion")
        return load_contender(self.lake, found)

    def run(
        self, strategies: Sequence[Strategy] | None, first: Day, last: Day | None = None, min_bars: Sequence[int] = ()
    ) -> pd.DataFrame:
        """Execute orders before costs: every bar of the dates is an arrival, in all eight scenarios.

        Args:
            strategies: None for all rules and the champion of `first`. A `Learned` sees its own model's contexts; any
                object with a name and `decide` is a strategy (`lem.strategies.base`).
            first: first date of the arrivals.
            last: last date of the arrivals, inclusive; if left out, `first`.
            min_bars: values of m; if left out, those of the universe's backtest.

        Returns:
            One row per order and strategy: asset, arrival (UTC), side, benchmark, target, min_bars, strategy, gain_bps
            (side * (B - A) / B, positive is good), sigma_bps (per bar, at arrival), end_bar, and slices (shares of the
            order traded in bars 0 to N - 1). Orders over a gap are left out.

        Raises:
            LakeError: features of the dates, of the warm-up before or of the bars after them are missing.
            RegistryError: as for `champion`.
            OrderError: limits that no schedule satisfies.
            EvaluationError: no order without a gap arrives on these dates.
        """
        universe = self.universe
        if strategies is None:
            champion = self.champion(first).model
            setting = Setting.beside(champion, universe.horizon, universe.costs)
            strategies = [*make_rules(setting), Learned(champion)]
        dates = self._dates(first, last)
        read = sorted({day for date in dates for day in execution_dates(universe, date)})
        panel = Panel.from_table(self.table("features", read[0], read[-1]))
        arrives_T = np.isin(panel.date_T, np.array(dates, dtype="datetime64[D]"))
        asset_A, bar_A = np.nonzero(panel.accepted(universe.horizon) & arrives_T)
        if not len(bar_A):
            raise EvaluationError(f"{universe.name}: no order without a gap arrives from {dates[0]} to {dates[-1]}")
        limits = tuple(min_bars) or universe.backtest.min_bars
        terms = terms_for(limits, universe.horizon, universe.backtest.risk_aversion)
        frames = []
        for strategy in strategies:
            model = strategy.model if isinstance(strategy, Learned) else None
            market = market_of(panel, asset_A, bar_A, universe.horizon, model)
            done = simulate(strategy, market, terms)
            frames.append(_orders(panel, asset_A, bar_A, limits, done).assign(strategy=strategy.name))
        return pd.concat(frames, ignore_index=True)

    def _dates(self, first: Day, last: Day | None) -> list[dt.date]:
        start, end = _day(first), _day(last or first)
        if start > end:
            raise EvaluationError(f"{self.universe.name}: no partition from {start} to {end}; allowed: first <= last")
        check_partitions(self.universe, start, end)
        return partition_dates(self.universe, start, end)


def _day(date: Day) -> dt.date:
    return dt.date.fromisoformat(date) if isinstance(date, str) else date


def _orders(panel: Panel, asset_A: Any, bar_A: Any, limits: tuple[int, ...], done: Executions) -> pd.DataFrame:
    arrivals, per_arrival = len(bar_A), len(limits) * len(SCENARIOS)
    sigma_A = panel.sigma_NT[asset_A, bar_A - 1]
    return pd.DataFrame(
        {
            "asset": np.repeat(np.array(panel.assets)[asset_A], per_arrival),
            "arrival": pd.DatetimeIndex(np.repeat(panel.ts_T[bar_A], per_arrival)).tz_localize("UTC"),
            "side": np.tile([str(s.side) for s in SCENARIOS], arrivals * len(limits)),
            "benchmark": np.tile([str(s.benchmark) for s in SCENARIOS], arrivals * len(limits)),
            "target": np.tile([str(s.target) for s in SCENARIOS], arrivals * len(limits)),
            "min_bars": np.tile(np.repeat(limits, len(SCENARIOS)), arrivals),
            "gain_bps": done.gain_O.numpy().ravel() * BPS,
            "sigma_bps": np.repeat(sigma_A, per_arrival) * BPS,
            "end_bar": done.end_bar_O.numpy().ravel(),
            "slices": list(done.slices_KO.flatten(1).T.numpy()),
        }
    )


def plot_gains(orders: pd.DataFrame) -> Figure:
    """Mean gain of each strategy against m, in bps.

    Args:
        orders: from `Desk.run`.
    """
    return _lines(
        orders.groupby(["strategy", "min_bars"])["gain_bps"].mean().reset_index(),
        "min_bars",
        "gain_bps",
        "m, bars before the order may end",
        "mean gain, bps",
    )


def plot_schedule(orders: pd.DataFrame) -> Figure:
    """Mean share of an order that each strategy has traded by the end of each bar, in per cent.

    Args:
        orders: from `Desk.run`.
    """
    rows = []
    for name, part in orders.groupby("strategy"):
        done_K = np.stack(part["slices"].to_list()).cumsum(axis=1).mean(axis=0) * 100
        rows += [{"strategy": name, "bar": k + 1, "done": share} for k, share in enumerate(done_K)]
    return _lines(pd.DataFrame(rows), "bar", "done", "end of bar", "% of the order traded")


def _lines(table: pd.DataFrame, x: str, y: str, xlabel: str, ylabel: str) -> Figure:
    with style.context(["default", SETTINGS]):
        figure = Figure(figsize=(6.4, 4.2), dpi=110, layout="constrained")
        axes = figure.subplots()
        for place, (strategy, part) in enumerate(by_strategy(table)):
            colour, marker, dash = style_of(strategy, table["strategy"].unique())
            axes.plot(
                part[x],
                part[y],
                color=colour,
                marker=marker,
                linestyle=dash,
                markersize=marker_size(place),
                label=label(strategy),
            )
        axes.set(xlabel=xlabel, ylabel=ylabel)
        legend(figure)
        return figure
