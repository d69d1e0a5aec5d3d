"""The data behind a report: bars counted, days in quarantine, outages that the universe lists."""

from __future__ import annotations

import datetime as dt

import pandas as pd

from lem.lake import Lake
from lem.lineage.quarantine import quarantine_path, quarantined
from lem.lineage.tables import refuse_missing
from lem.reports.section_grids import OUTAGES, QUARANTINE
from lem.universe import Universe


def data_quality(lake: Lake, universe: Universe, dates: list[dt.date]) -> pd.DataFrame:
    """Counts of each asset and date, in the source's bars: expected, rows received, missing, in an outage, without
    trades, duplicates; and of the universe's bars those whose VWAP is estimated.

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
