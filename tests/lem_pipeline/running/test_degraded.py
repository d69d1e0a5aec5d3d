"""A model that cannot be trained ends a night on workers as it ends one here: only where no other model trades."""

from __future__ import annotations

import datetime as dt
import shutil

import pytest

pytest.importorskip("dagster_celery")

from lem.errors import TrainingError
from lem_pipeline.build import build
from lem_pipeline.planning.steps import Step
from lem_pipeline.running import spread
from lem_pipeline.running.degraded import without_model
from lem_pipeline.running.launch import FailedCheck, RunError, run_step
from lem_pipeline.running.spread import Failed, run_groups, stages
from tests.lem_pipeline.plans import run_of

pytestmark = pytest.mark.usefixtures("empty_pictures")

DAY, NEXT, LAST = "2024-01-10", "2024-01-11", "2024-01-12"
NAN = "the loss is nan at step 1"
WARNED = FailedCheck("features_drift", warning=True)


def dated(table: str, first: str, last: str | None = None) -> Step:
    return run_of((table,), first, last or first)


class Champions:
    """Of a registry: who trades, by the decisions that were made."""

    def __init__(self, *decided: str) -> None:
        self.decided = list(decided)

    def champion_before(self, universe: str, date: dt.date) -> str | None:
        return next((text for text in self.decided if text < f"{date}"), None)


class Workers:
    """Execute groups of steps, but for those named; a decision about a model that was trained makes it the champion."""

    def __init__(self, registry: Champions, *failing: Step, lost: bool = False) -> None:
        self.registry, self.failing, self.lost, self.ran = registry, failing, lost, list[Step]()

    def __call__(self, group):
        self.ran += group
        for step in group:
            if step.tables == ("champion",) and dated("lem_model", str(step.first)) not in self.failing:
                self.registry.decided.append(str(step.first))
        failed = [Failed(step, NAN, self.lost) for step in group if step in self.failing]
        return [WARNED] if group[0].tables == ("features",) else [], failed


MODELS = {date: dated("lem_model", date) for date in (DAY, NEXT, LAST)}
NIGHT = [
    run_of(("features",), f"AAA-USD|{DAY}", f"AAA-USD|{DAY}"),
    *(step for date in MODELS for step in (MODELS[date], dated("champion", date))),
    dated("execution_report", LAST),
]


@pytest.fixture
def carry_out(make_universe):
    """`carry_out(workers)`: what a night's runs say."""

    def carry(workers, steps=NIGHT):
        universe = make_universe()
        return run_groups(stages(universe, steps), universe, workers.registry, workers)

    return carry


def no_model(date):
    return FailedCheck(f"no model for {date}: {NAN}", warning=False)


@pytest.mark.parametrize("registry", [lambda: Champions("2024-01-09"), Champions], ids=["there", "made on the way"])
def test_the_night_goes_on_where_another_model_trades_then(registry, carry_out):
    workers = Workers(registry(), MODELS[NEXT], MODELS[LAST])
    assert carry_out(workers) == [WARNED, no_model(NEXT), no_model(LAST)]
    assert workers.ran[-1] == NIGHT[-1]
    assert sorted(map(str, workers.ran)) == sorted(map(str, NIGHT))


def test_where_no_model_trades_it_ends_before_the_decision_with_an_error_that_names_the_run(carry_out):
    workers = Workers(Champions(), MODELS[DAY])
    with pytest.raises(RunError, match=f"^lem_model  {DAY}: {NAN}$"):
        carry_out(workers)
    assert workers.ran[-1] == MODELS[LAST], "those that are trained at the same time end; no decision is begun"


def test_a_champion_of_the_same_date_or_later_does_not_trade_before_it(carry_out):
    with pytest.raises(RunError, match=NAN):
        carry_out(Workers(Champions(DAY), MODELS[DAY]))


def test_a_run_that_was_lost_with_its_worker_is_an_error_whoever_trades(carry_out):
    """Started again, it may well succeed: nothing is wrong with the model."""
    workers = Workers(Champions("2024-01-09"), MODELS[NEXT], lost=True)
    with pytest.raises(RunError, match=f"^lem_model  {NEXT}: {NAN}$"):
        carry_out(workers)
    assert dated("champion", DAY) not in workers.ran


def test_any_other_run_that_fails_is_an_error_whoever_trades(carry_out):
    for step in NIGHT:
        if step.tables != ("lem_model",):
            workers = Workers(Champions("2024-01-09"), step)
            with pytest.raises(RunError, match=NAN):
                carry_out(workers)
            assert workers.ran[-1] == step


def test_all_that_failed_together_is_named(carry_out):
    steps = [run_of(("features",), f"{symbol}|{DAY}", f"{symbol}|{DAY}") for symbol in ("AAA-USD", "BBB-USD")]
    with pytest.raises(RunError, match=rf"^features  AAA-USD\|{DAY}: {NAN}; features  BBB-USD\|{DAY}: {NAN}$"):
        carry_out(Workers(Champions("2024-01-09"), *steps), [*steps, NIGHT[-1]])


def test_a_model_without_a_decision_after_it_is_an_error(carry_out):
    with pytest.raises(RunError, match=NAN):
        carry_out(Workers(Champions("2024-01-09"), MODELS[DAY]), [MODELS[DAY], NIGHT[-1]])


@pytest.mark.parametrize(
    ("step", "told"),
    [
        (MODELS[NEXT], no_model(NEXT)),
        (MODELS[DAY], None),
        (dated("panel", NEXT), None),
        (dated("champion", NEXT), None),
    ],
)
def test_only_a_model_is_gone_without_and_only_where_one_trades_before(step, told, make_universe):
    assert without_model(Champions(DAY), make_universe(), step, NAN) == told


@pytest.fixture
def here(monkeypatch):
    """The workers are this process, and no model can be trained on them."""

    def queued(instance, launcher, definitions, universe, left, on_end):
        defs = build([universe])

        def run_group(group):
            problems, failed = [], []
            for step in group:
                try:
                    problems += run_step(defs, instance, universe, step)
                    on_end(step, left)
                except RunError as error:
                    failed.append(Failed(step, str(error), lost=False))
            return problems, failed

        return run_group

    def refuses(*arguments):
        raise TrainingError(NAN)

    monkeypatch.setattr(spread, "QueueLauncher", object)
    monkeypatch.setattr(spread, "_queued", queued)
    monkeypatch.setattr("lem.training.nightly.train_for", refuses)


@pytest.mark.slow
def test_a_night_on_workers_whose_model_cannot_be_trained_ends_with_a_report_that_says_so(
    here, tiny_home, tmp_path, lem_command
):
    shutil.copytree(tiny_home.folder, tmp_path, dirs_exist_ok=True)
    done = lem_command(tmp_path, "run", "-u", "tiny", "-d", "2024-01-19", "--on-workers")
    assert done.code == 0, done.err
    assert f"check failed: no model for 2024-01-19: {NAN}" in done.out
    assert "degraded night 2024-01-19: no model was trained for this date; champion " in done.out
    assert (tmp_path / "home/lake/tiny/execution_report/date=2024-01-19/report.html").is_file()
