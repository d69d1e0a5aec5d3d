"""The registry refuses what a step that was replaced by a later one writes."""

from __future__ import annotations

import datetime as dt
import tempfile

import pytest
from hypothesis import given

from lem.errors import FencedError
from lem.registry import PromotionRecord, Registry
from tests.lem.builders import PROPERTY
from tests.lem.fencing import check_order, orders

DATES = {"a": dt.date(2024, 1, 10), "b": dt.date(2024, 1, 11)}


def decision(path: str, number: int, **changes) -> PromotionRecord:
    fields = {"decision": "none", "reasons": [f"{number}"]} | changes
    return PromotionRecord("crypto", DATES[path], None, None, None, **fields)


@PROPERTY
@given(orders)
def test_whatever_the_order_the_latest_step_decides(order):
    with tempfile.TemporaryDirectory() as folder:
        registry = Registry(f"sqlite:///{folder}/registry.db")
        check_order(
            order,
            registry.fenced,
            lambda step, path, number: step.record_promotion(decision(path, number)) and None,
            lambda: {
                path: int(p.reasons[0])
                for p in registry.promotions("crypto")
                for path, date in DATES.items()
                if date == p.date
            },
        )


def test_an_orphans_model_does_not_become_the_candidate(registry, make_model):
    orphan, later = registry.fenced(), registry.fenced()
    old, new = make_model(10), make_model(10, seed=8)
    later.add_model(new)
    with pytest.raises(FencedError, match="candidate of crypto on 2024-01-10 was written by a step that began later"):
        orphan.add_model(old)
    assert registry.candidate("crypto", DATES["a"]) == new
    assert registry.models() == [new]
    registry.fenced().add_model(old)
    assert registry.candidate("crypto", DATES["a"]) == old


def test_a_step_may_write_again_what_it_wrote(registry, make_model):
    step = registry.fenced()
    for _ in range(2):
        step.add_model(make_model(10))
        step.record_promotion(decision("a", 1))
    assert len(registry.decisions("crypto")) == 2


def test_what_is_written_by_hand_counts_as_the_latest(registry, make_model):
    orphan = registry.fenced()
    registry.decide("crypto", lambda log: decision("a", 1), "choose")
    with pytest.raises(FencedError):
        orphan.record_promotion(decision("a", 2))
    registry.fenced().record_promotion(decision("a", 3))
    assert [p.reasons for p in registry.promotions("crypto")] == [["3"]]
