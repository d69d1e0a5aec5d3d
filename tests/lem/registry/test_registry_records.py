from __future__ import annotations

import datetime as dt
import hashlib
import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lem.errors import RegistryError
from lem.registry import InputVersion, PromotionRecord, canonical_json, manifest_id
from lem.registry.decision_figures import Check, DecisionFigures
from lem.registry.records import REFUSED

NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
LEAVES = st.none() | st.booleans() | NUMBERS | st.text()
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(), inner, max_size=3)
        | st.dictionaries(st.integers(), inner, max_size=3)
    ),
    max_leaves=8,
)
DAY = dt.date(2024, 1, 10)


@given(VALUES)
def test_canonical_json_of_what_was_stored_is_what_was_stored(value):
    text = canonical_json(value)
    assert canonical_json(json.loads(text)) == text
    assert text.isascii()


@given(st.dictionaries(st.text(), LEAVES, max_size=6))
def test_a_manifest_has_one_id_whatever_the_order_of_its_keys(manifest):
    assert manifest_id(dict(reversed(manifest.items()))) == manifest_id(manifest)


def test_the_id_is_the_first_16_hex_digits_of_the_sha256():
    assert canonical_json({"b": [1, 2.5], "a": "σ"}) == '{"a":"\\u03c3","b":[1,2.5]}'
    assert manifest_id({"a": 1}) == hashlib.sha256(b'{"a":1}').hexdigest()[:16]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), DAY, np.zeros(2), {1: "a", "b": 2}, {DAY: 1}])
def test_what_json_cannot_hold_is_refused(value):
    with pytest.raises(RegistryError, match="allowed are finite numbers"):
        canonical_json({"x": value})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train_end": dt.date(2024, 1, 11)}, "train_end <= usable_on"),
        ({"train_end": dt.date(2023, 1, 1)}, "train_start < train_end"),
        ({"usable_on": pd.Timestamp("2024-01-10")}, "usable_on of model .* must be a datetime.date"),
        ({"created_at": dt.datetime(2024, 1, 10)}, "created_at of model .* time zone"),
        ({"seed": -1}, "seed of model"),
        ({"seed": 2**63}, "seed of model"),
        ({"manifest": "{}"}, "must be a dict, not str"),
        ({"inputs": [InputVersion("panel", "d", "v1"), InputVersion("panel", "d", "v2")]}, "more than once"),
    ],
)
def test_a_model_that_cannot_be_is_refused(make_model, changes, message):
    with pytest.raises(RegistryError, match=message):
        make_model(**changes)


def test_a_model_says_what_its_manifest_says_of_how_it_was_made(make_model):
    made = {"horizon": 12, "bar": "1h", "features": {"volume": 24}, "model": {"hidden": 8}, "training": {"steps": 3}}
    model = make_model(manifest=made | {"libraries": {"torch": "2.9"}, "machine": "x86_64"})
    assert (model.horizon, model.bar, model.machine) == (12, "1h", "x86_64")
    assert model.feature_settings == {"volume": 24}
    assert (model.model_settings, model.training_settings) == ({"hidden": 8}, {"steps": 3})
    assert model.libraries == {"torch": "2.9"}


@pytest.mark.parametrize("manifest", [{}, {"horizon": "12", "bar": 1, "features": [], "model": "big", "libraries": 0}])
def test_what_a_manifest_does_not_say_or_says_in_another_way_is_not_known(make_model, manifest):
    model = make_model(manifest=manifest)
    assert (model.horizon, model.bar, model.feature_settings, model.model_settings) == (None, None, None, None)
    assert (model.training_settings, model.machine, model.libraries) == (None, None, {})


@pytest.mark.parametrize(
    ("champion", "candidate", "decision", "message"),
    [
        ("a" * 16, "b" * 16, "promoted", "promoted means that the candidate is champion"),
        (None, None, "promoted", "promoted means"),
        (None, "a" * 16, "kept", "kept that there is a champion"),
        ("a" * 16, None, "none", "none that there is none"),
        ("a" * 16, "a" * 16, "yes", "allowed are promoted, kept, none"),
    ],
)
def test_a_decision_that_contradicts_its_champion_is_refused(champion, candidate, decision, message):
    with pytest.raises(RegistryError, match=message):
        PromotionRecord("crypto", DAY, champion, candidate, None, decision)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"reasons": "because"}, "list of strings"),
        ({"reasons": [1]}, "list of strings"),
        ({"figures": {"by_hand": True}}, "must be DecisionFigures, not dict"),
        ({"date": dt.datetime(2024, 1, 10)}, "must be a datetime.date"),
        ({"decided_at": dt.datetime(2024, 1, 10)}, "time zone"),
    ],
)
def test_a_promotion_with_a_field_of_the_wrong_type_is_refused(changes, message):
    fields = {"universe": "crypto", "date": DAY, "decision": "none"}
    nobody = {"champion_id": None, "candidate_id": None, "previous_id": None}
    with pytest.raises(RegistryError, match=message):
        PromotionRecord(**fields | nobody | changes)


FAILED = DecisionFigures(checks=(Check("caps", False, "too much", {}),))


@pytest.mark.parametrize(
    ("champion", "candidate", "decision", "reason", "figures", "outcome", "sentence"),
    [
        ("b", "b", "promoted", "it keeps more", {}, "promoted", "The candidate is promoted: it keeps more"),
        (
            *("a", "b", "kept", f"{REFUSED} because it keeps less", {}, "champion stays"),
            "The champion stays: the candidate was refused because it keeps less",
        ),
        (
            *("a", "b", "kept", "refused: it keeps less", {}, "champion stays"),
            "The champion stays: the candidate was refused because it keeps less",
        ),
        (
            *("a", "b", "kept", "too much", FAILED.to_json(), "champion stays"),
            "The champion stays: the candidate was refused because it failed a sanity check (too much)",
        ),
        (
            *(None, "b", "none", "too much", FAILED.to_json(), "no model trades"),
            "No model trades: the candidate was refused because it failed a sanity check (too much)",
        ),
        ("a", None, "kept", "no model is due.", {}, "champion stays", "The champion stays: no model is due"),
        (
            *("b", "b", "promoted", "by hand: we trust it", {"by_hand": True}, "promoted by hand"),
            "Decided by hand: model b trades (we trust it)",
        ),
        (
            *(None, None, "none", "by hand: a holiday", {"by_hand": True}, "no model trades by hand"),
            "Decided by hand: no model trades (a holiday)",
        ),
    ],
)
def test_a_decision_says_who_trades_and_why_in_a_sentence(
    champion, candidate, decision, reason, figures, outcome, sentence
):
    found = PromotionRecord(
        "crypto", DAY, champion, candidate, "a", decision, [reason], DecisionFigures.from_json(figures)
    )
    assert (found.outcome, found.sentence) == (outcome, sentence)
