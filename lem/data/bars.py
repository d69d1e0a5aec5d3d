"""Validated bars: the complete grid of a partition, or an error that lists every broken rule with its rows.

Nothing is invented. A bar that the venue did not make must lie in an outage that the universe lists: it is flagged and
has no values. Where the universe says that the venue makes no bar when nobody trades, it is one without trades at the
last close (`lem.data.untraded`). Rows of the source in a listed outage are dropped and counted, whatever they hold. A
bar without trades has no VWAP. An estimated VWAP is marked. Rules are tested on the source's bars; if those are shorter
than the universe's, they are aggregated afterwards.

Shapes: D = days, T = bars of their grids, N = numbers of a bar.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
import pyarrow as arrow
from numpy.typing import ArrayLike, NDArray

from lem.data.aggregate import aggregate
from lem.data.bar_rules import PlacedRows, failures, place_rows, refuse, refuse_faults, row_rules
from lem.data.untraded import split_neighbours
from lem.errors import BarsError
from lem.late import pa, pd
from lem.sources.base import NUMBERS, PRICES, RAW_DTYPES
from lem.universe import Universe
from lem.universe.calendars import bar_close, is_listed, outage_mask

FLAGS = ("ok", "no_trades", "outage")
VWAP_KINDS = ("exact", "estimated")

TABLE_SCHEMA = arrow.schema(
    [
        ("ts", arrow.timestamp("us", tz="UTC")),
        ("close_ts", arrow.timestamp("us", tz="UTC")),
        *((name, arrow.float64()) for name in (*NUMBERS, "vwap")),
        ("flag", arrow.string()),
        ("vwap_kind", arrow.string()),
    ]
)

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
        counts: in bars of the source's length: expected (bars of the grid), received (rows of the source), missing
            (expected bars without a row), outage (bars in a listed outage, each without values), in_outage (rows of
            the source in a listed outage, which were dropped), no_trades (with those of missing bars that count as
            bars without trades, see `source.absent`), duplicates (identical rows that were dropped).
    """

    table: pd.DataFrame
    counts: dict[str, int]


@cache
def bars_rules(several: bool = False) -> pa.DataFrameSchema:
    """Rules of the table: a row per expected bar; an outage has NaN in every number, a bar without trades in `vwap`.

    Args:
        several: of a table of several assets below each other, in which time begins again.
    """
    price = pa.Check.gt(0)
    in_time = pa.Check(lambda t: ~(t["ts"].diff() <= pd.Timedelta(0)), name="time strictly increasing")
    return pa.DataFrameSchema(
        {
            "ts": pa.Column("datetime64[us, UTC]"),
            "close_ts": pa.Column("datetime64[us, UTC]"),
            **{name: pa.Column(float, price, nullable=True) for name in PRICES},
            "volume": pa.Column(float, pa.Check.ge(0), nullable=True),
            "quote_volume": pa.Column(float, pa.Check.ge(0), nullable=True),
            "vwap": pa.Column(float, price, nullable=True),
            "flag": pa.Column("str", pa.Check.isin(FLAGS)),
            "vwap_kind": pa.Column("str", pa.Check.isin(VWAP_KINDS)),
        },
        strict=True,
        checks=[
            *([] if several else [in_time]),
            pa.Check(lambda t: t["close_ts"] > t["ts"], name="a bar closes after it opens"),
            pa.Check(lambda t: t["vwap"].notna() == (t["flag"] == "ok"), name="a VWAP exactly where flag is ok"),
            pa.Check(lambda t: t["close"].isna() == (t["flag"] == "outage"), name="no prices exactly in outages"),
        ],
    )


def check_bars(table: pd.DataFrame, where: str = "bars") -> pd.DataFrame:
    """Return the table if it keeps `bars_rules`.

    Args:
        table: the `bars` table.
        where: names the table in an error.

    Raises:
        BarsError: it does not; lists every broken rule with its rows.
    """
    found = failures(bars_rules(), table.reset_index(drop=True))
    refuse(
        where, {f"{check}": [f"{check}: row {row}" for row in part] for check, part in found.groupby("check")["row"]}
    )
    return table


def validate_bars(raw: pd.DataFrame, universe: Universe, symbol: str, date: dt.date) -> BarsResult:
    """Build the `bars` table of one partition from its raw rows.

    Args:
        raw: rows of `lem.sources.RAW_SCHEMA` whose bars open on `date` (UTC), in the source's order.
        universe: gives the grid, the outages and the bar length.
        symbol: of the asset.
        date: the partition.

    Returns:
        One row per expected bar of the universe's length; none on a holiday, and none on a day outside of the listing
        that the universe states. Rows of the source for such a day are counted as received and dropped.

    Raises:
        BarsError: a rule is broken; lists every broken rule with file and row, at most MAX_SHOWN rows of each.
        UniverseError: unknown symbol, or a date that the exchange's calendar does not know.
    """
    return validate_days({date: raw}, universe, symbol)[date]


def validate_days(raw: Mapping[dt.date, pd.DataFrame], universe: Universe, symbol: str) -> dict[dt.date, BarsResult]:
    """`validate_bars` for several days of one asset in one pass; its cost hardly depends on their number.

    Raises:
        BarsError: a day breaks a rule; tells of the first one.
        UniverseError: as for one day.
    """
    days, parts = sorted(raw), universe.bar_length // universe.source_bar_length
    source = universe.model_copy(update={"bar": universe.source_bar})
    listed = [raw[day] if is_listed(universe, symbol, day) else raw[day].iloc[:0] for day in days]
    listed, neighbours = split_neighbours(universe, listed, days)
    rows = pd.concat(listed, ignore_index=True)
    row_day = np.repeat(np.arange(len(days)), [len(part) for part in listed])
    inside = _in_outage(rows, source, symbol)
    dropped, dropped_day = rows["ts"][inside], row_day[inside]
    rows = rows[~inside].reset_index(drop=True)
    where = f"{universe.name}/{symbol}"
    failed = failures(rules_of_rows(universe), rows)
    for check in failed["check"][failed["row"].isna()]:
        raise BarsError(f"{where} {days[0]}: no table of raw bars: {check}; its columns: {', '.join(RAW_DTYPES)}")
    rows["day"] = row_day[~inside]
    placed = place_rows(rows, source, symbol, days, neighbours)
    refuse_faults(placed, failed, source, symbol)
    table = check_bars(_complete(placed, source), where)
    counts = _counts(placed, table) | {"in_outage": np.bincount(dropped_day, minlength=len(days))}
    there = placed.day_T[placed.absent_T & placed.ts.isin(pd.DatetimeIndex(dropped))]
    absent_D = np.bincount(placed.day_T[placed.absent_T], minlength=len(days))
    counts["missing"] = absent_D - np.bincount(there, minlength=len(days))
    if parts > 1:
        table = check_bars(aggregate(table, parts), where)
    end_D = np.cumsum(counts["expected"]) // parts
    start_D = end_D - counts["expected"] // parts
    out = {}
    for d, day in enumerate(days):
        part = table.iloc[start_D[d] : end_D[d]]
        part.index = pd.RangeIndex(len(part))
        out[day] = BarsResult(part, {name: int(n_D[d]) for name, n_D in counts.items()} | {"received": len(raw[day])})
    return out


def rules_of_rows(universe: Universe) -> pa.DataFrameSchema:
    """The rules that one raw row of a universe's source can break."""
    decimals = universe.source.capabilities.quote_decimals
    return row_rules(0.0 if decimals is None else 0.5 * 10.0**-decimals)


def _in_outage(rows: pd.DataFrame, universe: Universe, symbol: str) -> NDArray[np.bool_]:
    """True for rows that open in a listed outage; a table without times has none, and is refused by its own rule."""
    if not isinstance(rows.get("ts", pd.Series()).dtype, pd.DatetimeTZDtype):
        return np.zeros(len(rows), dtype=bool)
    return outage_mask(universe, symbol, pd.DatetimeIndex(rows["ts"]))


def _complete(placed: PlacedRows, universe: Universe) -> pd.DataFrame:
    """The `bars` table of all days."""
    numbers_TN = np.full((len(placed.ts), len(NUMBERS)), np.nan)
    numbers_TN[placed.place] = placed.bars[list(NUMBERS)].to_numpy(float)
    table = pd.DataFrame(numbers_TN, columns=list(NUMBERS))
    untraded_T = ~np.isnan(placed.last_close_T)
    table.loc[untraded_T, list(PRICES)] = placed.last_close_T[untraded_T, None]
    table.loc[untraded_T, "volume"] = 0.0
    table.insert(0, "ts", placed.ts)
    # A day without rows does not show whether its bars would have quote volume: it counts as exact.
    bars = placed.bars
    estimated_T = np.isin(placed.day_T, bars["day"][bars["quote_volume"].isna()])
    table.loc[untraded_T & ~estimated_T, "quote_volume"] = 0.0
    return bars_of(table, universe, estimated_T, placed.absent_T & ~untraded_T)


def bars_of(
    rows: pd.DataFrame, universe: Universe, estimated_T: NDArray[np.bool_], outage_T: NDArray[np.bool_]
) -> pd.DataFrame:
    """The `bars` table of complete rows.

    Args:
        rows: `ts` (open, UTC) and `NUMBERS` of each bar of the source's length.
        universe: with bars of that length.
        estimated_T: the bar is one of a day without quote volumes.
        outage_T: the bar lies in an outage.
    """
    table = rows[["ts", *NUMBERS]].copy()
    table.insert(1, "close_ts", bar_close(universe, pd.DatetimeIndex(table["ts"])))
    no_trades = table["volume"] == 0
    vwap = (table["quote_volume"] / table["volume"]).mask(estimated_T, table[["high", "low", "close"]].mean(axis=1))
    table["vwap"] = vwap.mask(no_trades)
    table["flag"] = np.select([outage_T, no_trades], ["outage", "no_trades"], "ok")
    table["vwap_kind"] = np.where(estimated_T, "estimated", "exact")
    return table.astype(BARS_DTYPES)


def _counts(placed: PlacedRows, table: pd.DataFrame) -> dict[str, NDArray[np.int64]]:
    """The counts of `BarsResult.counts` by day that the placed rows tell."""

    def by_day(day: ArrayLike) -> NDArray[np.int64]:
        return np.bincount(np.asarray(day), minlength=len(placed.days))

    return {
        "expected": by_day(placed.day_T),
        "outage": by_day(placed.day_T[placed.absent_T & np.isnan(placed.last_close_T)]),
        "no_trades": by_day(placed.day_T[table["volume"] == 0]),
        "duplicates": by_day(placed.rows["day"]) - by_day(placed.bars["day"]),
    }
