"""The report's section of the gate: its decisions, and the sanity checks that it made of each candidate."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from lem.registry import PromotionRecord
from lem.registry.records import canonical_json
from lem.reports.grids import LISTED_ROWS, Columns, Grid, grid_of
from lem.reports.inputs import ReportInputs
from lem.reports.section import Material, Section
from lem.reports.wording import count, number, optional, short

GATE = ["date", "decision", "by_hand", "degraded", "champion_id", "candidate_id", "orders", "days", "candidate_bps"]
GATE += ["champion_bps", "optimal_stopping_bps", "minus_champion_bps", "minus_champion_low_bps"]
GATE += ["minus_champion_high_bps", "reasons"]
SANITY = ["date", "candidate_id", "name", "passed", "text", "figures"]


def gate_table(promotions: Sequence[PromotionRecord]) -> pd.DataFrame:
    """The gate's decisions, latest first: `GATE`. Figures that a decision does not have are NaN."""
    rows = []
    for decision in sorted(promotions, key=lambda decision: decision.date, reverse=True):
        gate = decision.figures.gate
        means, gap = (gate.mean_bps, gate.candidate_minus_champion) if gate else (None, None)
        rows.append(
            {
                "date": decision.date.isoformat(),
                "decision": decision.decision,
                "by_hand": decision.by_hand,
                "degraded": bool(decision.degraded),
                "champion_id": decision.champion_id or "",
                "candidate_id": decision.candidate_id or "",
                "orders": gate.orders if gate else None,
                "days": gate.days if gate else None,
                "candidate_bps": means.candidate if means else None,
                "champion_bps": means.champion if means else None,
                "optimal_stopping_bps": means.optimal_stopping if means else None,
                "minus_champion_bps": gap.mean_bps if gap else None,
                "minus_champion_low_bps": gap.low_bps if gap else None,
                "minus_champion_high_bps": gap.high_bps if gap else None,
                "reasons": "\n".join(decision.reasons),
            }
        )
    table = pd.DataFrame(rows, columns=GATE)
    numbers = [name for name in GATE if name.endswith("_bps") or name in ("orders", "days")]
    return table.astype(dict.fromkeys(numbers, float))


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
        ("Decision", "said", str),
        ("Champion", "champion_id", short),
        ("Candidate", "candidate_id", short),
        ("Candidate, bps", "candidate_bps", optional),
        ("Champion, bps", "champion_bps", optional),
        ("Optimal stopping, bps", "optimal_stopping_bps", optional),
        ("Candidate minus champion, bps", "gap", str),
        ("Orders", "orders", lambda value: "" if math.isnan(value) else count(value)),
    ]
    told = judged(gate)
    said = [f"{d} by hand" if hand else d for d, hand in zip(told["decision"], told["by_hand"], strict=True)]
    shown = told.assign(said=said, gap=[_gap(row) for row in told.to_dict("records")]).head(LISTED_ROWS)
    some = f" (the latest {LISTED_ROWS} of {len(told)})" if len(told) > LISTED_ROWS else ""
    return grid_of(f"Decisions of the gate, latest first{some}", shown, columns)


def _gap(row: Mapping[Any, Any]) -> str:
    if math.isnan(row["minus_champion_bps"]):
        return ""
    low, high = row["minus_champion_low_bps"], row["minus_champion_high_bps"]
    inside = "no interval" if math.isnan(low) else f"{number(low)} to {number(high)}"
    return f"{number(row['minus_champion_bps'])}\n{inside}"


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
    return rows | {"listed": LISTED_ROWS}


SECTION = Section(
    "The gate",
    reads=("promotions",),
    rows={
        "gate": "a decision of the promotion gate: models, means, paired difference, reasons",
        "sanity": "a sanity check that the gate made of a candidate: passed or not, what was found, its figures",
    },
    tables=stored,
    grids=grids,
    words=words,
)
