"""What a decision rests on, as records and as JSON: rows of today, of yesterday and of tomorrow."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import fields, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from lem.registry import canonical_json
from lem.registry.decision_figures import (
    BpsByStrategy,
    Check,
    DecisionFigures,
    GateFigures,
    PairedGain,
    Rollback,
)
from tests.lem.registry.test_registry_records import VALUES

BPS = st.floats(allow_nan=False, allow_infinity=False)
COUNTS = st.integers(0, 10**6)
PAIRED = st.fixed_dictionaries(
    {"mean_bps": BPS, "low_bps": st.none() | BPS, "high_bps": st.none() | BPS, "blocks": COUNTS}
)
BY_STRATEGY = st.fixed_dictionaries(
    {"candidate": BPS, "optimal_stopping": BPS}, optional={"twap": BPS, "champion": BPS, "rule": BPS}
)
GATE = st.fixed_dictionaries(
    {
        "orders": COUNTS,
        "days": COUNTS,
        "scenarios": COUNTS,
        "mean_bps": BY_STRATEGY,
        "cvar5_bps": BY_STRATEGY,
        "candidate_minus_optimal_stopping": PAIRED,
    },
    optional={
        "candidate_minus_champion": PAIRED,
        "rule": st.text(min_size=1),
        **dict.fromkeys(("net_mean_bps", "net_cvar5_bps", "net_worth_bps"), BY_STRATEGY),
        **dict.fromkeys(("net_candidate_minus_rule", "net_candidate_minus_champion"), PAIRED),
    },
)
CHECK = st.fixed_dictionaries(
    {
        "name": st.text(),
        "passed": st.booleans(),
        "text": st.text(),
        "figures": st.dictionaries(st.text(), COUNTS | BPS, max_size=3),
    }
)
REST = st.fixed_dictionaries(
    {},
    optional={
        "checks": st.lists(CHECK, min_size=1, max_size=3),
        "panel_version": st.text(),
        "degraded": st.text(min_size=1),
        "by_hand": st.just(True),
        "rolled_back_from": st.none() | st.text(),
        "stage_version": st.text().filter(lambda version: version != "1"),
    },
)
ROWS = st.builds(dict.__or__, st.just({}) | GATE, REST)
KEYS = st.sampled_from(
    [f.name for cls in (DecisionFigures, GateFigures, Check, BpsByStrategy) for f in fields(cls)] + ["rolled_back_from"]
)
ANYTHING = st.dictionaries(KEYS | st.text(max_size=3), VALUES, max_size=6)


def said(figures: DecisionFigures) -> dict:
    """As the registry's column holds it."""
    return json.loads(canonical_json(figures.to_json()))


@settings(deadline=None)
@given(ROWS)
def test_a_stored_row_is_read_into_the_fields_and_gives_the_same_json_again(row):
    figures = DecisionFigures.from_json(row)
    assert not figures.more
    assert (figures.gate is not None) == ("mean_bps" in row)
    assert (figures.gate is not None and bool(figures.gate.rule)) == ("rule" in row)
    assert (figures.rollback is not None) == ("rolled_back_from" in row)
    assert len(figures.checks) == len(row.get("checks", []))
    assert (figures.by_hand, figures.degraded) == ("by_hand" in row, row.get("degraded", ""))
    assert (figures.panel_version, figures.stage_version) == (row.get("panel_version"), row.get("stage_version", "1"))
    assert canonical_json(figures.to_json()) == canonical_json(row)
    assert DecisionFigures.from_json(said(figures)) == figures


@settings(deadline=None)
@given(ROWS, ANYTHING, st.booleans())
def test_whatever_a_row_holds_it_is_read_without_an_error_and_gives_the_same_json_again(row, other, first):
    row = json.loads(canonical_json(other | row if first else row | other))
    assert said(DecisionFigures.from_json(row)) == row


def test_a_field_of_another_shape_is_kept_and_the_others_are_read():
    row = {"degraded": ["a", "list"], "by_hand": "yes", "orders": 7, "checks": [{"name": "caps"}], "panel_version": "v"}
    figures = DecisionFigures.from_json(row)
    assert figures == DecisionFigures(panel_version="v", more={k: row[k] for k in row if k != "panel_version"})


def test_a_key_of_a_later_version_is_kept_where_it_stood_and_its_neighbours_are_read():
    gap = {"mean_bps": 1.0, "low_bps": None, "high_bps": None, "blocks": 3, "median_bps": 2.0}
    means = {"candidate": 1.0, "optimal_stopping": 0.5, "oracle": 9.0}
    row = {"orders": 8, "days": 1, "scenarios": 8, "mean_bps": means, "cvar5_bps": means}
    row |= {"candidate_minus_optimal_stopping": gap, "judged_by": "the gate of next year"}
    row |= {"checks": [{"name": "caps", "passed": True, "text": "fine", "figures": {}, "seconds": 1.5}]}
    figures = DecisionFigures.from_json(row)
    assert (figures.gate.mean_bps.candidate, figures.gate.candidate_minus_optimal_stopping.blocks) == (1.0, 3)
    assert figures.checks[0].passed
    assert figures.more == {"judged_by": "the gate of next year"}
    assert figures.to_json() == row


MEANS = BpsByStrategy(candidate=1.0, optimal_stopping=0.5)
GAP = PairedGain(mean_bps=0.5, low_bps=None, high_bps=None, blocks=2)


@pytest.mark.parametrize(
    ("make", "wrong"),
    [
        (lambda: DecisionFigures(panle_version="v"), "panle_version"),
        (lambda: replace(DecisionFigures(), degradd="bad"), "degradd"),
        (lambda: DecisionFigures(by_hand="yes"), "by_hand"),
        (lambda: DecisionFigures(rollback={"from": "x"}), "taken_back"),
        (lambda: BpsByStrategy(candidate=1.0, optimal_stoping=2.0), "optimal_stoping"),
        (lambda: PairedGain(mean=1.0, low_bps=None, high_bps=None, blocks=1), "mean_bps"),
        (lambda: Check("caps", True, "fine", {"slices": "many"}), "slices"),
        (
            lambda: GateFigures(
                orders=1.5, days=1, scenarios=8, mean_bps=MEANS, cvar5_bps=MEANS, candidate_minus_optimal_stopping=GAP
            ),
            "orders",
        ),
    ],
)
def test_a_misspelt_field_or_one_of_another_type_is_refused_where_it_is_made(make, wrong):
    with pytest.raises((ValidationError, TypeError), match=wrong):
        make()


def test_the_version_of_the_first_code_is_left_out_so_that_rows_of_then_and_now_look_the_same():
    assert DecisionFigures().to_json() == {}
    assert DecisionFigures(stage_version="2").to_json() == {"stage_version": "2"}


OLD = {
    "2024-01-01": {"degraded": "no model was trained for this date; no model trades"},
    "2024-01-02": {},
    "2024-01-03": {"by_hand": True},
    "2024-01-04": {"by_hand": True, "rolled_back_from": None},
    "2024-01-05": {"by_hand": True, "rolled_back_from": "0123456789abcdef", "told_by": "a colleague"},
    "2024-01-06": {"gain_bps": 0.4},
}


def test_a_registry_with_rows_of_old_is_read(registry, url):
    path = url.removeprefix("sqlite:///")
    with sqlite3.connect(path) as database:
        for date, figures in OLD.items():
            for table in ("promotions", "promotion_log"):
                values = ("crypto", date, "none", "[]", json.dumps(figures), "2024-01-01 00:00:00")
                columns = "universe, date, decision, reasons, figures, decided_at"
                database.execute(f"INSERT INTO {table} ({columns}) VALUES (?, ?, ?, ?, ?, ?)", values)
    read = registry.promotions("crypto")
    assert registry.decisions("crypto") == read
    assert [decision.figures.to_json() for decision in read] == list(OLD.values())
    assert [decision.by_hand for decision in read] == [False, False, True, True, True, False]
    assert [decision.night for decision in read[:2]] == [
        f"degraded: {OLD['2024-01-01']['degraded']}",
        "as it should be",
    ]
    assert [decision.figures.rollback for decision in read[2:5]] == [None, Rollback(None), Rollback("0123456789abcdef")]
