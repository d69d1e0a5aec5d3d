"""The execution report: one HTML file that needs nothing else, with its numbers as JSON and as a table beside
it.

The same inputs give the same bytes: there is no clock here, orders are sorted first, and the bootstrap has a
fixed seed.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pandas as pd

from lem.backtest.bootstrap import MIN_BLOCKS, EvaluationError
from lem.reports import plots, tables
from lem.reports.plots import Picture, label

QUALITY = ["asset", "date", "expected", "received", "missing", "outage", "no_trades", "duplicates"]
CURVE = ["step", "loss", "gain_sigma", "learning_rate"]
LISTED_ROWS = 60
ROUGH_BLOCKS = 15
"""Fewer blocks than this, and the report warns that the intervals are rough."""


@dataclass(frozen=True)
class ReportInputs:
    """What a report is made of.

    date: the report's partition. horizon: N in bars of length `bar` ("1h", "1d", ...). orders: the backtest's
    rows with `asset` and `date` (columns: `tables.COLUMNS`). promotions: dicts with date, decision,
    champion_id, candidate_id, reasons (list of str), figures (dict). champion_manifest, training_curve
    (columns `CURVE`): None without a model. data_quality: one row per asset and day (columns `QUALITY`).
    bootstrap: resamples.
    """

    universe: str
    date: dt.date
    description: str
    horizon: int
    bar: str
    orders: pd.DataFrame
    promotions: Sequence[Mapping[str, Any]]
    champion_manifest: Mapping[str, Any] | None
    training_curve: pd.DataFrame | None
    data_quality: pd.DataFrame
    versions: Mapping[str, str]
    bootstrap: int = 2000
    seed: int = 0


@dataclass(frozen=True)
class Report:
    """html: the page. summary: JSON-able. table: all statistics at all levels, for a CSV. thumbnail: PNG."""

    html: str
    summary: dict[str, Any]
    table: pd.DataFrame
    thumbnail: bytes


@dataclass(frozen=True)
class Grid:
    """A table as printed: a row's first cell is its header, lines after a cell's first are small print."""

    caption: str
    head: list[str]
    rows: list[list[str]]
    numeric: bool = True
    rules: list[int] = field(default_factory=list)


def render_report(inputs: ReportInputs) -> Report:
    """Compute all statistics and render the page.

    Raises:
        EvaluationError: orders, data quality or training curve are not tables of the promised form.
    """
    _check_columns("data quality table", inputs.data_quality, QUALITY)
    if inputs.training_curve is not None:
        _check_columns("training curve", inputs.training_curve, CURVE)
    days = block_days(inputs.horizon, inputs.bar)
    orders = tables.prepare_orders(inputs.orders, days)
    table = tables.full_table(orders, resamples=inputs.bootstrap, seed=inputs.seed)
    head = tables.headline(
        orders, table, inputs.promotions, inputs.date.isoformat(), _due(inputs.date, days, inputs.bar)
    )
    by_m = tables.select(table, "m")
    page = _ENVIRONMENT.get_template("report.html.jinja").render(
        inputs=inputs,
        head=head,
        grids=_grids(inputs, orders, table),
        pictures=_pictures(inputs, orders, by_m),
        days=sorted(tables.executed(orders)["date"].unique()),
        block_days=days,
        min_blocks=MIN_BLOCKS,
        rough_blocks=ROUGH_BLOCKS,
        listed=LISTED_ROWS,
        counts=_counts(orders),
        assets=sorted(orders["asset"].unique()),
    )
    return Report(page, _summary(inputs, head, orders, table, days), table, plots.thumbnail(by_m))


def block_days(horizon: int, bar: str) -> int:
    """Days of a bootstrap block: as many as one order may last, at least one."""
    length = pd.Timedelta("24h" if bar == "1d" else bar)
    return max(1, math.ceil(horizon * length / pd.Timedelta("24h")))


def _due(date: dt.date, days: int, bar: str) -> str:
    """The arrival day whose orders have ended by the report's date; daily bars skip weekends and one
    holiday.
    """
    if bar == "1d":
        return str(np.busday_offset(np.datetime64(date), -days - 1, roll="backward"))
    return (date - dt.timedelta(days=days)).isoformat()


def _check_columns(what: str, table: pd.DataFrame, needed: Sequence[str]) -> None:
    missing = [name for name in needed if name not in table.columns]
    if missing:
        raise EvaluationError(f"{what}: missing column(s) {', '.join(missing)}; needed: {', '.join(needed)}")


def number(value: float, digits: int = 1) -> str:
    """A number as it is printed; NaN reads n/a, and a rounded zero has no sign."""
    if not math.isfinite(value):
        return "n/a"
    return f"{round(float(value), digits) + 0.0:,.{digits}f}".replace("-", "−")


def with_interval(row: Mapping[Any, Any]) -> str:
    """Mean in bps, its interval as small print below."""
    interval = (
        f"{number(row['low_bps'])} to {number(row['high_bps'])}" if math.isfinite(row["low_bps"]) else "no interval"
    )
    return f"{number(row['mean_bps'])}\n{interval}"


def percent(share: float) -> str:
    """A share as it is printed."""
    return f"{number(100 * share)}\N{NO-BREAK SPACE}%"


def count(value: float) -> str:
    """A whole number as it is printed."""
    return f"{int(value):,}"


def _counts(orders: pd.DataFrame) -> dict[str, int]:
    excluded = orders[orders["status"] == "excluded"]
    return {
        "all": len(orders.drop_duplicates(tables.ORDER)),
        "excluded": len(excluded.drop_duplicates(tables.ORDER)),
    }


def _grids(inputs: ReportInputs, orders: pd.DataFrame, table: pd.DataFrame) -> dict[str, Grid]:
    """Every table of the page; those without rows are left out."""
    table = table.assign(gain=[with_interval(row) for row in table.to_dict("records")])
    single = table[(table["level"] != "scenario and m") & (table["against"] == "")]
    quality = inputs.data_quality.assign(date=inputs.data_quality["date"].astype(str).str[:10])
    gaps = quality[(quality[["missing", "outage", "duplicates"]] > 0).any(axis=1)]
    gaps = gaps.sort_values(["date", "asset"], ascending=[False, True])
    some = f" (the latest {LISTED_ROWS} of {len(gaps)})" if len(gaps) > LISTED_ROWS else ""
    bars = [(name.replace("_", " ").capitalize(), name, count) for name in QUALITY[2:]]
    totals = quality.groupby("asset", sort=True)[QUALITY[2:]].sum().reset_index()
    grids = {
        "overall": _grid("All executed orders: gain in bps", tables.select(table, "all"), OVERALL),
        "versus": _versus(table),
        "by_m": _wide(
            "Mean gain by m over all scenarios, bps, with 95\N{NO-BREAK SPACE}% interval",
            tables.select(table, "m"),
            [],
        ),
        "scenarios": _wide(
            "Mean gain by scenario and m, bps, with 95\N{NO-BREAK SPACE}% interval",
            tables.select(table, "scenario and m"),
            tables.SCENARIO,
        ),
        "statistics": _grid(
            "Gain of single orders, bps",
            single.sort_values("strategy", key=lambda s: s.map(tables.strategy_rank), kind="stable"),
            SINGLE,
            rule="strategy",
        ),
        "models": _grid("Models that executed these orders", tables.model_table(orders), MODELS),
        "manifest": Grid("Manifest of the champion", ["Key", "Value"], flatten(inputs.champion_manifest or {}), False),
        "quality": _grid("Bars by asset, all days together", totals, [("Asset", "asset", str), *bars]),
        "gaps": _grid(
            f"Days with missing bars, outages or duplicates{some}",
            gaps.head(LISTED_ROWS),
            [("Asset", "asset", str), ("Day", "date", str), *bars],
        ),
        "excluded": _grid("Orders not executed", tables.excluded_table(orders), EXCLUDED),
        "versions": Grid("Versions", ["What", "Version"], flatten(inputs.versions), False),
    }
    return {name: grid for name, grid in grids.items() if grid.rows}


Columns = Sequence[tuple[str, str, Callable[[Any], str]]]
"""Head, column of the table, and how its values are printed."""
OVERALL: Columns = [
    ("Strategy", "strategy", label),
    ("Mean gain (95\N{NO-BREAK SPACE}% interval)", "gain", str),
    ("Mean of worst 5\N{NO-BREAK SPACE}%", "cvar5_bps", number),
    ("Orders above 0", "hit_rate", percent),
]
SINGLE: Columns = [
    ("Strategy", "strategy", label),
    ("m", "min_bars", str),
    ("Mean", "mean_bps", number),
    ("Mean, sigma", "mean_sigma", lambda value: number(value, 3)),
    ("Median", "median_bps", number),
    ("Std. dev.", "std_bps", number),
    ("5\N{NO-BREAK SPACE}%", "p5_bps", number),
    ("95\N{NO-BREAK SPACE}%", "p95_bps", number),
    ("Worst 5\N{NO-BREAK SPACE}%", "cvar5_bps", number),
    ("Orders above 0", "hit_rate", percent),
    ("Against arrival", "arrival_bps", number),
    ("Bound", "bound_bps", number),
    ("Orders", "orders", count),
    ("Blocks", "blocks", count),
]
MODELS: Columns = [
    ("Model", "model_id", str),
    ("First day", "first", str),
    ("Last day", "last", str),
    ("Days", "days", count),
    ("Orders", "orders", count),
]
EXCLUDED: Columns = [
    ("Reason", "reason", str),
    ("Asset", "asset", str),
    ("Orders", "orders", count),
    ("Share of the asset's orders", "share", percent),
]


def _grid(caption: str, part: pd.DataFrame, columns: Columns, rule: str | None = None) -> Grid:
    """A table of `columns`, ruled off where the column `rule` changes."""
    rows = [[form(row[name]) for _, name, form in columns] for row in part.to_dict("records")]
    rules = np.flatnonzero(part[rule] != part[rule].shift()).tolist() if rule else []
    return Grid(caption, [head for head, _, _ in columns], rows, rules=rules)


def _wide(caption: str, part: pd.DataFrame, scenario: Sequence[str]) -> Grid:
    """One row per scenario and m, a column for each strategy and one for the bound."""
    strategies = list(dict.fromkeys(part["strategy"]))
    rows: list[list[str]] = []
    rules = []
    for _, group in part.groupby([*scenario, "min_bars"], sort=True):
        first = group.iloc[int(group["orders"].argmax())]
        lead = [" ".join(PRICES.get(first[name], first[name]) for name in scenario), str(first["min_bars"])]
        if scenario and (not rows or rows[-1][0] != lead[0]):
            rules.append(len(rows))
        gains = dict(zip(group["strategy"], group["gain"], strict=True))
        cells = [gains.get(name, "none") for name in strategies]
        rows.append([*lead[not scenario :], *cells, number(first["bound_bps"])])
    return Grid(caption, [*["Scenario", "m"][not scenario :], *map(label, strategies), "Bound"], rows, rules=rules)


def _versus(table: pd.DataFrame) -> Grid:
    """The model's paired differences, a row for each m and one for all orders."""
    rows = []
    for level in ("m", "all"):
        parts = {rival: tables.select(table, level, rival).set_index("min_bars") for rival in tables.RIVALS}
        for m in sorted(set().union(*(part.index for part in parts.values()))):
            found = [part.loc[m].to_dict() if m in part.index else None for part in parts.values()]
            said = [_difference(row) if row else "none" for row in found]
            rows.append([str(m), *said])
    caption = "Model minus rule on the same orders, bps, with 95\N{NO-BREAK SPACE}% interval"
    return Grid(caption, ["m", *map(label, tables.RIVALS)], rows, rules=[len(rows) - 1])


def _difference(row: Mapping[Any, Any]) -> str:
    gap = tables.row_interval(row)
    return f"{row['gain']}\n{tables.verdict(gap)}" if gap.known else row["gain"]


PRICES = {"vwap": "VWAP", "twap": "TWAP"}


def flatten(values: Mapping[str, Any], prefix: str = "") -> list[list[str]]:
    """Nested mappings as rows of dotted key and value, in their own order; long values as their length."""
    rows: list[list[str]] = []
    for key, value in values.items():
        if isinstance(value, Mapping) and len(value) <= LISTED_ROWS:
            rows += flatten(value, f"{prefix}{key}.")
        elif isinstance(value, (Mapping, list, tuple)):
            rows.append([f"{prefix}{key}", ", ".join(map(str, value)) if len(value) <= 8 else f"{len(value)} items"])
        else:
            rows.append([f"{prefix}{key}", f"{value:.4g}" if isinstance(value, float) else str(value)])
    return rows


def _pictures(inputs: ReportInputs, orders: pd.DataFrame, by_m: pd.DataFrame) -> dict[str, Picture]:
    done, pictures = tables.executed(orders), {}
    if len(done):
        pictures["gain_by_m"] = plots.gain_by_m(by_m)
        pictures["distribution"] = plots.distribution(done)
        pictures["over_time"] = plots.over_time(tables.daily_table(orders))
        pictures["order_ends"] = plots.order_ends(tables.end_bar_table(orders))
    if inputs.training_curve is not None and len(inputs.training_curve):
        pictures["training_curve"] = plots.training_curve(inputs.training_curve)
    return pictures


def _summary(
    inputs: ReportInputs, head: tables.Headline, orders: pd.DataFrame, table: pd.DataFrame, days: int
) -> dict[str, Any]:
    return _plain(
        {
            "universe": inputs.universe,
            **asdict(head),
            "block_days": days,
            "bootstrap": inputs.bootstrap,
            "seed": inputs.seed,
            "orders_counted": _counts(orders),
            "excluded": tables.excluded_table(orders).to_dict("records"),
            "statistics": table[table["level"] != "scenario and m"].to_dict("records"),
            "versions": dict(inputs.versions),
        }
    )


def _plain(value: Any) -> Any:
    """The value with only JSON's types in it; NaN becomes null."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


_ENVIRONMENT = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_ENVIRONMENT.filters.update(number=number, count=count, percent=percent, label=label, flatten=flatten)
