"""The execution report: one HTML file that needs nothing else, with its numbers as JSON and as a table beside
it.

The same inputs give the same bytes: there is no clock here, orders are sorted first, and the bootstrap has a
fixed seed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pandas as pd

from lem.backtest.bootstrap import MIN_BLOCKS
from lem.backtest.leaks import LEAK_SCHEMA, MOST, leaks_found
from lem.lineage.tables import name_missing
from lem.reports import gate_section, plots, plots_orders, section_grids, tables
from lem.reports.drift_section import drift_warnings
from lem.reports.figures import Picture
from lem.reports.grids import LISTED_ROWS, Grid, assumptions, flatten, gain_grids
from lem.reports.groups import add_groups
from lem.reports.headline import Headline, headline
from lem.reports.inputs import CURVE, ReportInputs
from lem.reports.schedule import replay_table, schedule_table
from lem.reports.wording import bar_volumes, capacity_sentence, cost_sentence, cost_words, count, number, percent
from lem.strategies import rules

ROUGH_BLOCKS = 15
"""Fewer blocks than this, and the report warns that the intervals are rough."""
SECTIONS = [
    ("gate", "The gate"),
    ("gain", "Gain by scenario and m"),
    ("groups", "Where it gains"),
    ("costs", "Costs"),
    ("distribution", "Distribution"),
    ("time", "Over time"),
    ("orders", "How it trades"),
    ("leaks", "Leak panel"),
    ("drift", "Drift"),
    ("model", "The model"),
    ("quality", "Data quality"),
    ("excluded", "Excluded orders"),
    ("versions", "Versions and how to reproduce"),
    ("glossary", "Glossary"),
]


@dataclass(frozen=True)
class Report:
    """html: the page. summary: JSON-able. table: all statistics at all levels. tables: every other table that the page
    shows or draws, by name. thumbnail: PNG."""

    html: str
    summary: dict[str, Any]
    table: pd.DataFrame
    tables: dict[str, pd.DataFrame]
    thumbnail: bytes


def render_report(inputs: ReportInputs) -> Report:
    """Compute all statistics and render the page.

    Raises:
        EvaluationError: orders or another table are not of the promised form.
    """
    inputs.check()
    days = block_days(inputs.horizon, inputs.bar)
    orders = add_groups(tables.prepare_orders(inputs.orders, days), inputs.ages)
    table = tables.full_table(orders, inputs.costs, resamples=inputs.bootstrap, seed=inputs.seed)
    data = _tables(inputs, orders, table)
    leaks, warnings = leaks_found(data["leaks"]), drift_warnings(data["drift"])
    due = last_trading_day(inputs, orders)
    found = [*left_out(inputs), *leaks]
    head = headline(orders, table, inputs.promotions, inputs.date.isoformat(), due, found, warnings)
    page = _ENVIRONMENT.get_template("report.html.jinja").render(
        inputs=inputs,
        head=head,
        sections=SECTIONS,
        grids=page_grids(inputs, table, data),
        group_names=[f"by_{name}" for name in tables.GROUPS],
        gate_rows=data["gate"].to_dict("records"),
        gate_judged=gate_section.judged(data["gate"]).to_dict("records"),
        leaks_found=leaks,
        most_arrivals=MOST,
        pictures=page_pictures(table, data),
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
        rules=_rule_words(),
    )
    thumbnail = plots.thumbnail(tables.select(table, "m"))
    return Report(page, _summary(inputs, head, orders, table, days), table, data, thumbnail)


def block_days(horizon: int, bar: str) -> int:
    """Days of a bootstrap block: as many as one order may last, at least one."""
    length = pd.Timedelta("24h" if bar == "1d" else bar)
    return max(1, math.ceil(horizon * length / pd.Timedelta("24h")))


def last_trading_day(inputs: ReportInputs, orders: pd.DataFrame) -> str:
    """The last day up to the report's (ISO) that orders arrived on: its own on a market that never closes, otherwise
    the last with rows of orders, executed or not; "" without one.

    All orders of a report's date have ended, so some of this day's are executed where nothing went wrong.
    """
    if inputs.calendar == "24/7":
        return inputs.date.isoformat()
    return str(orders["date"].max()) if len(orders) else ""


def left_out(inputs: ReportInputs) -> list[str]:
    """A sentence that names the dates whose backtests are not there and the command that makes them; none without."""
    if not inputs.left_out:
        return []
    dates = name_missing([date.isoformat() for date in inputs.left_out])
    return [
        f"No backtests of {dates} are there: the orders of that time are left out; "
        f"make them with: lem run --universe {inputs.universe} --date {inputs.date}."
    ]


def _rule_words() -> list[tuple[str, str]]:
    """The rules' names and meanings for the glossary, those that the model must beat first."""
    ordered = sorted(rules.RULES, key=lambda rule: tables.strategy_rank(rule.name))
    return [(rule.label, rule.meaning) for rule in ordered]


def _counts(orders: pd.DataFrame) -> dict[str, int]:
    excluded = orders[orders["status"] == "excluded"]
    return {
        "all": len(orders.drop_duplicates(tables.ORDER)),
        "excluded": len(excluded.drop_duplicates(tables.ORDER)),
    }


def _tables(inputs: ReportInputs, orders: pd.DataFrame, table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Every table of the page but that of the statistics: what its pictures are drawn from, and its sections show."""
    done = tables.executed(orders)
    costs = list(tables.COSTS) if len(done) else []
    daily = [tables.daily_table(orders, key).assign(costs=key) for key in costs]
    shares = [tables.histogram(done, key).assign(costs=key) for key in costs]
    gate = gate_section.gate_table(inputs.promotions)
    curve = inputs.training_curve
    return {
        "daily": _joined(daily, ["strategy", "date", "orders", "mean_bps", "cumulative_bps", "costs"]),
        "distribution": _joined(shares, ["strategy", "low_bps", "high_bps", "share", "costs"]),
        "ends": tables.end_bar_table(orders),
        "schedule": schedule_table(orders),
        "replays": replay_table(inputs.orders, inputs.tape),
        "gate": gate,
        "sanity": gate_section.sanity_table(inputs.promotions),
        "models": section_grids.history_table(orders, table, gate, inputs.trained_to),
        "leaks": pd.DataFrame(columns=LEAK_SCHEMA.names) if inputs.leaks is None else inputs.leaks,
        "drift": inputs.drift,
        "training": pd.DataFrame(columns=CURVE) if curve is None else curve,
        "quality": inputs.data_quality,
        "quarantine": inputs.quarantine,
        "outages": inputs.outages,
        "excluded": tables.excluded_table(orders),
    }


def _joined(parts: list[pd.DataFrame], columns: list[str]) -> pd.DataFrame:
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


def page_grids(inputs: ReportInputs, table: pd.DataFrame, data: Mapping[str, pd.DataFrame]) -> dict[str, Grid]:
    """Every table of the page; those without rows are left out."""
    grids = gain_grids(table, data["excluded"], inputs.costs) | section_grids.group_grids(table)
    grids |= section_grids.quality_grids(data["quality"], data["quarantine"], data["outages"])
    grids |= section_grids.drift_grids(data["drift"]) | section_grids.leak_grids(data["leaks"])
    grids |= {
        "gate": gate_section.gate_grid(data["gate"]),
        "sanity": gate_section.sanity_grid(data["sanity"]),
        "history": section_grids.history_grid(data["models"]),
        "replays": section_grids.replay_grid(data["replays"]),
        "costs": assumptions(inputs.costs, inputs.horizon),
        "manifest": Grid("Manifest of the champion", ["Key", "Value"], flatten(inputs.champion_manifest or {}), False),
        "versions": Grid("Versions", ["What", "Version"], flatten(inputs.versions), False),
    }
    return {name: grid for name, grid in grids.items() if grid.rows}


def page_pictures(table: pd.DataFrame, data: Mapping[str, pd.DataFrame]) -> dict[str, Picture]:
    """Every picture of the page, drawn from its tables alone."""
    pictures = {}
    if len(data["daily"]):
        changes = sorted(data["models"]["first"])[1:]
        for costs, name in (("off", ""), ("on", "_net")):
            daily, shares = (data[key][data[key]["costs"] == costs] for key in ("daily", "distribution"))
            pictures[f"gain_by_m{name}"] = plots.gain_by_m(tables.select(table, "m", costs), costs)
            pictures[f"distribution{name}"] = plots.distribution(shares, tables.select(table, "all", costs), costs)
            pictures[f"over_time{name}"] = plots.over_time(daily, costs, changes)
        pictures["order_ends"] = plots.order_ends(data["ends"])
    if len(data["schedule"]):
        pictures["schedule"] = plots_orders.schedule(data["schedule"])
    for which, part in data["replays"].groupby("which", sort=False):
        pictures[f"replay_{which}"] = plots_orders.replay(part.reset_index(drop=True))
    if len(data["training"]):
        pictures["training_curve"] = plots.training_curve(data["training"])
    return pictures


def _summary(
    inputs: ReportInputs, head: Headline, orders: pd.DataFrame, table: pd.DataFrame, days: int
) -> dict[str, Any]:
    """What report.json holds. Infinite sizes (no limit) are null there, as `capacity_text` and the CSV say."""
    pooled = table[table["level"].isin(["m", "all"])].drop(columns="group")
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
    loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_ENVIRONMENT.filters.update(number=number, count=count, percent=percent)
