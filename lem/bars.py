"""Validated bars: the complete grid of a partition, or an error that lists every broken rule with its rows.

Nothing is invented: a bar that the venue did not make is there only where the universe lists an outage,
flagged and without values; a bar without trades has no VWAP; a VWAP that had to be estimated says so.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd
import pandera.pandas as pa
import pyarrow as arrow

from lem.calendars import bar_close, expected_bars, is_listed, is_session, outage_mask
from lem.errors import BarsError
from lem.sources.base import NUMBERS, PRICES, RAW_DTYPES
from lem.universe import Universe

FLAGS = ("ok", "no_trades", "outage")
VWAP_KINDS = ("exact", "estimated")
VWAP_TOLERANCE = 1e-4
"""1 bp: venues round quote volume, and prices, each in their own way."""
MAX_SHOWN = 20

TABLE_SCHEMA = arrow.schema(
    [
        ("ts", arrow.timestamp("us", tz="UTC")),
        ("close_ts", arrow.timestamp("us", tz="UTC")),
        *((name, arrow.float64()) for name in (*NUMBERS, "vwap")),
        ("flag", arrow.string()),
        ("vwap_kind", arrow.string()),
    ]
)

_PRICE = pa.Check.gt(0)
BARS_SCHEMA = pa.DataFrameSchema(
    {
        "ts": pa.Column("datetime64[us, UTC]"),
        "close_ts": pa.Column("datetime64[us, UTC]"),
        **{name: pa.Column(float, _PRICE, nullable=True) for name in PRICES},
        "volume": pa.Column(float, pa.Check.ge(0), nullable=True),
        "quote_volume": pa.Column(float, pa.Check.ge(0), nullable=True),
        "vwap": pa.Column(float, _PRICE, nullable=True),
        "flag": pa.Column("str", pa.Check.isin(FLAGS)),
        "vwap_kind": pa.Column("str", pa.Check.isin(VWAP_KINDS)),
    },
    strict=True,
    checks=[
        pa.Check(lambda t: ~(t["ts"].diff() <= pd.Timedelta(0)), name="time strictly increasing"),
        pa.Check(lambda t: t["close_ts"] > t["ts"], name="a bar closes after it opens"),
        pa.Check(lambda t: t["vwap"].notna() == (t["flag"] == "ok"), name="a VWAP exactly where flag is ok"),
        pa.Check(lambda t: t["close"].isna() == (t["flag"] == "outage"), name="no prices exactly in outages"),
    ],
)
"""One row per expected bar. An outage has NaN in every number, a bar without trades in `vwap`."""

BARS_DTYPES = {
    **dict.fromkeys(("ts", "close_ts"), "datetime64[us, UTC]"),
    **dict.fromkeys((*NUMBERS, "vwap"), "float64"),
    **dict.fromkeys(("flag", "vwap_kind"), "str"),
}


@dataclass(frozen=True)
class BarsResult:
    """A validated partition.

    Args:
        table: the `bars` table (`TABLE_SCHEMA`).
        counts: expected (bars of the grid), received (rows of the source), missing (expected without a row),
            outage (missing and listed: all of them), no_trades, duplicates (identical rows that collapsed).
    """

    table: pd.DataFrame
    counts: dict[str, int]


@cache
def _row_rules(half_unit: float) -> pa.DataFrameSchema:
    """The rules that one raw row can break. half_unit: half the unit that quote volume is rounded to."""

    def vwap_inside(t: pd.DataFrame) -> pd.Series:
        low = t["low"] * (1 - VWAP_TOLERANCE) * t["volume"] - half_unit
        high = t["high"] * (1 + VWAP_TOLERANCE) * t["volume"] + half_unit
        return t["quote_volume"].isna() | t["quote_volume"].between(low, high)

    def ordered(t: pd.DataFrame) -> pd.Series:
        ends = t[["open", "close"]]
        return (t["low"] <= ends.min(axis=1)) & (ends.max(axis=1) <= t["high"])

    # Rules on several numbers skip a row that lacks one: the rule on finite numbers reports it, once.
    prices = list(PRICES)
    rules = {
        "prices are finite": lambda t: np.isfinite(t[prices]).all(axis=1),
        "price > 0": lambda t: ~(t[prices] <= 0).any(axis=1),
        "volume is finite and >= 0": lambda t: np.isfinite(t["volume"]) & (t["volume"] >= 0),
        "low <= min(open, close) <= max(open, close) <= high": lambda t: t[prices].isna().any(axis=1) | ordered(t),
        "low <= VWAP = quote volume / volume <= high (1 bp tolerance)": lambda t: (
            t[[*prices, "volume"]].isna().any(axis=1) | vwap_inside(t)
        ),
    }
    checks = [pa.Check(rule, name=name) for name, rule in rules.items()]
    columns = {name: pa.Column(dtype, nullable=name in NUMBERS) for name, dtype in RAW_DTYPES.items()}
    return pa.DataFrameSchema(columns, checks=checks, strict=True)


def _failures(schema: pa.DataFrameSchema, table: pd.DataFrame) -> pd.DataFrame:
    """Broken rules as (check, row position or NaN), one line each."""
    try:
        schema.validate(table, lazy=True)
    except pa.errors.SchemaErrors as error:
        cases = error.failure_cases
        column = np.where(cases["schema_context"] == "Column", cases["column"].astype(str) + ": ", "")
        found = pd.DataFrame({"check": column + cases["check"].astype(str), "row": cases["index"]})
        return found.drop_duplicates(ignore_index=True)
    return pd.DataFrame({"check": [], "row": []})


def _raise(where: str, problems: list[str]) -> None:
    if problems:
        more = [f"  and {len(problems) - MAX_SHOWN} more"] if len(problems) > MAX_SHOWN else []
        shown = [f"  {problem}" for problem in problems[:MAX_SHOWN]]
        raise BarsError("\n".join([f"{where}: {len(problems)} problem(s) in these bars", *shown, *more]))


def check_bars(table: pd.DataFrame, where: str = "bars") -> pd.DataFrame:
    """Return the table if it keeps `BARS_SCHEMA`.

    Raises:
        BarsError: lists every broken rule with its rows.
    """
    found = _failures(BARS_SCHEMA, table.reset_index(drop=True))
    _raise(where, [f"{check}: row {row}" for check, row in zip(found["check"], found["row"], strict=True)])
    return table


def _place(row: pd.Series) -> str:
    return f"{row['source']}:{row['source_row']}"


def _values(row: pd.Series) -> str:
    return ", ".join(f"{name} {row[name]:.10g}" for name in NUMBERS)


def _grid_rule(universe: Universe, symbol: str, date: dt.date, grid: pd.DatetimeIndex) -> str:
    if not is_session(universe, date):
        return f"{date} is no session of {universe.calendar}: no bars are allowed"
    if len(grid) == 1:
        return f"allowed: {grid[0]:%Y-%m-%d %H:%M}"
    return f"allowed: {date} 00:00 and every {universe.bar} after it"


def _collapse(raw: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """The raw rows without identical duplicates, and what is wrong with the other ones."""
    unique = raw.drop_duplicates(["ts", *NUMBERS])
    again = unique[unique["ts"].duplicated()]
    first = unique.drop_duplicates("ts").set_index("ts")
    problems = []
    for _, row in again.iterrows():
        other = first.loc[row["ts"]]
        problems.append(
            f"conflicting duplicates of {row['ts']:%Y-%m-%d %H:%M}: {_place(other)} ({_values(other)}) "
            f"and {_place(row)} ({_values(row)}); allowed: one bar, or identical rows"
        )
    return unique.drop_duplicates("ts"), problems


def _missing(universe: Universe, missing: pd.DatetimeIndex) -> list[str]:
    """Bars that are not there, as ranges, with the lines that list each as an outage."""
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


def validate_bars(raw: pd.DataFrame, universe: Universe, symbol: str, date: dt.date) -> BarsResult:
    """Build the `bars` table of one partition from its raw rows.

    Args:
        raw: rows of `lem.sources.RAW_SCHEMA` whose bars open on `date` (UTC), in the source's order.

    Returns:
        One row per expected bar; none on a holiday, and none outside of the listing that the universe states:
        what the source has for an unlisted day counts as received and goes no further.

    Raises:
        BarsError: lists every broken rule with file and row, at most MAX_SHOWN of them.
        UniverseError: unknown symbol, or a date that the exchange's calendar does not know.
    """
    return validate_days({date: raw}, universe, symbol)[date]


def validate_days(raw: Mapping[dt.date, pd.DataFrame], universe: Universe, symbol: str) -> dict[dt.date, BarsResult]:
    """`validate_bars` for several days of one asset, with one pass of the schemas, whose cost is by the pass.

    Raises:
        BarsError: of the first day that breaks a rule; UniverseError as for one day.
    """
    days = sorted(raw)
    listed = {day: raw[day] if is_listed(universe, symbol, day) else raw[day].iloc[:0] for day in days}
    half_unit = 0.5 * 10.0**-universe.source.quote_decimals if universe.source.kind == "files" else 0.0
    whole = pd.concat(listed, names=["day", None])
    where = f"{universe.name}/{symbol}"
    broken: dict[dt.date, list[str]] = {day: [] for day in days}
    for _, (check, position) in _failures(_row_rules(half_unit), whole.reset_index(drop=True)).iterrows():
        if pd.isna(position):
            raise BarsError(f"{where} {days[0]}: no table of raw bars: {check}; its columns: {', '.join(RAW_DTYPES)}")
        row = whole.iloc[int(position)]
        broken[whole.index[int(position)][0]].append(f"{check}: {_place(row)} ({_values(row)})")
    out = {}
    for day in days:
        table, counts = _complete_day(listed[day].reset_index(drop=True), broken[day], universe, symbol, day)
        out[day] = BarsResult(table, counts | {"received": len(raw[day])})
    check_bars(pd.concat([result.table for result in out.values()], ignore_index=True), where)
    return out


def _complete_day(
    raw: pd.DataFrame, problems: list[str], universe: Universe, symbol: str, date: dt.date
) -> tuple[pd.DataFrame, dict[str, int]]:
    """The day's complete grid and its counts, or a BarsError with the row rules' `problems` and those of the grid."""
    where = f"{universe.name}/{symbol} {date}"
    grid = expected_bars(universe, symbol, date)
    problems = list(problems)
    quoted = raw["quote_volume"].notna()
    if quoted.any():
        problems += [
            f"quote volume is there for all bars or for none: {_place(row)} ({_values(row)})"
            for _, row in raw[~quoted].iterrows()
        ]

    bars, conflicts = _collapse(raw[raw["ts"].notna()])
    problems += conflicts
    back = bars["ts"].diff() < pd.Timedelta(0)
    problems += [
        f"time strictly increasing: {_place(row)} ({row['ts']:%Y-%m-%d %H:%M} follows a later bar)"
        for _, row in bars[back].iterrows()
    ]
    off_grid = ~bars["ts"].isin(grid)
    rule = _grid_rule(universe, symbol, date, grid)
    problems += [
        f"bar open on the grid: {_place(row)} ({row['ts']:%Y-%m-%d %H:%M:%S.%f}); {rule}"
        for _, row in bars[off_grid].iterrows()
    ]
    absent = grid.difference(pd.DatetimeIndex(bars["ts"]))
    outage = outage_mask(universe, symbol, absent)
    problems += _missing(universe, absent[~outage])
    _raise(where, problems)

    table = bars.set_index("ts")[list(NUMBERS)].reindex(grid).rename_axis("ts").reset_index()
    table.insert(1, "close_ts", bar_close(universe, grid))
    exact = bool(bars["quote_volume"].notna().any()) or bars.empty
    no_trades = table["volume"] == 0
    vwap = table["quote_volume"] / table["volume"] if exact else table[["high", "low", "close"]].mean(axis=1)
    table["vwap"] = vwap.mask(no_trades)
    table["flag"] = np.select([grid.isin(absent), no_trades], ["outage", "no_trades"], "ok")
    table["vwap_kind"] = "exact" if exact else "estimated"
    counts = {
        "expected": len(grid),
        "missing": len(absent),
        "outage": len(absent),
        "no_trades": int(no_trades.sum()),
        "duplicates": len(raw) - len(bars),
    }
    return table.astype(BARS_DTYPES), counts
