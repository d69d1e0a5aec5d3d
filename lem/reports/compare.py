"""Two reports, or the orders of two models, side by side, as tables and as one page that needs no network."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lem.errors import LakeError
from lem.lake import Lake
from lem.lineage.stored_report import read_summary, stored_date
from lem.lineage.tables import dates_in
from lem.registry import Registry
from lem.reports import tables
from lem.reports.grids import Grid
from lem.reports.orders import read_orders
from lem.reports.prepared import prepare_orders
from lem.reports.report import ENVIRONMENT, block_days
from lem.reports.wording import NO_BREAK, label, number, short
from lem.universe import Universe


@dataclass(frozen=True)
class Side:
    """One of the two.

    Args:
        title: what it is.
        facts: names and values, in words.
        rows: statistics after costs, as report.json has them: of every strategy, and paired differences.
    """

    title: str
    facts: dict[str, str]
    rows: Sequence[Mapping[Any, Any]]


@dataclass(frozen=True)
class Comparison:
    """Two sides and what is printed of them.

    Args:
        universe: that both are of.
        titles: of the two.
        caution: what the difference of the two does not say.
        grids: the tables.
    """

    universe: str
    titles: tuple[str, str]
    caution: str
    grids: tuple[Grid, ...]


def of_report(lake: Lake, universe: Universe, date: dt.date) -> Side:
    """The report of a date.

    Raises:
        LakeError: there is none, or an earlier version made it.
    """
    summary = read_summary(lake, universe.name, stored_date(lake, universe.name, date))
    costs = ", ".join(f"{name} {value:g}" for name, value in summary["costs"].items() if isinstance(value, int | float))
    facts = {
        "Night": summary["status"],
        "Champion": short(summary["champion_id"]),
        "Decision": summary["said"] or "none",
        "Last arrival day": summary["last_day"] or "none",
        "Orders": f"{summary['orders']:,}",
        "Blocks of days": f"{summary['blocks']:,}",
        "Costs assumed": costs,
    }
    return Side(str(date), facts, summary["statistics_after_costs"])


def of_model(lake: Lake, registry: Registry, universe: Universe, model_id: str) -> Side:
    """The orders that a model traded as champion: the newest days with backtests, as many as a report covers.

    Args:
        lake: with the backtests.
        registry: with models and decisions.
        universe: of the model.
        model_id: the model's id or its beginning.

    Raises:
        RegistryError: there is no such model.
        LakeError: the model is of another universe, or no backtest has orders of it.
    """
    model = registry.model(model_id)
    if model.universe != universe.name:
        raise LakeError(
            f"model {model.id} is of universe {model.universe}; allowed: models of {universe.name} "
            f"(lem models list -u {universe.name})"
        )
    made = dates_in(lake, f"{universe.name}/backtest/asset={universe.symbols[0]}", ".parquet")
    own = [date for date in made if (one := registry.champion_on(universe.name, date)) and one.id == model.id]
    own = own[-universe.backtest.report_days :]
    if not own:
        raise LakeError(
            f"{universe.name}: model {model.id} has traded on no date with a backtest; allowed: models that were "
            f"champion on one (lem models history -u {universe.name}); what two models were made from: "
            f"lem models diff ID ID"
        )
    orders, _ = read_orders(lake, universe, own, tables.COLUMNS)
    orders = prepare_orders(orders, block_days(universe.horizon, universe.bar))
    keep = orders.loc[(orders["strategy"] == tables.MODEL) & (orders["model_id"] == model.id), "order"]
    orders = orders[orders["order"].isin(keep)]
    done = tables.executed(orders)
    table = tables.full_table(
        orders, universe.costs, resamples=universe.backtest.bootstrap, seed=universe.training.seed
    )
    after = table[table["costs"] == "on"]
    facts = {
        "Trained on days before": str(model.train_end),
        "Usable from": str(model.usable_on),
        "Days of orders": f"{own[0]} to {own[-1]}" if len(own) > 1 else str(own[0]),
        "Orders": f"{done['order'].nunique():,}",
        "Blocks of days": f"{done['block'].nunique():,}",
    }
    return Side(f"Model {short(model.id)}", facts, after.to_dict("records"))


def compare(universe: str, one: Side, other: Side) -> Comparison:
    """The two side by side.

    Args:
        universe: that both are of.
        one: the first.
        other: the second.
    """
    titles = (one.title, other.title)
    facts = [
        [name, one.facts.get(name, ""), other.facts.get(name, "")] for name in dict.fromkeys([*one.facts, *other.facts])
    ]
    grids = [Grid("What they are", ["", *titles], facts, numeric=False), *_gains(one, other)]
    caution = (
        "The orders of the two are not the same, so the change from first to second is also that of their days, and "
        "has no interval. Each side’s difference to a rule is paired, on that side’s own orders."
    )
    return Comparison(universe, titles, caution, tuple(grids))


def _gains(one: Side, other: Side) -> list[Grid]:
    """What every strategy kept, and the model's differences to the rules: all orders first, then by m."""
    cells = [_cells(one.rows), _cells(other.rows)]
    limits = sorted({m for side in cells for m, _, _ in side if m != "all"}, key=int)
    found = []
    for caption, paired in (
        (f"Kept after costs in bps, with 95{NO_BREAK}% interval", False),
        (f"Model minus rule after costs in bps, paired on the same orders, with 95{NO_BREAK}% interval", True),
    ):
        grid = Grid(caption, ["", one.title, other.title, "Change"], [])
        for m in ["all", *limits]:
            there = dict.fromkeys(key for side in cells for key in side if key[0] == m and bool(key[2]) == paired)
            names = sorted(there, key=lambda key: tables.strategy_rank(key[2] or key[1]))
            if not names:
                continue
            grid.groups[len(grid.rows)] = "All orders" if m == "all" else f"m = {m}"
            for key in names:
                left, right = (side.get(key) for side in cells)
                gap = number(right["mean_bps"] - left["mean_bps"]) if left and right else "none"
                grid.rows.append([label(key[2] or key[1]), _cell(left), _cell(right), gap])
        found.append(grid)
    return found


def _cells(rows: Sequence[Mapping[Any, Any]]) -> dict[tuple[str, str, str], Mapping[Any, Any]]:
    """The rows of all orders and by m, by m, strategy and rival."""
    return {
        (str(row["min_bars"]), row["strategy"], row["against"]): row for row in rows if row["level"] in ("m", "all")
    }


def _cell(row: Mapping[Any, Any] | None) -> str:
    if row is None:
        return "none"
    low, high = row["low_bps"], row["high_bps"]
    inside = "" if low is None or low != low else f"\n{number(low)} to {number(high)}"
    return f"{number(row['mean_bps'])}{inside}"


def render_comparison(found: Comparison) -> str:
    """The page."""
    return ENVIRONMENT.get_template("compare.html.jinja").render(found=found)
