"""The execution report: one HTML file that needs nothing else, with its numbers as JSON and as a table beside
it.

The same inputs give the same bytes: there is no clock here, orders are sorted first, and the bootstrap has a
fixed seed.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pandas as pd

from lem.backtest.bootstrap import MIN_BLOCKS, EvaluationError
from lem.backtest.config import CostsConfig
from lem.reports import plots, tables
from lem.reports.grids import LISTED_ROWS, QUALITY, Grid, assumptions, flatten, gain_grids, quality_grids
from lem.reports.headline import Headline, headline
from lem.reports.plots import Picture
from lem.reports.wording import bar_volumes, capacity_sentence, cost_sentence, cost_words, count, number, percent

CURVE = ["step", "loss", "gain_sigma", "learning_rate"]
ROUGH_BLOCKS = 15
"""Fewer blocks than this, and the report warns that the intervals are rough."""


@dataclass(frozen=True)
class ReportInputs:
    """What a report is made of.

    date: the report's partition. horizon: N in bars of length `bar` ("1h", "1d", ...). orders: the backtest's
    rows with `asset` and `date` (columns: `tables.COLUMNS`). costs: those that it charged. promotions: dicts with date,
    decision, champion_id, candidate_id, reasons (list of str), figures (dict). champion_manifest, training_curve
    (columns `CURVE`): None without a model. data_quality: one row per asset and day (columns `QUALITY`).
    bootstrap: resamples.
    """

    universe: str
    date: dt.date
    description: str
    horizon: int
    bar: str
    orders: pd.DataFrame
    costs: CostsConfig
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
    table = tables.full_table(orders, inputs.costs, resamples=inputs.bootstrap, seed=inputs.seed)
    head = headline(orders, table, inputs.promotions, inputs.date.isoformat(), _due(inputs.date, days, inputs.bar))
    page = _ENVIRONMENT.get_template("report.html.jinja").render(
        inputs=inputs,
        head=head,
        grids=_grids(inputs, orders, table),
        pictures=_pictures(inputs, orders, table),
        largest=bar_volumes(inputs.costs.participation_cap * inputs.horizon),
        assumed=cost_sentence(inputs.costs),
        capacity=None if head.capacity is None else capacity_sentence(head.capacity, inputs.costs, inputs.horizon),
        days=sorted(tables.executed(orders)["date"].unique()),
        block_days=days,
        min_blocks=MIN_BLOCKS,
        rough_blocks=ROUGH_BLOCKS,
        listed=LISTED_ROWS,
        counts=_counts(orders),
        assets=sorted(orders["asset"].unique()),
    )
    thumbnail = plots.thumbnail(tables.select(table, "m"))
    return Report(page, _summary(inputs, head, orders, table, days), table, thumbnail)


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


def _counts(orders: pd.DataFrame) -> dict[str, int]:
    excluded = orders[orders["status"] == "excluded"]
    return {
        "all": len(orders.drop_duplicates(tables.ORDER)),
        "excluded": len(excluded.drop_duplicates(tables.ORDER)),
    }


def _grids(inputs: ReportInputs, orders: pd.DataFrame, table: pd.DataFrame) -> dict[str, Grid]:
    """Every table of the page; those without rows are left out."""
    grids = gain_grids(orders, table, inputs.costs) | quality_grids(inputs.data_quality)
    grids |= {
        "costs": assumptions(inputs.costs, inputs.horizon),
        "manifest": Grid("Manifest of the champion", ["Key", "Value"], flatten(inputs.champion_manifest or {}), False),
        "versions": Grid("Versions", ["What", "Version"], flatten(inputs.versions), False),
    }
    return {name: grid for name, grid in grids.items() if grid.rows}


def _pictures(inputs: ReportInputs, orders: pd.DataFrame, table: pd.DataFrame) -> dict[str, Picture]:
    done, pictures = tables.executed(orders), {}
    if len(done):
        for costs, name in (("off", ""), ("on", "_net")):
            pictures[f"gain_by_m{name}"] = plots.gain_by_m(tables.select(table, "m", costs), costs)
            pictures[f"distribution{name}"] = plots.distribution(done, costs)
            pictures[f"over_time{name}"] = plots.over_time(tables.daily_table(orders, costs), costs)
        pictures["order_ends"] = plots.order_ends(tables.end_bar_table(orders))
    if inputs.training_curve is not None and len(inputs.training_curve):
        pictures["training_curve"] = plots.training_curve(inputs.training_curve)
    return pictures


def _summary(
    inputs: ReportInputs, head: Headline, orders: pd.DataFrame, table: pd.DataFrame, days: int
) -> dict[str, Any]:
    """What report.json holds. Infinite sizes (no limit) are null there, as `capacity_text` and the CSV say."""
    pooled = table[table["level"] != "scenario and m"]
    return _plain(
        {
            "universe": inputs.universe,
            **asdict(head),
            "costs": inputs.costs.model_dump(),
            "costs_text": dict(cost_words(inputs.costs, inputs.horizon)),
            "capacity_text": (
                "" if head.capacity is None else capacity_sentence(head.capacity, inputs.costs, inputs.horizon)
            ),
            "block_days": days,
            "bootstrap": inputs.bootstrap,
            "seed": inputs.seed,
            "orders_counted": _counts(orders),
            "excluded": tables.excluded_table(orders).to_dict("records"),
            "statistics": pooled[pooled["costs"] == "off"].to_dict("records"),
            "statistics_after_costs": pooled[pooled["costs"] == "on"].to_dict("records"),
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
_ENVIRONMENT.filters.update(number=number, count=count, percent=percent)
