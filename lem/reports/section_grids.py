"""The tables of single sections: groups, model history, drift, leak panel, replays and data quality."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from lem.backtest.leaks import SHIFTS
from lem.reports import tables
from lem.reports.grids import COUNTED, INTERVAL, LISTED_ROWS, QUALITY, Columns, Grid, grid_of
from lem.reports.groups import TITLES, group_rank, levels_shown
from lem.reports.headline import row_interval, verdict
from lem.reports.wording import count, number, percent, with_interval

DRIFT = ["reading", "name", "value", "low", "high", "usual", "threshold", "verdict"]
HISTORY = ["model_id", "first", "last", "days", "orders", "mean_bps", "low_bps", "high_bps"]
HISTORY += ["minus_optimal_stopping_bps", "trained_to", "promoted"]
QUARANTINE = ["asset", "date", "problem"]
OUTAGES = ["start", "end", "assets", "reason"]
MODEL_ID = 8
"""Characters of a model's id that tables show."""


def short(model_id: Any) -> str:
    """A model's id as tables show it."""
    return str(model_id)[:MODEL_ID] if model_id and not _missing(model_id) else "none"


def _missing(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


def optional(value: Any) -> str:
    """A number that may be missing."""
    return "" if value is None or _missing(value) else number(value)


def group_grids(table: pd.DataFrame) -> dict[str, Grid]:
    """One table for each level that tells something (`by_NAME`): the model before and after costs, and its paired
    difference to optimal stopping."""
    grids = {}
    for level in levels_shown(table):
        own = table[(table["level"] == level) & (table["strategy"] == tables.MODEL)]
        groups = sorted(own["group"].unique(), key=lambda group: group_rank(level, group))
        rows = []
        for group in groups:
            part = own[own["group"] == group]
            off, on, gap = (_one(part, *key) for key in (("off", ""), ("on", ""), ("off", tables.RIVALS[0])))
            if off is None or on is None:
                continue
            name = short(group) if level == "model" else group
            cells = [name, with_interval(off), with_interval(on), "" if gap is None else _difference(gap)]
            rows.append([*cells, count(off["orders"]), count(off["blocks"])])
        head = [TITLES[level].split()[1].rstrip(",").capitalize(), "Model before costs", "Model after costs"]
        grids[f"by_{level}"] = Grid(
            f"{TITLES[level]}: mean gain in {INTERVAL}",
            [*head, "Model minus optimal stopping", "Orders", "Blocks"],
            rows,
        )
    return grids


def _one(part: pd.DataFrame, costs: str, against: str) -> dict[Any, Any] | None:
    found = part[(part["costs"] == costs) & (part["against"] == against)].to_dict("records")
    return found[0] if found else None


def _difference(row: Mapping[Any, Any]) -> str:
    gap = row_interval(row)
    said = verdict(gap)
    return (
        f"{with_interval(row)}\n{'unclear' if said == 'not distinguishable' else said}"
        if gap.known
        else with_interval(row)
    )


def history_table(
    orders: pd.DataFrame, table: pd.DataFrame, gate: pd.DataFrame, trained: Mapping[str, str]
) -> pd.DataFrame:
    """The models that traded, by first day: `HISTORY`; promoted: the date of the decision that made it champion.

    Args:
        trained: the date that a model's training ended before, by id.
    """
    traded, rows = tables.model_table(orders), []
    own = table[(table["level"] == "model") & (table["strategy"] == tables.MODEL) & (table["costs"] == "off")]
    for model in traded.to_dict("records"):
        part = own[own["group"] == model["model_id"]]
        gain, gap = _one(part, "off", ""), _one(part, "off", tables.RIVALS[0])
        decided = gate.loc[(gate["champion_id"] == model["model_id"]) & (gate["decision"] == "promoted"), "date"]
        rows.append(
            model
            | {name: math.nan if gain is None else gain[name] for name in ("mean_bps", "low_bps", "high_bps")}
            | {
                "minus_optimal_stopping_bps": math.nan if gap is None else gap["mean_bps"],
                "trained_to": trained.get(model["model_id"], ""),
                "promoted": decided.min() if len(decided) else "",
            }
        )
    return pd.DataFrame(rows, columns=HISTORY)


def history_grid(history: pd.DataFrame) -> Grid:
    """The models that traded, and what each gained."""
    columns: Columns = [
        ("Model", "model_id", short),
        ("Promoted", "promoted", str),
        ("Trained to", "trained_to", str),
        ("First day", "first", str),
        ("Last day", "last", str),
        ("Days", "days", count),
        ("Orders", "orders", count),
        ("Mean gain, bps", "gain", str),
        ("Minus optimal stopping, bps", "minus_optimal_stopping_bps", optional),
    ]
    gains = [with_interval(row) for row in history.to_dict("records")]
    return grid_of("Models that executed these orders", history.assign(gain=gains), columns)


def drift_grids(drift: pd.DataFrame) -> dict[str, Grid]:
    """Readings of gains and age, and of each feature."""
    inputs = drift[drift["reading"] == "input"]
    others = drift[drift["reading"] != "input"]
    features: Columns = [
        ("Feature", "name", str),
        ("Index", "value", lambda value: number(value, 2)),
        ("Usual, up to", "usual", lambda value: number(value, 2)),
        ("Threshold", "threshold", lambda value: number(value, 2)),
        ("Reading", "verdict", str),
    ]
    return {
        "drift": grid_of(
            "Gains and age",
            others.assign(
                shown=[
                    with_interval(r | _bps(r)) if r["reading"] == "gain" else optional(r["value"])
                    for r in others.to_dict("records")
                ]
            ),
            [
                ("What", "name", str),
                ("Value", "shown", str),
                ("Threshold", "threshold", optional),
                ("Reading", "verdict", str),
            ],
        ),
        "drift_inputs": grid_of("Inputs: population stability index of each feature", inputs, features),
    }


def _bps(row: Mapping[Any, Any]) -> dict[str, Any]:
    return {"mean_bps": row["value"], "low_bps": row["low"], "high_bps": row["high"]}


def leak_grids(leaks: pd.DataFrame) -> dict[str, Grid]:
    """The leak panel: the driftless market by m, and real bars by what the model sees."""
    plain = leaks[leaks["market"] == "driftless"]
    columns: Columns = [
        ("m", "min_bars", str),
        ("Mean gain, sigma", "gain", str),
        ("Bound, sigma", "bound", lambda value: number(value, 3)),
        ("Verdict", "verdict", str),
        ("Orders", "orders", count),
        ("Assets", "blocks", count),
    ]
    gains = [_sigma(row) for row in plain.to_dict("records")]
    real = leaks[leaks["market"] == "real"]
    limits = sorted(real["min_bars"].unique())
    rows = []
    for against in ("", next(iter(SHIFTS))):
        for sees in dict.fromkeys(real.loc[real["against"] == against, "sees"]):
            part = real[(real["sees"] == sees) & (real["against"] == against)].set_index("min_bars")
            name = f"{sees}, minus as it trades" if against else sees
            cells = [with_interval(_bps_of(part.loc[m])) for m in limits]
            rows.append([name[:1].upper() + name[1:], *cells])
    rules = [len(SHIFTS)] if len(rows) > len(SHIFTS) else []
    return {
        "leaks_driftless": grid_of(
            "Driftless market: gain of the gate’s simulated orders", plain.assign(gain=gains), columns
        ),
        "leaks_real": Grid(
            f"Real bars: mean gain by m before costs, {INTERVAL}",
            ["What the model sees, m =", *map(str, limits)],
            rows,
            rules=rules,
        ),
    }


def _sigma(row: Mapping[Any, Any]) -> str:
    if math.isnan(row["low"]):
        return f"{number(row['mean'], 3)}\nno interval"
    return f"{number(row['mean'], 3)}\n{number(row['low'], 3)} to {number(row['high'], 3)}"


def _bps_of(row: pd.Series) -> dict[str, Any]:
    return {"mean_bps": row["mean"], "low_bps": row["low"], "high_bps": row["high"]}


def replay_grid(replays: pd.DataFrame) -> Grid:
    """The replayed orders bar by bar."""
    groups, rows = dict[int, str](), list[list[str]]()
    for which, part in replays.groupby("which", sort=False):
        groups[len(rows)] = f"The {which} order"
        for row in part.to_dict("records"):
            shown = [f"{row[name]:.6g}" for name in ("price", "benchmark_price")]
            rows.append(
                [str(row["bar"]), f"{row['ts']:%Y-%m-%d %H:%M}", *shown, percent(row["slice"]), percent(row["done"])]
            )
    head = ["Bar", "Opens (UTC)", "Price", "Benchmark so far", "Slice", "Traded so far"]
    return Grid("Replayed orders, bar by bar", head, rows, groups=groups)


def quality_grids(data_quality: pd.DataFrame, quarantine: pd.DataFrame, outages: pd.DataFrame) -> dict[str, Grid]:
    """Counts of bars by asset, the days on which something was missing (columns: `QUALITY`), days in quarantine
    (`QUARANTINE`), and the outages that the universe lists (`OUTAGES`)."""
    quality = data_quality.assign(date=data_quality["date"].astype(str).str[:10])
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
        "quarantine": _words("Days in quarantine: they broke a rule and are in no figure", QUARANTINE, quarantine),
        "outages": _words("Outages that the universe lists, in these days", OUTAGES, outages),
    }


def _named(name: str) -> str:
    text = name.replace("_", " ").replace("vwap", "VWAP")
    return text[:1].upper() + text[1:]


def _words(caption: str, columns: list[str], part: pd.DataFrame) -> Grid:
    shown: Columns = [(_named(name), name, str) for name in columns]
    grid = grid_of(caption, part.head(LISTED_ROWS), shown)
    return Grid(grid.caption, grid.head, grid.rows, numeric=False)
