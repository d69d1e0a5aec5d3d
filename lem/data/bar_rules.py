"""The rules for raw bars. Each is tested on all days of a batch at once; errors name day and row.

Shapes: T = bars of the days' grids.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from lem.data.misplaced import repeated_in, told_of_bad, told_of_misplaced, told_of_missing, told_of_repeated
from lem.data.quick_rules import keeps
from lem.data.units import unit_problem
from lem.data.untraded import absent_hint, last_closes
from lem.errors import BarsError
from lem.late import pa, pd
from lem.sources.base import NUMBERS, PRICES, RAW_DTYPES
from lem.universe import Universe
from lem.universe.calendars import bar_close, expected_grid, is_session, outage_mask

VWAP_TOLERANCE = 1e-4
"""1 bp: every venue rounds quote volume and prices in its own way."""
VWAP_RULE = "low <= VWAP = quote volume / volume <= high (1 bp tolerance)"
_NONE: Mapping[str, str] = MappingProxyType({})
MAX_SHOWN = 5
"""Problems of one kind that an error lists."""
QUOTED_ALIKE = "quote volume is there for all bars or for none"


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
    if keeps(schema, table):
        return pd.DataFrame({"check": [], "row": []})
    try:
        schema.validate(table, lazy=True)
    except pa.errors.SchemaErrors as error:
        cases = error.failure_cases
        column = np.where(cases["schema_context"] == "Column", cases["column"].astype(str) + ": ", "")
        found = pd.DataFrame({"check": column + cases["check"].astype(str), "row": cases["index"]})
        return found.drop_duplicates(ignore_index=True)
    return pd.DataFrame({"check": [], "row": []})


def refuse(where: str, problems: Mapping[str, Sequence[str]], hints: Mapping[str, str] = _NONE) -> None:
    """Raise if there are problems.

    Args:
        where: names the table in the error.
        problems: a line for each, by their kind.
        hints: what is said of a kind as a whole, behind its lines.

    Raises:
        BarsError: there are; counts them by kind, and lists at most MAX_SHOWN of a kind.
    """
    problems = {kind: lines for kind, lines in problems.items() if lines}
    if not problems:
        return
    kinds = ", ".join(f"{len(lines)} x {kind}" for kind, lines in problems.items())
    told = [f"{where}: {sum(map(len, problems.values()))} problem(s) in these bars: {kinds}"]
    for kind, lines in problems.items():
        told += [f"  {line}" for line in lines[:MAX_SHOWN]]
        told += [f"  and {len(lines) - MAX_SHOWN} more of: {kind}"] if len(lines) > MAX_SHOWN else []
        told += [f"  {hints[kind]}"] if hints.get(kind) else []
    raise BarsError("\n".join(told))


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
    if universe.in_sessions:
        closes = bar_close(universe, grid[-1:])
        return f"allowed: {grid[0]:%Y-%m-%d %H:%M} and every {universe.bar} of the session, up to {closes[0]:%H:%M}"
    return f"allowed: {date} 00:00 and every {universe.bar} after it"


def _missing(
    universe: Universe, symbol: str, grid: pd.DatetimeIndex, missing: pd.DatetimeIndex, off_grid: pd.Series
) -> list[str]:
    """Missing bars as ranges, and what to do about each."""
    times = missing.to_series()
    blocks = times.groupby((times.diff() != universe.bar_length).cumsum())
    day = len(missing) == len(grid)
    return [told_of_missing(universe, symbol, pd.DatetimeIndex(block), off_grid, day) for _, block in blocks]


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

    def told(fault: pd.DataFrame, text: Callable[[pd.Series], str]) -> list[str]:
        return [text(row) for _, row in fault[fault["day"] == first].iterrows()]

    def by_rule() -> Iterator[tuple[str, list[str]]]:
        for check, part in broken.groupby("check", sort=False):
            yield str(check), told(part, lambda row: f"{row['check']}: {_place_and_values(row)}")

    beside = off_grid.loc[(off_grid["day"] == first) & (off_grid["ts"].dt.date == days[first]), "ts"]
    conflicts = placed.conflicts[placed.conflicts["day"] == first]
    missing = placed.ts[gap_T & (placed.day_T == first)]
    twice = repeated_in(pd.DatetimeIndex(conflicts["ts"]))
    problems = dict(by_rule()) | {
        QUOTED_ALIKE: told(unquoted, lambda row: f"{QUOTED_ALIKE}: {_place_and_values(row)}"),
        "conflicting duplicates": told(
            placed.conflicts,
            lambda row: (
                f"conflicting duplicates of {row['ts']:%Y-%m-%d %H:%M}: {_place_and_values(kept.loc[row['ts']])} "
                f"and {_place_and_values(row)}; allowed: one bar, or identical rows"
            ),
        ),
        "time strictly increasing": told(
            back,
            lambda row: f"time strictly increasing: {_place(row)} ({row['ts']:%Y-%m-%d %H:%M} follows a later bar)",
        ),
        "bar open on the grid": told(
            off_grid,
            lambda row: f"bar open on the grid: {_place(row)} ({row['ts']:%Y-%m-%d %H:%M:%S.%f}); {grid_rule}",
        ),
        "missing bars": _missing(universe, symbol, placed.ts[placed.day_T == first], missing, beside),
    }
    count = int((bars["day"] == first).sum())
    hints = {
        str(check): told_of_bad(universe, symbol, pd.DatetimeIndex(part["ts"].dropna()), count)
        for check, part in broken[broken["day"] == first].groupby("check")
    }
    hints["conflicting duplicates"] = (
        told_of_repeated(universe, twice)
        if twice
        else told_of_bad(universe, symbol, pd.DatetimeIndex(conflicts["ts"]), count)
    )
    if unit := unit_problem(broken[(broken["day"] == first) & (broken["check"] == VWAP_RULE)]):
        hints[VWAP_RULE] = unit
    hints["missing bars"] = absent_hint(universe, missing)
    if is_session(universe, days[first]):
        hints["bar open on the grid"] = told_of_misplaced(universe, symbol, beside, missing, count)
    refuse(f"{universe.name}/{symbol} {days[first]}", problems, hints)
