"""The data behind a report: bars counted, bars that are doubted, days in quarantine, outages that are listed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

import pandas as pd

from lem.lake import Lake
from lem.lineage.doubts import doubts_on
from lem.lineage.quarantine import quarantine_path, quarantined
from lem.lineage.tables import refuse_missing
from lem.reports.grids import LISTED_ROWS, Columns, Grid, grid_of
from lem.reports.inputs import COUNTED, DOUBTS, OUTAGES, QUALITY, QUARANTINE, ReportInputs
from lem.reports.section import Section
from lem.reports.wording import count
from lem.universe import Universe
from lem.universe.calendars import expected_grid, outage_mask


def data_quality(lake: Lake, universe: Universe, dates: list[dt.date]) -> pd.DataFrame:
    """Counts of bars, one row for each asset and date: columns `QUALITY`.

    All counts are of the source's bars, except `estimated_vwap`: the universe's bars whose VWAP is estimated.

    Raises:
        LakeError: a partition is missing or cannot be read.
    """
    rows, parts = [], universe.bar_length // universe.source_bar_length
    source = universe.model_copy(update={"bar": universe.source_bar})
    for table in ("raw_bars", "bars"):
        refuse_missing(lake, universe, table, dict.fromkeys(universe.symbols, dates))
    for symbol in universe.symbols:
        for date in dates:
            raw, bars = (
                lake.read_table(lake.path(universe.name, table, date, symbol)) for table in ("raw_bars", "bars")
            )
            inside = outage_mask(universe, symbol, pd.DatetimeIndex(raw["ts"]))
            kept = (raw[~inside] if len(bars) else raw.iloc[:0]).drop_duplicates("ts")
            expected, left_out = len(bars) * parts, raw["ts"][inside] if len(bars) else raw["ts"].iloc[:0]
            on_grid = expected_grid(source, symbol, [date])[0].isin(pd.DatetimeIndex(left_out))
            rows.append(
                {
                    "asset": symbol,
                    "date": date,
                    "expected": expected,
                    "received": len(raw),
                    "missing": expected - len(kept) - int(on_grid.sum()),
                    "outage": expected - len(kept),
                    "in_outage": len(left_out),
                    "no_trades": int((kept["volume"] == 0).sum()),
                    "duplicates": len(raw) - len(left_out) - len(kept) if len(bars) else 0,
                    "estimated_vwap": int((bars["vwap"].notna() & (bars["vwap_kind"] != "exact")).sum()),
                }
            )
    return pd.DataFrame(rows)


def days_in_quarantine(lake: Lake, universe: Universe, last: dt.date) -> pd.DataFrame:
    """Assets and dates up to `last` whose raw bars broke a rule, latest first, with the first line of what was wrong.

    Raises:
        LakeError: the lake cannot be read.
    """
    rows = []
    for asset, date in sorted(quarantined(lake, universe), key=lambda key: (key[1], key[0]), reverse=True):
        if date <= last:
            text = lake.read_bytes(quarantine_path(universe.name, date, asset)).decode()
            rows.append({"asset": asset, "date": str(date), "problem": text.strip().splitlines()[0]})
    return pd.DataFrame(rows, columns=QUARANTINE)


def doubted_bars(lake: Lake, universe: Universe, dates: list[dt.date]) -> pd.DataFrame:
    """What is doubted of these days (`lem.lineage.doubts`), latest first: columns `DOUBTS`.

    Raises:
        LakeError: the lake cannot be read.
    """
    rows = [
        {"asset": symbol, "date": str(date), "doubt": line}
        for symbol in universe.symbols
        for date, lines in doubts_on(lake, universe, symbol, sorted(dates)).items()
        for line in lines
    ]
    rows.sort(key=lambda row: row["date"], reverse=True)
    return pd.DataFrame(rows, columns=DOUBTS)


def listed_outages(universe: Universe, dates: list[dt.date]) -> pd.DataFrame:
    """The universe's outages that reach into these dates."""
    rows = [
        {
            "start": f"{outage.start:%Y-%m-%d %H:%M}",
            "end": f"{outage.end:%Y-%m-%d %H:%M}",
            "assets": ", ".join(outage.assets) if outage.assets else "all",
            "reason": outage.reason,
        }
        for outage in universe.outages
        if dates and outage.start.date() <= dates[-1] and outage.end.date() >= dates[0]
    ]
    return pd.DataFrame(rows, columns=OUTAGES)


def stored(inputs: ReportInputs, _: pd.DataFrame, __: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The four tables as they were read."""
    return {
        "quality": inputs.data_quality,
        "doubts": inputs.doubts,
        "quarantine": inputs.quarantine,
        "outages": inputs.outages,
    }


def grids(_: ReportInputs, __: pd.DataFrame, own: Mapping[str, pd.DataFrame]) -> dict[str, Grid]:
    """Counts of bars by asset, days on which bars were missing, doubts, days in quarantine, and outages listed.

    Their columns are those of `QUALITY`, `DOUBTS`, `QUARANTINE` and `OUTAGES`.
    """
    quality = own["quality"].assign(date=own["quality"]["date"].astype(str).str[:10])
    gaps = quality[(quality[["missing", "outage", "in_outage", "duplicates"]] > 0).any(axis=1)]
    gaps = gaps.sort_values(["date", "asset"], ascending=[False, True])
    bars: Columns = [(_named(name), name, count) for name in COUNTED]
    totals = quality.groupby("asset", sort=True)[QUALITY[2:]].sum().reset_index()
    return {
        "quality": grid_of("Bars by asset, all days together", totals, [("Asset", "asset", str), *bars]),
        "gaps": grid_of(
            f"Days with missing bars, outages or duplicates{_latest(gaps)}",
            gaps.head(LISTED_ROWS),
            [("Asset", "asset", str), ("Day", "date", str), *bars],
        ),
        "doubts": _words(f"Bars to look at{_latest(own['doubts'])}", DOUBTS, own["doubts"]),
        "quarantine": _words(
            "Days in quarantine: they broke a rule and are in no figure", QUARANTINE, own["quarantine"]
        ),
        "outages": _words("Outages that the universe lists, in these days", OUTAGES, own["outages"]),
    }


def _latest(rows: pd.DataFrame) -> str:
    return f" (the latest {LISTED_ROWS} of {len(rows)})" if len(rows) > LISTED_ROWS else ""


def _named(name: str) -> str:
    text = name.replace("_", " ").replace("vwap", "VWAP")
    return text[:1].upper() + text[1:]


def _words(caption: str, columns: list[str], part: pd.DataFrame) -> Grid:
    shown: Columns = [(_named(name), name, str) for name in columns]
    grid = grid_of(caption, part.head(LISTED_ROWS), shown)
    return Grid(grid.caption, grid.head, grid.rows, numeric=False)


SECTION = Section(
    "Data quality",
    reads=("data_quality", "doubts", "quarantine", "outages"),
    rows={
        "quality": "bars of an asset and day counted",
        "doubts": "a bar whose numbers are hardly possible together, or rows of the source in a listed outage",
        "quarantine": "a day that broke a rule",
        "outages": "a listed outage",
    },
    tables=stored,
    grids=grids,
)
