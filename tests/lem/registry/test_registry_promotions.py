from __future__ import annotations

import datetime as dt
from dataclasses import replace

import pytest

from lem.errors import RegistryError
from lem.registry import PromotionRecord
from lem.registry.decision_figures import DecisionFigures


def day(number: int) -> dt.date:
    return dt.date(2024, 1, number)


def promoted(model, date, previous=None) -> PromotionRecord:
    ids = model.id, model.id, previous and previous.id
    return PromotionRecord(model.universe, date, *ids, "promoted", ["better"], DecisionFigures(panel_version="v1"))


def test_a_promotion_comes_back_as_it_went_in(registry, make_model):
    model = make_model(10)
    registry.add_model(model)
    record = promoted(model, day(10))
    registry.record_promotion(record)
    assert registry.promotion("crypto", day(10)) == record
    assert registry.promotion("crypto", day(11)) is None
    assert registry.promotion("dow", day(10)) is None


def test_deciding_a_date_again_replaces_its_decision_alone(registry, make_model):
    model = make_model(10)
    registry.add_model(model)
    first = PromotionRecord("crypto", day(10), None, model.id, None, "none", ["no gain"])
    later = PromotionRecord("crypto", day(11), None, None, None, "none")
    for record in (later, first, again := promoted(model, day(10)), again):
        registry.record_promotion(record)
    assert registry.promotions("crypto") == [again, later]


def test_the_champion_is_the_last_decision_s_as_of_a_date(registry, make_model):
    old, new = make_model(10), make_model(12)
    for model in (old, new):
        registry.add_model(model)
    kept = PromotionRecord("crypto", day(11), old.id, None, old.id, "kept")
    nobody = PromotionRecord("crypto", day(14), None, None, new.id, "none")
    for record in (nobody, promoted(new, day(12), old), kept, promoted(old, day(10))):
        registry.record_promotion(record)
    on = {number: registry.champion_on("crypto", day(number)) for number in range(9, 16)}
    assert on == {9: None, 10: old, 11: old, 12: new, 13: new, 14: None, 15: None}
    before = {number: registry.champion_before("crypto", day(number)) for number in range(9, 16)}
    assert before == {9: None, 10: None, 11: old, 12: old, 13: new, 14: new, 15: None}
    assert registry.champion_on("dow", day(13)) is None


def test_the_log_keeps_every_decision_in_the_order_in_which_they_were_made(registry, make_model):
    model = make_model(10)
    registry.add_model(model)
    refused = PromotionRecord("crypto", day(10), None, model.id, None, "none", ["no gain"])
    later = PromotionRecord("crypto", day(11), None, None, None, "none")
    made = [later, refused, promoted(model, day(10)), promoted(model, day(10))]
    for record in made:
        assert registry.record_promotion(record) == record
    assert registry.decisions("crypto") == made
    assert registry.decisions("dow") == []


def by_hand(model, date) -> PromotionRecord:
    return replace(promoted(model, date), reasons=["by hand: because"], figures=DecisionFigures(by_hand=True))


def test_what_the_gate_says_of_a_date_decided_by_hand_is_not_recorded_and_another_decision_by_hand_is(
    registry, make_model
):
    old, new = make_model(10), make_model(11)
    for model in (old, new):
        registry.add_model(model)
    first, second = by_hand(old, day(11)), by_hand(new, day(11))
    registry.record_promotion(first)
    assert registry.record_promotion(promoted(new, day(11), old)) == first
    assert registry.promotions("crypto") == registry.decisions("crypto") == [first]
    registry.record_promotion(second)
    assert registry.promotions("crypto") == [second]
    assert registry.decisions("crypto") == [first, second]


def test_a_gate_that_judged_against_a_champion_replaced_by_hand_in_the_meantime_is_refused(registry, make_model):
    old, other, new = (make_model(number) for number in (9, 10, 11))
    for model in (old, other, new):
        registry.add_model(model)
    registry.record_promotion(promoted(old, day(10)))
    registry.record_promotion(by_hand(other, day(10)))
    with pytest.raises(RegistryError, match=rf"by hand {other.id} was made champion on 2024-01-10; decide again"):
        registry.record_promotion(promoted(new, day(11), old))
    assert registry.champion_on("crypto", day(11)) == other
    registry.record_promotion(promoted(new, day(11), other))
    assert registry.champion_on("crypto", day(11)) == new


def test_a_decision_chosen_from_the_log_is_recorded_with_it_or_not_at_all(registry, make_model):
    registry.add_model(model := make_model(10))
    seen = []

    def choose(log):
        seen.append(log)
        return promoted(model, day(10 + len(log)))

    first, second = (registry.decide("crypto", choose, "choose") for _ in range(2))
    assert seen == [[], [first]]
    assert registry.promotions("crypto") == [first, second]
    with pytest.raises(RegistryError, match=r"cannot choose again: the champion .* usable from 2024-01-10"):
        registry.decide("crypto", lambda _: promoted(model, day(9)), "choose again")
    assert registry.decisions("crypto") == [first, second]


@pytest.mark.parametrize("role", ["champion_id", "candidate_id", "previous_id"])
def test_a_promotion_names_known_models_only(registry, make_model, role):
    model = make_model(10)
    registry.add_model(model)
    record = PromotionRecord("crypto", day(10), model.id, model.id, None, "kept")
    with pytest.raises(RegistryError, match="no model '0000000000000000'"):
        registry.record_promotion(replace(record, **{role: "0" * 16}))
    assert registry.promotions("crypto") == []


def test_no_model_trades_before_the_date_it_may_be_used(registry, make_model):
    model = make_model(10)
    registry.add_model(model)
    with pytest.raises(RegistryError, match="usable from 2024-01-10; allowed are models of crypto usable on"):
        registry.record_promotion(promoted(model, day(9)))


def test_no_model_trades_in_another_universe(registry, make_model):
    model = make_model(10)
    registry.add_model(model)
    with pytest.raises(RegistryError, match=r"is of crypto .* allowed are models of dow"):
        registry.record_promotion(replace(promoted(model, day(10)), universe="dow"))


@pytest.mark.parametrize("method", ["candidate", "promotion", "champion_on", "champion_before"])
def test_a_date_is_a_plain_date(registry, method):
    with pytest.raises(RegistryError, match=r"must be a datetime\.date, not datetime"):
        getattr(registry, method)("crypto", dt.datetime(2024, 1, 10))
