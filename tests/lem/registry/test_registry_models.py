from __future__ import annotations

import datetime as dt
from dataclasses import replace

import pytest

from lem.errors import RegistryError
from lem.registry import InputVersion, Registry
from lem.registry.decision_figures import BpsByStrategy

DAY = dt.date(2024, 1, 10)


def test_a_model_comes_back_as_it_went_in_and_in_utc(registry, url, make_model):
    tokyo = dt.timezone(dt.timedelta(hours=9))
    record = make_model(created_at=dt.datetime(2024, 1, 10, 1, 2, 3, 456789, tzinfo=tokyo))
    registry.add_model(record)
    found = Registry(url, read_only=True).model(record.id)
    assert found == record
    assert found.created_at.utcoffset() == dt.timedelta(0)


def test_registering_a_model_again_changes_nothing(registry, make_model):
    first = make_model(created_at=dt.datetime(2024, 1, 10, tzinfo=dt.UTC))
    registry.add_model(first)
    registry.add_model(replace(first, created_at=dt.datetime(2024, 2, 1, tzinfo=dt.UTC)))
    assert registry.models() == [first]


@pytest.mark.parametrize(
    "change",
    [
        {"manifest": {"rate": 0.2}},
        {"weights_sha256": "00" * 32},
        {"inputs": [InputVersion("panel", "2023-01-01", "v3")]},
        {"seed": 8},
    ],
)
def test_an_id_belongs_to_one_model(registry, make_model, change):
    record = make_model()
    registry.add_model(record)
    field = next(iter(change))
    with pytest.raises(RegistryError, match=f"{record.id} is already there and differs in {field}:"):
        registry.add_model(replace(record, **change))
    assert registry.model(record.id) == record


def test_a_model_is_found_by_a_prefix_of_its_id(registry, make_model):
    one, two = make_model(id="abcdef0123456789"), make_model(id="abcdefff00000000")
    registry.add_model(one)
    registry.add_model(two)
    assert registry.model("abcdef0") == one
    both = "abcdef0123456789, abcdefff00000000"
    with pytest.raises(RegistryError, match=f"2 models begin with 'abcdef': {both}"):
        registry.model("abcdef")
    with pytest.raises(RegistryError, match="no model 'ABCDEF0'"):
        registry.model("ABCDEF0")
    with pytest.raises(RegistryError, match="no model '%%%%%%'"):
        registry.model("%%%%%%")


def test_an_id_that_is_the_beginning_of_another_is_found(registry, make_model):
    for model_id in ("abcdef", "abcdef01"):
        registry.add_model(make_model(id=model_id))
    assert registry.model("abcdef").id == "abcdef"


def test_an_unknown_model_is_answered_with_the_nearest_ids(registry, make_model):
    with pytest.raises(RegistryError, match="no model '0123456789abcdef'; it holds no models"):
        registry.model("0123456789abcdef")
    registry.add_model(make_model(id="0123456789abcdee"))
    registry.add_model(make_model(id="ffffffffffffffff"))
    with pytest.raises(RegistryError, match="the nearest of 2: 0123456789abcdee;"):
        registry.model("0123456789abcdef")
    with pytest.raises(RegistryError, match=r"no model '01234'.*first 6 or more"):
        registry.model("01234")


def test_models_are_ordered_by_the_date_they_may_be_used(registry, make_model):
    for day, universe in ((12, "crypto"), (10, "crypto"), (11, "dow")):
        registry.add_model(make_model(day, universe=universe))
    assert [model.usable_on.day for model in registry.models()] == [10, 11, 12]
    assert [model.usable_on.day for model in registry.models("crypto")] == [10, 12]
    assert registry.models("sample") == []


def test_the_candidate_is_the_model_registered_last_whatever_the_clock_says(registry, make_model):
    early, late = dt.datetime(2024, 1, 10, tzinfo=dt.UTC), dt.datetime(2024, 1, 11, tzinfo=dt.UTC)
    first, second = make_model(created_at=late), make_model(seed=8, created_at=early)
    assert registry.candidate("crypto", DAY) is None
    registry.add_model(first)
    registry.add_model(second)
    assert registry.candidate("crypto", DAY) == second
    registry.add_model(first)
    assert registry.candidate("crypto", DAY) == first
    assert registry.candidate("dow", DAY) is None
    assert registry.candidate("crypto", DAY + dt.timedelta(days=1)) is None


def test_the_candidates_of_a_universe_are_those_of_its_dates(registry, make_model):
    first, again, later = make_model(10), make_model(10, seed=8), make_model(11)
    for model in (later, first, again):
        registry.add_model(model)
    assert list(registry.candidates("crypto").items()) == [(again.usable_on, again), (later.usable_on, later)]
    assert registry.candidates("dow") == {}
    assert registry.models() == sorted([first, again, later], key=lambda one: (one.usable_on, one.id))


def test_metrics_are_kept_by_window_and_replaced_by_name(registry, make_model):
    record = make_model()
    registry.add_model(record)
    registry.set_metrics(record.id, "train", {"loss": 0.5, "steps": 3})
    registry.set_metrics(record.id, "gate", {"gain_bps": 1 / 3})
    registry.set_metrics(record.id, "train", {"loss": 0.25})
    expected = {"gate": {"gain_bps": 1 / 3}, "train": {"loss": 0.25, "steps": 3.0}}
    assert registry.metrics(record.id[:8]) == expected


def test_what_the_gate_measured_of_a_candidate_is_a_metric_of_it_and_none_of_a_model_that_it_never_judged(
    registry, make_model
):
    record = make_model()
    registry.add_model(record)
    assert registry.gate_gain(record.id) is None
    registry.set_gate_gains(record.id, BpsByStrategy(candidate=9.5, optimal_stopping=8.0, twap=0.0))
    assert registry.gate_gain(record.id[:8]) == 9.5
    means = {"mean_bps_candidate": 9.5, "mean_bps_optimal_stopping": 8.0, "mean_bps_twap": 0.0}
    assert registry.metrics(record.id) == {"gate": means}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), None, "1"])
def test_a_metric_that_is_no_finite_number_is_refused_and_nothing_is_written(registry, make_model, value):
    record = make_model()
    registry.add_model(record)
    with pytest.raises(RegistryError, match=r"metric 'gain_bps' .* allowed are finite numbers"):
        registry.set_metrics(record.id, "gate", {"loss": 1.0, "gain_bps": value})
    assert registry.metrics(record.id) == {}


def test_metrics_are_written_under_a_whole_id_only(registry, make_model):
    record = make_model()
    registry.add_model(record)
    with pytest.raises(RegistryError, match=f"no model '{record.id[:8]}'; the nearest of 1: {record.id}"):
        registry.set_metrics(record.id[:8], "train", {"loss": 1.0})
