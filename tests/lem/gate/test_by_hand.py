"""Decisions by hand: who trades after them, what is refused, and what the gate makes of them."""

from __future__ import annotations

import datetime as dt
import shutil

import pytest
import torch

from lem.errors import LakeError, RegistryError
from lem.gate.by_hand import champions, promote, rollback
from lem.gate.champion import decide_champion
from lem.lake import Lake
from lem.lineage.staleness import decision_is_stale
from lem.lineage.versions import Versioned
from lem.model.lem import LEM, weights_hash
from lem.registry import ModelRecord, PromotionRecord, Registry, manifest_id
from lem.reports.nightly import make_report
from lem.training.manifest import weights_path
from lem.training.nightly import train_for
from lem_pipeline.planning.dates import dates_for
from lem_pipeline.planning.plan import report_steps
from tests.lem.builders import TINY
from tests.lem.reports.pages import Page, text_of

pytestmark = pytest.mark.usefixtures("empty_pictures")


def day(number):
    return dt.date(2024, 1, number)


@pytest.fixture
def universe(make_universe):
    return make_universe()


@pytest.fixture
def lake(tmp_path):
    return Lake(f"memory://{tmp_path.name}")


@pytest.fixture
def registry(tmp_path):
    return Registry(f"sqlite:///{tmp_path}/registry.db")


@pytest.fixture
def add_model(lake, registry):
    """`add_model(10)` stores and registers a model usable on that day, of random weights or of these."""

    def add(number, universe="small", model=None):
        torch.manual_seed(number)
        weights = (model or LEM(TINY)).weights()
        sha256 = weights_hash(weights)
        manifest = {"universe": universe, "usable_on": f"{day(number)}", "model": TINY.model_dump(mode="json")}
        path = weights_path(universe, sha256)
        lake.write_bytes(path, weights)
        dates = day(number), dt.date(2023, 1, 1), dt.date(2023, 6, 1)
        registry.add_model(
            record := ModelRecord(manifest_id(manifest), universe, *dates, sha256, path, "0.1.0", 7, manifest)
        )
        return record

    return add


@pytest.fixture
def three(registry, add_model):
    """Models of the 10th, 11th and 12th, each promoted by the gate on its day."""
    models = [add_model(number) for number in (10, 11, 12)]
    for model, before in zip(models, [None, *models], strict=False):
        registry.record_promotion(gate(model, before))
    return models


def gate(model, before=None, date=None):
    ids = model.id, model.id, before and before.id
    return PromotionRecord(model.universe, date or model.usable_on, *ids, "promoted", ["better"])


def test_a_model_promoted_by_hand_trades_from_the_last_decisions_date_on_and_its_reason_is_kept(
    lake, registry, universe, three
):
    old, _, new = three
    made = promote(lake, registry, universe, old.id[:8], " the fills looked wrong ")
    assert made == registry.promotion("small", day(12)) == registry.decisions("small")[-1]
    assert (made.date, made.champion_id, made.candidate_id, made.previous_id) == (day(12), old.id, old.id, new.id)
    assert (made.decision, made.reasons) == ("promoted", ["by hand: the fills looked wrong"])
    assert made.figures.to_json() == {"by_hand": True}
    assert registry.champion_on("small", day(12)) == old
    assert registry.champion_on("small", day(11)) == three[1]


def test_a_rollback_lets_the_champion_before_trade_again_and_another_one_the_champion_before_that(
    lake, registry, universe, three
):
    first, second, third = three
    made = rollback(lake, registry, universe, "too eager", day(13))
    assert (made.date, made.champion_id, made.candidate_id, made.previous_id) == (
        day(13),
        second.id,
        second.id,
        third.id,
    )
    assert (made.decision, made.reasons) == ("promoted", [f"rolled back from {third.id}: too eager"])
    assert made.figures.to_json() == {"by_hand": True, "rolled_back_from": third.id}
    assert rollback(lake, registry, universe, "this one too").champion_id == first.id
    with pytest.raises(RegistryError, match=rf"no earlier champion to roll back to: the first one, {first.id}, trades"):
        rollback(lake, registry, universe, "and this one")
    assert len(registry.decisions("small")) == 5


def test_a_promotion_by_hand_is_rolled_back_to_the_champion_that_it_replaced_on_the_same_date(
    lake, registry, universe, three
):
    first, _, third = three
    promote(lake, registry, universe, first.id, "try it")
    assert rollback(lake, registry, universe, "it was no better").champion_id == third.id


def test_a_model_that_the_gate_chose_before_it_judged_the_date_again_is_no_champion_to_roll_back_to(
    lake, registry, universe, add_model
):
    first, wrong, right = (add_model(number) for number in (10, 11, 12))
    for decision in (gate(first), gate(wrong, first, day(12)), gate(right, first)):
        registry.record_promotion(decision)
    assert champions(registry.decisions("small")) == [first.id, right.id]
    assert rollback(lake, registry, universe, "why not").champion_id == first.id


def test_nights_on_which_no_model_traded_are_no_champion_to_roll_back_to(lake, registry, universe, add_model):
    first, second = add_model(10), add_model(12)
    nobody = PromotionRecord("small", day(11), None, None, first.id, "none")
    for decision in (gate(first), nobody, gate(second)):
        registry.record_promotion(decision)
    assert champions(registry.decisions("small")) == [first.id, None, second.id]
    assert rollback(lake, registry, universe, "why not").champion_id == first.id
    assert champions([]) == []


def test_without_a_champion_before_there_is_nothing_to_roll_back_to(lake, registry, universe, add_model):
    for present, decide in (("no model trades", False), (f"the first one, {add_model(10).id}, trades", True)):
        if decide:
            registry.record_promotion(gate(add_model(10)))
        with pytest.raises(RegistryError, match=f"small: there is no earlier champion .*: {present}; allowed"):
            rollback(lake, registry, universe, "why not")


def test_a_rollback_of_a_champion_that_somebody_replaces_at_that_moment_is_refused(
    lake, registry, universe, three, monkeypatch
):
    seen = registry.decisions("small")
    promote(lake, registry, universe, three[0].id, "somebody was faster")
    monkeypatch.setattr(registry, "decisions", lambda _: seen)
    with pytest.raises(RegistryError, match=rf"replaced the champion {three[2].id} by {three[0].id} at this very"):
        rollback(lake, registry, universe, "why not")
    monkeypatch.undo()
    assert len(registry.decisions("small")) == 4


@pytest.mark.parametrize("reason", ["", " \n"])
def test_a_decision_by_hand_without_a_reason_is_refused(lake, registry, universe, three, reason):
    for decide in (
        lambda: promote(lake, registry, universe, three[0].id, reason),
        lambda: rollback(lake, registry, universe, reason),
    ):
        with pytest.raises(RegistryError, match="without a reason; allowed: a sentence"):
            decide()
    assert len(registry.decisions("small")) == 3


@pytest.mark.parametrize("date", [day(11), dt.date(2024, 2, 1), dt.date(2999, 1, 1)])
def test_a_date_before_the_last_decision_or_after_the_universe_is_refused_with_what_is_allowed(
    lake, registry, universe, three, date
):
    allowed = r"allowed: dates from the last decision \(2024-01-12\) to 2024-01-31"
    with pytest.raises(RegistryError, match=rf"small: no decision by hand for {date}; {allowed}"):
        promote(lake, registry, universe, three[0].id, "why not", date)
    assert len(registry.decisions("small")) == 3


def test_a_universe_without_end_allows_decisions_up_to_tomorrow(lake, registry, make_universe, three):
    universe, tomorrow = make_universe(end=None), dt.datetime.now(dt.UTC).date() + dt.timedelta(days=1)
    with pytest.raises(RegistryError, match=f"to {tomorrow}"):
        promote(lake, registry, universe, three[0].id, "why not", tomorrow + dt.timedelta(days=1))
    assert promote(lake, registry, universe, three[0].id, "why not", tomorrow).date == tomorrow


def test_a_weekend_is_no_date_for_a_decision_on_an_equity_universe(lake, registry, make_universe, three):
    equities = make_universe(calendar="XNYS", end="2024-03-29", source={"kind": "files", "url": "{data}/{symbol}.csv"})
    with pytest.raises(RegistryError, match="no decision by hand for 2024-01-13; allowed: weekdays from"):
        promote(lake, registry, equities, three[0].id, "why not", day(13))


def test_before_the_first_decision_a_date_has_to_be_given(lake, registry, universe, add_model):
    model = add_model(10)
    with pytest.raises(RegistryError, match="small: there is no decision yet whose date could be taken; give a date"):
        promote(lake, registry, universe, model.id, "the first")
    made = promote(lake, registry, universe, model.id, "the first", day(10))
    assert (made.previous_id, registry.champion_on("small", day(10))) == (None, model)


def test_a_model_that_may_not_trade_yet_or_not_here_is_not_promoted(lake, registry, universe, three, add_model):
    for model in (add_model(13), add_model(9, "other")):
        with pytest.raises(RegistryError, match=r"cannot promote model .* allowed are models of small usable on"):
            promote(lake, registry, universe, model.id, "why not")
    with pytest.raises(RegistryError, match="no model 'ffffffff'"):
        promote(lake, registry, universe, "ffffffff", "why not")


def test_a_model_whose_weights_are_not_finite_were_changed_or_are_gone_is_not_promoted(
    lake, registry, universe, three, add_model
):
    broken = LEM(TINY)
    next(broken.parameters()).data.fill_(torch.nan)
    with pytest.raises(RegistryError, match=r"weights are not finite: .*; allowed: a model that can trade"):
        promote(lake, registry, universe, add_model(9, model=broken).id, "why not")
    path = three[1].weights_path
    weights = lake.read_bytes(path)
    lake.write_bytes(path, weights[:-1] + bytes([weights[-1] ^ 1]))
    for decide in (
        lambda: promote(lake, registry, universe, three[1].id, "x"),
        lambda: rollback(lake, registry, universe, "x"),
    ):
        with pytest.raises(LakeError, match="the object was changed, refused"):
            decide()
    lake.fs.rm(f"{lake.root}/{path}")
    with pytest.raises(LakeError, match="there is no small/weights"):
        rollback(lake, registry, universe, "why not")
    assert len(registry.decisions("small")) == 3


@pytest.fixture
def night(tiny_home, tmp_path):
    """A copy of the tiny universe's lake and registry after the night of the 18th, and the universe."""
    shutil.copytree(tiny_home.folder / "home", tmp_path, dirs_exist_ok=True)
    return Lake(str(tmp_path / "lake")), Registry(f"sqlite:///{tmp_path}/registry.sqlite"), tiny_home.universe


def other_than_the_champion(registry):
    champion = registry.champion_on("tiny", day(18))
    return next(model for model in registry.models("tiny") if model.id != champion.id)


def test_the_gate_leaves_a_decision_by_hand_alone_and_judges_the_next_candidate_against_it(night):
    lake, registry, universe = night
    chosen = other_than_the_champion(registry)
    made = promote(lake, registry, universe, chosen.id, "we trust it more")
    assert decide_champion(lake, registry, universe, day(18)) == made
    assert registry.decisions("tiny")[-1] == made
    candidate = registry.candidate("tiny", day(18))
    assert not decision_is_stale(Versioned(lake, universe), universe, made, candidate, made.previous_id)
    train_for(lake, registry, universe, day(19))
    after = decide_champion(lake, registry, universe, day(19))
    assert after.previous_id == chosen.id
    assert not after.by_hand
    assert after.figures.gate.candidate_minus_champion


def test_a_decision_by_hand_makes_backtests_and_report_again_and_no_model_or_decision(night):
    lake, registry, universe = night
    promote(lake, registry, universe, other_than_the_champion(registry).id, "we trust it more")
    steps = report_steps(lake, registry, universe, dates_for(universe, day(18), dt.date(2024, 6, 1)), False)
    assert [step.tables for step in steps] == [("backtest",), ("execution_report",)]


@pytest.mark.thorough
def test_the_report_says_who_decided_and_why(night):
    lake, registry, universe = night
    before = text_of(make_report(lake, registry, universe, day(18)).report.html)
    chosen = other_than_the_champion(registry)
    promote(lake, registry, universe, chosen.id, "we trust it more")
    page = make_report(lake, registry, universe, day(18)).report.html
    words = text_of(page)
    assert "by hand" not in before
    said = f"Decided by hand: model {chosen.id} trades (we trust it more)."
    assert f"{said} " in words[: words.index("More under The gate")]
    assert f"2024-01-18 , candidate {chosen.id[:8]} {said}" in words
    assert ["Promoted by hand", chosen.id[:8], chosen.id[:8]] in [
        row[1:4] for row in Page(page).table("Decisions of the gate") if row[0] == "2024-01-18"
    ]
