"""The report's section of the gate: its decisions, and the sanity checks that it made of each candidate."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from lem.gate.walk_forward import broken_decisions, broken_orders, undecided
from lem.registry import PromotionRecord
from lem.registry.decision_figures import GateFigures
from lem.registry.records import canonical_json
from lem.reports.grids import LISTED_ROWS, Columns, Grid, grid_of
from lem.reports.inputs import ReportInputs
from lem.reports.section import Material, Section
from lem.reports.wording import count, label, number, optional, short

STRATEGIES = ("candidate", "champion", "rule", "optimal_stopping")
GAP = ("", "_low", "_high")
GATE = ["date", "decision", "outcome", "said", "by_hand", "degraded", "champion_id", "candidate_id", "orders", "days"]
GATE += [f"{when}{name}_bps" for name in STRATEGIES for when in ("net_", "")]
GATE += [
    f"{against}{end}_bps" for against in ("net_minus_champion", "minus_champion", "worth_minus_rule") for end in GAP
]
GATE += ["rule", "reasons"]
SANITY = ["date", "candidate_id", "name", "passed", "text", "figures"]


def gate_table(promotions: Sequence[PromotionRecord]) -> pd.DataFrame:
    """The gate's decisions, latest first: `GATE`. Figures that a decision does not have are NaN.

    Gains are after costs where a name begins with `net_` and before them elsewhere; `worth` is what those after costs
    are worth to the orders (`lem.gate.gains.worth`).
    """
    rows = []
    for decision in sorted(promotions, key=lambda decision: decision.date, reverse=True):
        gate = decision.figures.gate
        rows.append(
            {
                "date": decision.date.isoformat(),
                "decision": decision.decision,
                "outcome": decision.outcome,
                "said": decision.sentence,
                "by_hand": decision.by_hand,
                "degraded": bool(decision.degraded),
                "champion_id": decision.champion_id or "",
                "candidate_id": decision.candidate_id or "",
                "orders": gate.orders if gate else None,
                "days": gate.days if gate else None,
                "rule": gate.rule if gate else "",
                "reasons": "\n".join(decision.reasons),
            }
            | (_figures(gate) if gate else {})
        )
    table = pd.DataFrame(rows, columns=GATE)
    numbers = [name for name in GATE if name.endswith("_bps") or name in ("orders", "days")]
    return table.astype(dict.fromkeys(numbers, float))


def _figures(gate: GateFigures) -> dict[str, float | None]:
    """Means of each strategy and paired differences, as columns of `GATE`."""
    found: dict[str, float | None] = {}
    for when, means in (("net_", gate.net_mean_bps), ("", gate.mean_bps)):
        found |= {f"{when}{name}_bps": getattr(means, name, None) for name in STRATEGIES}
    for name, gap in (
        ("net_minus_champion", gate.net_candidate_minus_champion),
        ("minus_champion", gate.candidate_minus_champion),
        ("worth_minus_rule", gate.net_candidate_minus_rule),
    ):
        ends = (gap.mean_bps, gap.low_bps, gap.high_bps) if gap else (None, None, None)
        found |= {f"{name}{end}_bps": value for end, value in zip(GAP, ends, strict=True)}
    return found


def judged(gate: pd.DataFrame) -> pd.DataFrame:
    """The decisions about a candidate, by hand, or of a night on which a model was due and none came.

    Where there are none of these, the latest decision: it says why.
    """
    told = gate[(gate["candidate_id"] != "") | gate["by_hand"].astype(bool) | gate["degraded"].astype(bool)]
    return told if len(told) else gate.head(1)


def gate_grid(gate: pd.DataFrame) -> Grid:
    """The latest of the `judged` decisions, with the figures they rest on; the page lists the reasons below.

    Dates on which no model was due have no figures and are left out: where a model is trained every 20 days, they
    would be 19 rows in 20.
    """
    columns: Columns = [
        ("Date", "date", str),
        ("Decision", "outcome", lambda outcome: str(outcome).capitalize()),
        ("Trades", "champion_id", short),
        ("Candidate", "candidate_id", short),
        ("Candidate, bps", "candidate", str),
        ("Champion before, bps", "champion", str),
        ("Best rule that knows costs, bps", "best", str),
        ("Candidate minus champion", "gap", str),
        ("Worth more than the rule", "worth", str),
        ("Orders", "orders", lambda value: "" if math.isnan(value) else count(value)),
    ]
    told = judged(gate).head(LISTED_ROWS)
    rows = told.to_dict("records")
    shown = told.assign(
        candidate=[_mean(row, "candidate") for row in rows],
        champion=[_mean(row, "champion") for row in rows],
        best=[_mean(row, "rule") + (f"\n{label(row['rule'])}" if row["rule"] else "") for row in rows],
        gap=[_gap(row, "net_minus_champion") for row in rows],
        worth=[_gap(row, "worth_minus_rule") for row in rows],
    )
    all_told = len(judged(gate))
    some = f" (the latest {LISTED_ROWS} of {all_told})" if all_told > LISTED_ROWS else ""
    return grid_of(f"Decisions of the gate, latest first{some}: bps after costs, and before them", shown, columns)


def _mean(row: Mapping[Any, Any], name: str) -> str:
    """The mean after costs, and below it before costs; a decision from before costs counted has only the second."""
    before = optional(row[f"{name}_bps"])
    return f"{optional(row[f'net_{name}_bps'])}\n{before} before" if before else ""


def _gap(row: Mapping[Any, Any], name: str) -> str:
    mean, low, high = (row[f"{name}{end}_bps"] for end in GAP)
    if math.isnan(mean):
        return ""
    return f"{number(mean)}\n{'no interval' if math.isnan(low) else f'{number(low)} to {number(high)}'}"


def sanity_table(promotions: Sequence[PromotionRecord]) -> pd.DataFrame:
    """The sanity checks of every candidate that the gate looked at, latest first: `SANITY`, with `figures` as JSON."""
    rows = [
        {"date": decision.date.isoformat(), "candidate_id": decision.candidate_id}
        | {"name": check.name, "passed": check.passed, "text": check.text, "figures": canonical_json(check.figures)}
        for decision in sorted(promotions, key=lambda decision: decision.date, reverse=True)
        for check in decision.figures.checks
    ]
    return pd.DataFrame(rows, columns=SANITY)


def sanity_grid(sanity: pd.DataFrame) -> Grid:
    """The checks of the latest candidate that was looked at, in the order in which they were made."""
    latest = sanity[sanity["date"] == sanity["date"].max()] if len(sanity) else sanity
    who = f" {short(latest['candidate_id'].iloc[0])} on {latest['date'].iloc[0]}" if len(latest) else ""
    columns: Columns = [
        ("Check", "name", lambda name: str(name).replace("_", " ").capitalize()),
        ("Result", "passed", lambda passed: "passed" if passed else "failed"),
        ("What was found", "text", str),
    ]
    grid = grid_of(f"Sanity checks of candidate{who}", latest, columns)
    return Grid(grid.caption, grid.head, grid.rows, numeric=False)


def stored(inputs: ReportInputs, _: pd.DataFrame, __: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The decisions, and the checks of their candidates."""
    return {"gate": gate_table(inputs.promotions), "sanity": sanity_table(inputs.promotions)}


def grids(_: ReportInputs, __: pd.DataFrame, own: Mapping[str, pd.DataFrame]) -> dict[str, Grid]:
    """The latest decisions in figures, and the checks of the latest candidate."""
    return {"gate": gate_grid(own["gate"]), "sanity": sanity_grid(own["sanity"])}


def words(material: Material) -> dict[str, Any]:
    """All decisions, and those that are told in words."""
    gate = material.tables["gate"]
    rows = {"gate_rows": gate.to_dict("records"), "gate_judged": judged(gate).to_dict("records")}
    inputs = material.inputs
    dates = sorted({as_date(date) for date in material.orders["date"].unique()})
    missed = [str(date) for date in undecided(inputs.promotions, dates)]
    return rows | {"listed": LISTED_ROWS, "order_days": len(dates), "undecided": missed, "broken": broken(inputs)}


def broken(inputs: ReportInputs) -> list[str]:
    """What is wrong between decisions and orders: a decision, or a day's model, that does not follow."""
    orders = inputs.orders[["date", "model_id"]].drop_duplicates()
    dates, traded = sorted({as_date(date) for date in orders["date"]}), dict[dt.date, set[str]]()
    for row in orders[orders["model_id"] != ""].to_dict("records"):
        traded.setdefault(as_date(row["date"]), set()).add(row["model_id"])
    found = [f"The decision of {one.date} {one.text}" for one in broken_decisions(inputs.promotions)]
    return found + [f"On {one.date} {one.text}" for one in broken_orders(inputs.promotions, traded, dates)]


def as_date(value: Any) -> dt.date:
    """A day of orders, which a table has as a date or as its ISO form."""
    return dt.date.fromisoformat(str(value)[:10])


def warnings(inputs: ReportInputs) -> list[str]:
    """That the orders are not those of a walk-forward by these decisions."""
    found = broken(inputs)
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return [f"The walk-forward does not follow from the decisions: {found[0]}{more}."] if found else []


SECTION = Section(
    "The gate",
    reads=("promotions", "orders"),
    rows={
        "gate": "a decision of the promotion gate: models, means after costs and before, paired differences, reasons",
        "sanity": "a sanity check that the gate made of a candidate: passed or not, what was found, its figures",
    },
    tables=stored,
    grids=grids,
    words=words,
    warnings=warnings,
)
