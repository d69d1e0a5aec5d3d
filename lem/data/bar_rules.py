"""The rules for raw bars. Each is tested on all days of a batch at once; errors name day and row.

Shapes: T = bars of the days' grids.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd
import pandera.pandas as pa
from numpy.typing import NDArray

from lem.data.units import unit_problem
from lem.data.untraded import gap_hints, last_closes
from lem.errors import BarsError
from lem.sources.base import NUMBERS, PRICES, RAW_DTYPES
from lem.universe import Universe
from lem.universe.calendars import bar_close, expected_grid, is_session, outage_mask

VWAP_TOLERANCE = 1e-4
"""1 bp: every venue rounds quote volume and prices in its own way."""
VWAP_RULE = "low <= VWAP = quote volume / volume <= high (1 bp tolerance)"
MAX_SHOWN = 20


@cache
def row_rules(half_unit: float) -> pa.DataFrameSchema:
    """The rules that one raw row can break.

    Args:
        half_unit: half the unit that quote volume is rounded to.
    """

    def vwap_inside(t: pd.DataFrame) -> pd.Series:
        low = t["low"] * (1 - VWAP_TOLERANCE) * t["volume"] - half_unit
        high = t["high"] * (1 + VWAP_TOLERANCE) * t["volume"] + half_unit
        return t["quote_volume"].isna() | t["quote_volume"].between(low, high)

    def ordered(t: pd.DataFrame) -> pd.Series:
        ends = t[["open", "close"]]
        return (t["low"] <= ends.min(axis=1)) & (ends.max(axis=1) <= t["high"])

    # Rules on several numbers skip a row that lacks one, so that only the rule on finite numbers reports it.
    prices = list(PRICES)
    rules = {
        "prices are finite": lambda t: np.isfinite(t[prices]).all(axis=1),
        "price > 0": lambda t: ~(t[prices] <= 0).any(axis=1),
        "volume is finite and >= 0": lambda t: np.isfinite(t["volume"]) & (t["volume"] >= 0),
        "low <= min(open, close) <= max(open, close) <= high": lambda t: t[prices].isna().any(axis=1) | ordered(t),
        VWAP_RULE: lambda t: t[[*prices, "volume"]].isna().any(axis=1) | vwap_inside(t),
    }
    checks = [pa.Check(rule, name=name) for name, rule in rules.items()]
    columns = {name: pa.Column(dtype, nullable=name in NUMBERS) for name, dtype in RAW_DTYPES.items()}
    return pa.DataFrameSchema(columns, checks=checks, strict=True)


def failures(schema: pa.DataFrameSchema, table: pd.DataFrame) -> pd.DataFrame:
    """Broken rules as (check, row position or NaN), one line each."""
    try:
        schema.validate(table, lazy=True)
    except pa.errors.SchemaErrors as error:
        cases = error.failure_cases
        column = np.where(cases["schema_context"] == "Column", cases["column"].astype(str) + ": ", "")
        found = pd.DataFrame({"check": column + cases["check"].astype(str), "row": cases["index"]})
        return found.drop_duplicates(ignore_index=True)
    return pd.DataFrame({"check": [], "row": []})


def refuse(where: str, problems: list[str]) -> None:
    """Raise if there are problems.

    Args:
        where: names the table in the error.
        problems: one line each; may be empty.

    Raises:
        BarsError: there are; lists at most MAX_SHOWN of them.
    """
    if problems:
        more = [f"  and {len(problems) - MAX_SHOWN} more"] if len(problems) > MAX_SHOWN else []
        shown = [f"  {problem}" for problem in problems[:MAX_SHOWN]]
        raise BarsError("\n".join([f"{where}: {len(problems)} problem(s) in these bars", *shown, *more]))


@dataclass(frozen=True)
class PlacedRows:
    """Raw rows of several days of an asset, and the grid that they must fill.

    Args:
        days: the days in order.
        rows: all of their rows; their column `day` is a position in `days`.
        bars: the rows that have a time, without identical duplicates and without `conflicts`.
        conflicts: rows that give a bar of `bars` other numbers.
        place: position on the grid of each row of `bars`; -1 if its day has no such bar.
        ts: open of each bar of the grid, UTC.
        day_T: day of each bar of the grid, a position in `days`.
        absent_T: true for bars of the grid without a row.
        last_close_T: the last close before a bar without a row that counts as one without trades; NaN for all others.
    """

    days: list[dt.date]
    rows: pd.DataFrame
    bars: pd.DataFrame
    conflicts: pd.DataFrame
    place: NDArray[np.int64]
    ts: pd.DatetimeIndex
    day_T: NDArray[np.int64]
    absent_T: NDArray[np.bool_]
    last_close_T: NDArray[np.float64]


def place_rows(
    rows: pd.DataFrame, universe: Universe, symbol: str, days: list[dt.date], neighbours: Sequence[pd.DataFrame]
) -> PlacedRows:
    """Find the place of each row on the grid of its day.

    Args:
        rows: raw rows, with `day`, a position in `days`.
        universe: gives the grid.
        symbol: of the asset.
        days: the days in order.
        neighbours: rows of other days that came with each day's answer (`lem.data.untraded`).

    Raises:
        UniverseError: unknown symbol.
    """
    ts, day_T = expected_grid(universe, symbol, days)
    unique = rows[rows["ts"].notna()].drop_duplicates(["day", "ts", *NUMBERS])
    again = unique.duplicated(["day", "ts"])
    bars = unique[~again]
    found = ts.get_indexer(pd.DatetimeIndex(bars["ts"]))
    place = np.where(np.append(day_T, -1)[found] == bars["day"], found, -1)
    absent_T = np.ones(len(ts), dtype=bool)
    absent_T[place[place >= 0]] = False
    close_T = np.full(len(ts), np.nan)
    close_T[place[place >= 0]] = bars["close"].to_numpy(float)[place >= 0]
    last_close_T = last_closes(universe, symbol, ts, day_T, close_T, neighbours)
    return PlacedRows(days, rows, bars, unique[again], place, ts, day_T, absent_T, last_close_T)


def _place(row: pd.Series) -> str:
    return f"{row['source']}:{row['source_row']}"


def _place_and_values(row: pd.Series) -> str:
    return f"{_place(row)} ({', '.join(f'{name} {row[name]:.10g}' for name in NUMBERS)})"


def _grid_rule(universe: Universe, date: dt.date, grid: pd.DatetimeIndex) -> str:
    if not is_session(universe, date):
        return f"{date} is no session of {universe.calendar}: no bars are allowed"
    if len(grid) == 1:
        return f"allowed: {grid[0]:%Y-%m-%d %H:%M}"
    return f"allowed: {date} 00:00 and every {universe.bar} after it"


def _missing(universe: Universe, missing: pd.DatetimeIndex) -> list[str]:
    """Missing bars as ranges, each with the lines for the universe file that list it as an outage."""
    times = missing.to_series()
    problems = []
    for _, block in times.groupby((times.diff() != universe.bar_length).cumsum()):
        first, end = block.iloc[0], bar_close(universe, pd.DatetimeIndex(block.iloc[-1:]))[0]
        problems.append(
            f"missing bars: {len(block)} from {first:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC; where "
            "the venue never made them, list it in the universe file:\n"
            f"    [[outages]]\n    start = {first:%Y-%m-%dT%H:%M:%SZ}\n    end = {end:%Y-%m-%dT%H:%M:%SZ}\n"
            '    reason = "why there are none"'
        )
    return problems


def refuse_faults(placed: PlacedRows, failed: pd.DataFrame, universe: Universe, symbol: str) -> None:
    """Refuse days that break a rule.

    Args:
        placed: the rows and their grid.
        failed: the `failures` of the `row_rules`, with the row's position in `placed.rows`.
        universe: lists the outages.
        symbol: of the asset.

    Raises:
        BarsError: a day breaks a rule; lists all that is wrong with the first such day.
        UniverseError: the exchange's calendar does not reach to one of the days up to that one (or to any of the days
            if no rule is broken).
    """
    rows, bars, days = placed.rows, placed.bars, placed.days
    broken = rows.iloc[failed["row"].astype(int)].assign(check=failed["check"].to_numpy())
    quoted = rows["quote_volume"].notna()
    unquoted = rows[~quoted & rows["day"].isin(rows["day"][quoted])]
    back = bars[(bars["ts"].diff() < pd.Timedelta(0)) & (bars["day"].diff() == 0)]
    off_grid = bars[placed.place < 0]
    gap_T = placed.absent_T & np.isnan(placed.last_close_T)
    gap_T[gap_T] = ~outage_mask(universe, symbol, placed.ts[gap_T])
    faulty = [fault["day"].to_numpy() for fault in (broken, unquoted, placed.conflicts, back, off_grid)]
    faulty_days = np.concatenate([*faulty, placed.day_T[gap_T]])
    first = int(faulty_days.min(initial=len(days)))
    for day in days[: first + 1]:
        is_session(universe, day)
    if first == len(days):
        return
    grid_rule = _grid_rule(universe, days[first], placed.ts[placed.day_T == first])
    kept = bars[bars["day"] == first].set_index("ts")

    def told(fault: pd.DataFrame, text: Callable[[pd.Series], str]) -> Iterator[str]:
        return (text(row) for _, row in fault[fault["day"] == first].iterrows())

    unit = unit_problem(broken[(broken["day"] == first) & (broken["check"] == VWAP_RULE)])
    problems = [
        *([unit] if unit else []),
        *told(broken, lambda row: f"{row['check']}: {_place_and_values(row)}"),
        *told(unquoted, lambda row: f"quote volume is there for all bars or for none: {_place_and_values(row)}"),
        *told(
            placed.conflicts,
            lambda row: (
                f"conflicting duplicates of {row['ts']:%Y-%m-%d %H:%M}: {_place_and_values(kept.loc[row['ts']])} "
                f"and {_place_and_values(row)}; allowed: one bar, or identical rows"
            ),
        ),
        *told(
            back,
            lambda row: f"time strictly increasing: {_place(row)} ({row['ts']:%Y-%m-%d %H:%M} follows a later bar)",
        ),
        *told(
            off_grid,
            lambda row: f"bar open on the grid: {_place(row)} ({row['ts']:%Y-%m-%d %H:%M:%S.%f}); {grid_rule}",
        ),
        *gap_hints(universe, placed.ts[gap_T & (placed.day_T == first)]),
        *_missing(universe, placed.ts[gap_T & (placed.day_T == first)]),
    ]
    refuse(f"{universe.name}/{symbol} {days[first]}", problems)
