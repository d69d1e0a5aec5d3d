"""The execution report: one HTML file that needs nothing else, with its numbers as JSON and as a table beside it.

The same inputs give the same bytes: there is no clock here, orders are sorted first, and the bootstrap has a fixed
seed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pandas as pd
from markupsafe import Markup

from lem.backtest.bootstrap import MIN_BLOCKS
from lem.errors import EvaluationError
from lem.lineage.keys import name_missing
from lem.reports import tables, tallies
from lem.reports.frontier import frontier
from lem.reports.grids import Grid, overall
from lem.reports.groups import add_groups
from lem.reports.headline import Headline, headline
from lem.reports.inputs import ReportInputs
from lem.reports.prepared import prepare_orders
from lem.reports.section import Material, Section
from lem.reports.sections import gain, sections
from lem.reports.sections.excluded import counts
from lem.reports.wording import capacity_sentence, cost_sentence, cost_words, count, label, number, percent
from lem.reports.worth import add_worth

ROUGH_BLOCKS = 15
"""Fewer blocks than this, and the report warns that the intervals are rough."""


@dataclass(frozen=True)
class Report:
    """A rendered report.

    Args:
        html: the page.
        summary: what report.json holds, in JSON's types.
        table: all statistics at all levels.
        tables: every other table that the page shows or draws, by name.
        thumbnail: PNG of gain by m, after costs.
    """

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
    orders = add_groups(prepare_orders(inputs.orders, days), inputs.ages)
    orders = add_worth(orders, inputs.risk_aversion)
    inputs = replace(inputs, orders=orders)  # as they were, they would lie in memory a second time
    statistics = tables.full_table(orders, inputs.costs, resamples=inputs.bootstrap, seed=inputs.seed)
    stored = stored_tables(inputs, orders, statistics)
    head = first_screen(inputs, orders, statistics)
    parts = []
    for name, section in sections().items():
        own = {table: stored[table] for table in section.rows}
        html = section_html(name, section, Material(inputs, orders, statistics, own, head, days))
        parts.append({"name": name, "title": section.title, "html": Markup(html)})
    page = ENVIRONMENT.get_template("report.html.jinja").render(
        inputs=inputs,
        head=head,
        sections=parts,
        grids=with_rows({"overall": overall(statistics)}),
        pictures=frontier(statistics),
        assumed=cost_sentence(inputs.costs),
        capacity=None if head.capacity is None else capacity_sentence(head.capacity, inputs.costs, inputs.horizon),
        days=sorted(tables.executed(orders)["date"].unique()),
        block_days=days,
        min_blocks=MIN_BLOCKS,
        rough_blocks=ROUGH_BLOCKS,
        assets=sorted(orders["asset"].unique()),
    )
    thumbnail = gain.thumbnail(tables.select(statistics, "m", "on"))
    return Report(page, _summary(inputs, head, orders, statistics, days), statistics, stored, thumbnail)


def first_screen(inputs: ReportInputs, orders: pd.DataFrame, statistics: pd.DataFrame) -> Headline:
    """The answers of the first screen, with what the sections have to say there."""
    found, warnings = left_out(inputs), list[str]()
    for section in sections().values():
        found += section.problems(inputs)
        warnings += section.warnings(inputs)
    due = last_trading_day(inputs, orders)
    return headline(orders, statistics, inputs.promotions, inputs.date.isoformat(), due, found, warnings)


def block_days(horizon: int, bar: str) -> int:
    """Days of a bootstrap block: as many as one order may last, at least one."""
    length = pd.Timedelta("24h" if bar == "1d" else bar)
    return max(1, math.ceil(horizon * length / pd.Timedelta("24h")))


def last_trading_day(inputs: ReportInputs, orders: pd.DataFrame) -> str:
    """The last day up to the report's that orders arrived on (ISO).

    On a market that never closes it is the report's own date. Otherwise it is the last day with rows of orders,
    executed or not; "" without one. All orders of a report's date have ended, so some of this day's are executed where
    nothing went wrong.
    """
    if inputs.calendar == "24/7":
        return inputs.date.isoformat()
    return str(orders["date"].max()) if len(orders) else ""


def left_out(inputs: ReportInputs) -> list[str]:
    """A sentence that names the dates without backtests and the command that makes them; none if all are there."""
    if not inputs.left_out:
        return []
    dates = name_missing([date.isoformat() for date in inputs.left_out])
    return [
        f"No backtests of {dates} are there: the orders of that time are left out; "
        f"make them with: lem run --universe {inputs.universe} --date {inputs.date}."
    ]


def stored_tables(inputs: ReportInputs, orders: pd.DataFrame, statistics: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Every table that the page's sections show or its pictures are drawn from, except that of the statistics.

    Raises:
        EvaluationError: a section makes other tables than it names, or one that another section has.
    """
    found: dict[str, pd.DataFrame] = {}
    for name, section in sections().items():
        made = section.tables(inputs, orders, statistics)
        if set(made) != set(section.rows) or set(made) & set(found):
            raise EvaluationError(
                f"section {name} of the report makes the table(s) {', '.join(made) or 'none'}; allowed: those of its "
                f"rows ({', '.join(section.rows) or 'none'}), and none of another section ({', '.join(found)})"
            )
        found |= made
    return found


def section_html(name: str, section: Section, material: Material) -> str:
    """One section of the page, from its own material."""
    inputs, statistics, own = material.inputs, material.statistics, material.tables
    return ENVIRONMENT.get_template("section.jinja").render(
        name=name,
        title=section.title,
        grids=with_rows(section.grids(inputs, statistics, own)),
        pictures=section.pictures(statistics, own),
        **section.words(material),
    )


def with_rows(grids: Mapping[str, Grid]) -> dict[str, Grid]:
    """The tables that have something to print."""
    return {name: grid for name, grid in grids.items() if grid.rows}


def _summary(
    inputs: ReportInputs, head: Headline, orders: pd.DataFrame, table: pd.DataFrame, days: int
) -> dict[str, Any]:
    """What report.json holds. Infinite sizes (no limit) are null there; `capacity_text` and the CSV tell them."""
    pooled = table[table["level"].isin(["m", "all"])].drop(columns="group")
    return _plain(
        {
            "universe": inputs.universe,
            **asdict(head),
            "costs": inputs.costs.model_dump(),
            "risk_aversion": inputs.risk_aversion,
            "costs_text": dict(cost_words(inputs.costs, inputs.horizon)),
            "capacity_text": (
                "" if head.capacity is None else capacity_sentence(head.capacity, inputs.costs, inputs.horizon)
            ),
            "block_days": days,
            "bootstrap": inputs.bootstrap,
            "seed": inputs.seed,
            "orders_counted": counts(orders),
            "excluded": tallies.excluded_table(orders).to_dict("records"),
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


ENVIRONMENT = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
ENVIRONMENT.filters.update(number=number, count=count, percent=percent)
ENVIRONMENT.globals.update(label=label)
