"""Bad nights: whatever is wrong with a candidate, yesterday's champion trades on, and the night is called degraded."""

from __future__ import annotations

import copy
import datetime as dt
import os
import shutil
import signal
import time
from dataclasses import replace

import dagster as dg
import pytest
import torch

import lem.training.trainer
from lem.backtest import random_walk
from lem.data.panel import PANEL_SCHEMA, Panel, panel_table
from lem.errors import TrainingError
from lem.gate import sanity as gate_checks
from lem.gate.champion import decide_champion
from lem.lineage.tables import read_range
from lem.model import allocation
from lem.model.lem import LEM, weights_hash
from lem.registry import InputVersion, ModelRecord, PromotionRecord, Registry, manifest_id
from lem.training.manifest import weights_path
from lem.training.trainer import train
from lem.universe.calendars import partition_dates
from lem.universe.windows import dates_before, training_window
from lem_pipeline.running.launch import failed_checks
from tests.assets.test_graph import Place
from tests.lem.builders import FEATURE_CONFIG, TINY, brownian_bars, features_of, lively_model, timing_model

pytestmark = pytest.mark.usefixtures("empty_pictures")

DATE = dt.date(2024, 1, 20)
YESTERDAY = DATE - dt.timedelta(days=1)
TRAINING = {
    "window_days": 14,
    "holdout_days": 7,
    "steps": 60,
    "arrival_every": 1,
    "batch": 4,
    "sequence": 36,
    "learning_rate": 2e-2,
    "risk_aversion": [0.02, 0.2],
    "seed": 3,
}


@pytest.fixture(autouse=True)
def small_controls(monkeypatch):
    monkeypatch.setattr(random_walk, "WALKS", 12)
    monkeypatch.setattr(random_walk, "ARRIVALS", 400)
    monkeypatch.setattr(gate_checks, "CONTROL_ARRIVALS", 400)


@pytest.fixture
def place(make_universe, tmp_path):
    """Panels up to the date, and a good model that trades since yesterday."""
    universe = make_universe(
        horizon=6,
        backtest={"min_bars": [1, 6], "bootstrap": 100},
        model=TINY.model_dump() | {"base": "even"},  # with the theory below it, no targets keep a model from the prices
        training=TRAINING,
        features=FEATURE_CONFIG.model_dump(),
    )
    place = Place(universe, tmp_path, dg.DagsterInstance.ephemeral())
    days = partition_dates(universe, universe.start, YESTERDAY)
    tables = {symbol: features_of(brownian_bars(len(days), 8 + i)) for i, symbol in enumerate(universe.symbols)}
    for date in days:
        rows = {symbol: table[table["ts"].dt.date == date] for symbol, table in tables.items()}
        place.lake.write_table(place.lake.path(universe.name, "panel", date), panel_table(rows), PANEL_SCHEMA)
    champion = register(place, timing_model(-1.0), YESTERDAY)
    place.registry.record_promotion(
        PromotionRecord("small", YESTERDAY, champion.id, champion.id, None, "promoted", ["first model"])
    )
    return place


def register(place, model, date=DATE, without=()):
    """Store a model as the candidate of a date; its manifest lacks the panels of `without`."""
    universe, weights = place.universe, model.weights()
    window, sha256 = training_window(universe, date), weights_hash(weights)
    dates = dates_before(universe, window.start, window.train_end)
    inputs = [InputVersion("panel", f"{d}", "0" * 64) for d in dates if d not in without]
    manifest = {"usable_on": f"{date}", "model": model.config.model_dump(mode="json"), "weights": sha256}
    path = weights_path(universe.name, sha256)
    place.lake.write_bytes(path, weights)
    record = ModelRecord(
        manifest_id(manifest),
        universe.name,
        date,
        window.start,
        window.train_end,
        sha256,
        path,
        "1",
        3,
        manifest,
        inputs,
    )
    place.registry.add_model(record)
    return record


_TRAINED: dict[str, LEM] = {}
"""By what they were trained on: their panels and seeds are the same in all tests."""


def trained(place, on="true targets") -> LEM:
    if on not in _TRAINED:
        _TRAINED[on] = _train(place)
    return copy.deepcopy(_TRAINED[on])


def _train(place) -> LEM:
    universe, window = place.universe, training_window(place.universe, DATE)
    dates = dates_before(universe, window.start, window.train_end)
    panel = Panel.from_table(read_range(place.lake, universe, "panel", dates)[0])
    return train(panel, universe.horizon, universe.model, universe.training, universe.costs).model


def shuffled(monkeypatch):
    """Each order in training is paid the prices of another one, and not those that it sees."""
    to_tape, generator = lem.training.trainer.to_tape, torch.Generator().manual_seed(0)

    def shuffle(*arguments):
        tape = to_tape(*arguments)
        order = torch.randperm(tape.sigma_BA.numel(), generator=generator)

        def moved(values):
            return values.flatten(0, 1)[order].view_as(values)

        return replace(tape, price_BAK=moved(tape.price_BAK), volume_BAK=moved(tape.volume_BAK))

    monkeypatch.setattr(lem.training.trainer, "to_tape", shuffle)


def of_shuffled_targets(place, monkeypatch):
    shuffled(monkeypatch)
    return register(place, trained(place, "shuffled targets"))


def with_a_peek(place, monkeypatch):
    encode = LEM.encode
    monkeypatch.setattr(LEM, "encode", lambda self, *features: encode(self, *features).roll(-1, dims=1))
    return register(place, lively_model())


def with_nan(place, monkeypatch):
    model = timing_model(-1.0)
    with torch.no_grad():
        model.heads.out_SD2[2, 1, 0] = float("nan")
    return register(place, model)


def beyond_a_cap(place, monkeypatch):
    within_limits = allocation.within_limits

    def unlimited(*arguments):
        slice_O, finish_O = within_limits(*arguments)
        terms = arguments[3]
        return torch.where(terms.max_rate_O < 1.0, 1.01 * terms.max_rate_O, slice_O), finish_O

    monkeypatch.setattr(allocation, "within_limits", unlimited)
    return register(place, lively_model(seed=4))


def with_a_hole(place, monkeypatch):
    return register(place, lively_model(seed=5), without=[dt.date(2024, 1, 9)])


@pytest.mark.parametrize(
    ("candidate", "check", "reason"),
    [
        (of_shuffled_targets, "shuffled_target_control", "like a model of shuffled targets, it does not decide on"),
        (with_a_peek, "causality", "look-ahead: "),
        (with_nan, "finite_weights", "weights are not finite: heads.out_SD2"),
        (beyond_a_cap, "caps", "asks for slices outside of the order's limits: "),
        (with_a_hole, "whole_window", "trained on a window with a hole: 1 of its partitions were not read: 2024-01-09"),
    ],
)
def test_a_bad_candidate_is_refused_with_its_reason_and_the_night_is_degraded(
    candidate, check, reason, place, monkeypatch
):
    champion, refused = place.registry.champion_on("small", YESTERDAY), candidate(place, monkeypatch)
    result = place.run(["champion"], f"{DATE}")
    assert result.success

    decision = place.registry.promotion("small", DATE)
    assert (decision.decision, decision.candidate_id) == ("kept", refused.id)
    assert place.registry.champion_on("small", DATE) == champion
    assert any(text.startswith(reason) for text in decision.reasons)
    assert check in {found.name for found in decision.figures.checks if not found.passed}
    assert decision.degraded.startswith(f"candidate {refused.id} was refused: ")
    assert decision.degraded.endswith(f"champion {champion.id}, trained on days before {champion.train_end}, trades on")

    (warned,) = failed_checks(result)
    assert warned.warning
    assert warned.text == f"small/champion:candidate_may_trade {DATE}: the night was degraded: {decision.degraded}"
    (event,) = result.get_asset_materialization_events()
    metadata = event.materialization.metadata
    assert metadata["night"].value == f"degraded: {decision.degraded}"
    rows = {record.data["check"]: record.data["passed"] for record in metadata["sanity_checks"].records}
    assert rows[check] == "NO"


def test_a_model_of_true_targets_passes_where_that_of_shuffled_ones_fails_even_as_the_first_model(place, monkeypatch):
    register(place, trained(place))
    decision = decide_champion(place.lake, place.registry, place.universe, DATE)
    assert not decision.degraded
    assert all(check.passed for check in decision.figures.checks)
    with monkeypatch.context() as patch:
        refused = of_shuffled_targets(place, patch)
    monkeypatch.setattr(type(place.registry), "champion_before", lambda *_: None)
    decision = decide_champion(place.lake, place.registry, place.universe, DATE, again=True)
    assert (decision.decision, decision.candidate_id, decision.champion_id) == ("none", refused.id, None)
    assert decision.degraded.endswith("no model trades")


def test_where_no_model_came_the_partitions_that_its_window_lacks_are_named(place):
    champion = place.registry.champion_on("small", YESTERDAY)
    path = place.lake.path("small", "panel", dt.date(2024, 1, 9))
    place.lake.fs.rm(f"{place.lake.root}/{path}")
    result = place.run(["champion"], f"{DATE}")
    decision = place.registry.promotion("small", DATE)
    assert decision.champion_id == champion.id
    assert decision.reasons == [
        "no model was trained for this date: 1 of 6 partitions of its window are missing: 2024-01-09"
    ]
    assert [found.warning for found in failed_checks(result)] == [True]


def test_on_dates_between_two_trainings_no_model_is_due_and_the_night_is_as_it_should_be(place):
    rare = place.universe.model_copy(
        update={"training": place.universe.training.model_copy(update={"retrain_every": 4})}
    )
    decision = decide_champion(place.lake, place.registry, rare, DATE)
    assert decision.reasons == ["no model is due on this date: one is trained every 4 partitions"]
    assert (decision.decision, decision.degraded, decision.night) == ("kept", "", "as it should be")


def test_a_night_whose_model_cannot_be_trained_ends_with_a_report_that_says_so(
    tiny_home, tmp_path, lem_command, monkeypatch
):
    def refuses(*arguments):
        raise TrainingError("the loss is nan at step 1")

    shutil.copytree(tiny_home.folder, tmp_path, dirs_exist_ok=True)
    monkeypatch.setattr("lem.training.nightly.train_for", refuses)
    done = lem_command(tmp_path, "run", "-u", "tiny", "-d", "2024-01-19")
    assert done.code == 0, done.err
    assert "check failed: no model for 2024-01-19: the loss is nan at step 1" in done.out
    assert "degraded night 2024-01-19: no model was trained for this date; champion " in done.out
    assert (tmp_path / "home/lake/tiny/execution_report/date=2024-01-19/report.html").is_file()

    again = lem_command(tmp_path, "run", "-u", "tiny", "-d", "2024-01-18")
    assert "degraded night" not in again.out


@pytest.mark.parametrize(
    "how",
    [pytest.param(signal.SIGINT, marks=pytest.mark.thorough), pytest.param(signal.SIGTERM, marks=pytest.mark.slow)],
    ids=["Ctrl-C", "SIGTERM"],
)
def test_whoever_stops_a_training_stops_the_night(how, tiny_home, tmp_path, lem_command, monkeypatch):
    """It is no model that cannot be trained: the night is not degraded, and the next try trains it."""

    def is_stopped(*arguments):
        os.kill(os.getpid(), how)
        time.sleep(60)

    shutil.copytree(tiny_home.folder, tmp_path, dirs_exist_ok=True)
    with monkeypatch.context() as patch:
        patch.setattr("lem.training.nightly.train_for", is_stopped)
        done = lem_command(tmp_path, "run", "-u", "tiny", "-d", "2024-01-19")
    assert done.code == 130
    assert "no model for" not in done.out
    registry = Registry(f"sqlite:///{tmp_path}/home/registry.sqlite")
    assert registry.promotion("tiny", dt.date(2024, 1, 19)) is None
    again = lem_command(tmp_path, "run", "-u", "tiny", "-d", "2024-01-19")
    assert again.code == 0, again.err
    assert "degraded" not in again.out
    assert registry.candidate("tiny", dt.date(2024, 1, 19)) is not None


def test_where_no_model_trades_a_training_that_fails_is_an_error(
    tmp_path, tiny_keys, write_universe, lem_command, monkeypatch
):
    def refuses(*arguments):
        raise TrainingError("the loss is nan at step 1")

    write_universe(tmp_path / "universes", tiny_keys())
    monkeypatch.setattr("lem.training.nightly.train_for", refuses)
    done = lem_command(tmp_path, "run", "-u", "tiny", "-d", "2024-01-18")
    assert done.code == 1
    assert "error: the loss is nan at step 1" in done.err
