"""The data behind a report: bars counted, days in quarantine, outages that the universe lists."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

import pandas as pd

from lem.lake import Lake
from lem.lineage.quarantine import quarantine_path, quarantined
from lem.lineage.tables import refuse_missing
from lem.reports.grids import LISTED_ROWS, Columns, Grid, grid_of
from lem.reports.inputs import COUNTED, OUTAGES, QUALITY, QUARANTINE, ReportInputs
from lem.reports.section import Section
from lem.reports.wording import count
from lem.universe import Universe


def data_quality(lake: Lake, universe: Universe, dates: list[dt.date]) -> pd.DataFrame:
    """Counts of bars, one row for each asset and date: columns `QUALITY`.

    All counts are of the source's bars, except `estimated_vwap`: the universe's bars whose VWAP is estimated.

    Raises:
        LakeError: a partition is missing or cannot be read.
    """
    rows, parts = [], universe.bar_length // universe.source_bar_length
    for table in ("raw_bars", "bars"):
        refuse_missing(lake, universe, table, dict.fromkeys(universe.symbols, dates))
    for symbol in universe.symbols:
        for date in dates:
            raw, bars = (
                lake.read_table(lake.path(universe.name, table, date, symbol)) for table in ("raw_bars", "bars")
            )
            once = raw.drop_duplicates("ts") if len(bars) else raw.iloc[:0]
            expected = len(bars) * parts
            rows.append(
                {
                    "asset": symbol,
                    "date": date,
                    "expected": expected,
                    "received": len(raw),
                    "missing": expected - len(once),
                    "outage": expected - len(once),
                    "no_trades": int((once["volume"] == 0).sum()),
                    "duplicates": len(raw) - len(once) if len(bars) else 0,
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
    """The three tables as they were read."""
    return {"quality": inputs.data_quality, "quarantine": inputs.quarantine, "outages": inputs.outages}


def grids(_: ReportInputs, __: pd.DataFrame, own: Mapping[str, pd.DataFrame]) -> dict[str, Grid]:
    """Counts of bars by asset, days on which bars were missing, days in quarantine, and outages listed.

    Their columns are those of `QUALITY`, `QUARANTINE` and `OUTAGES`.
    """
    quality = own["quality"].assign(date=own["quality"]["date"].astype(str).str[:10])
    gaps = quality[(quality[["missing", "outage", "duplicates"]] > 0).any(axis=1)]
    gaps = gaps.sort_values(["date", "asset"], ascending=[False, True])
    some = f" (the latest {LISTED_ROWS} of {len(gaps)})" if len(gaps) > LISTED_ROWS else ""
    bars: Columns = [(_named(name), name, count) for name in COUNTED]
    totals = quality.groupby("asset", sort=True)[QUALITY[2:]].sum().reset_index()
    return {
        "quality": grid_of("Bars by asset, all days together", totals, [("Asset", "asset", str), *bars]),
        "gaps": grid_of(
            f"Days with missing bars, outages or duplicates{some}",
            gaps.head(LISTED_ROWS),
            [("Asset", "asset", str), ("Day", "date", str), *bars],
        ),
        "quarantine": _words(
            "Days in quarantine: they broke a rule and are in no figure", QUARANTINE, own["quarantine"]
        ),
        "outages": _words("Outages that the universe lists, in these days", OUTAGES, own["outages"]),
    }


def _named(name: str) -> str:
    text = name.replace("_", " ").replace("vwap", "VWAP")
    return text[:1].upper() + text[1:]


def _words(caption: str, columns: list[str], part: pd.DataFrame) -> Grid:
    shown: Columns = [(_named(name), name, str) for name in columns]
    grid = grid_of(caption, part.head(LISTED_ROWS), shown)
    return Grid(grid.caption, grid.head, grid.rows, numeric=False)


SECTION = Section(
    "Data quality",
    reads=("data_quality", "quarantine", "outages"),
    rows={
        "quality": "bars of an asset and day counted",
        "quarantine": "a day that broke a rule",
        "outages": "a listed outage",
    },
    tables=stored,
    grids=grids,
)
