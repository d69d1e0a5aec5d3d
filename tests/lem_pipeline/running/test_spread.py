"""Which runs of a plan may be executed at the same time."""

from __future__ import annotations

import os
import signal
import time

import dagster as dg
import pytest

pytest.importorskip("dagster_celery")

from lem_pipeline.planning.steps import Step
from lem_pipeline.running.launch import RunError
from lem_pipeline.running.spread import _failed, run_on_workers, stages
from tests.lem_pipeline.plans import run_of

DAY, NEXT = "2024-01-10", "2024-01-11"


def dated(table: str, first: str, last: str | None = None) -> Step:
    return run_of((table,), first, last or first)


@dg.op
def fails():
    raise ValueError("the loss is nan")


@dg.op
def is_stopped():
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(60)


@pytest.mark.parametrize(("op", "lost"), [(fails, False), (is_stopped, True)], ids=["by itself", "stopped"])
def test_a_run_that_was_stopped_is_lost_and_not_a_model_that_cannot_be_trained(op, lost):
    with dg.DagsterInstance.ephemeral() as instance:
        run = (
            dg.GraphDefinition("night", node_defs=[op])
            .to_job()
            .execute_in_process(instance=instance, raise_on_error=False)
        )
        failed = _failed(instance, run.run_id, dated("lem_model", DAY))
    assert failed.lost == lost
    assert ("the loss is nan" in failed.why) == (not lost)


def test_data_stages_are_one_run_for_each_asset_and_wait_for_the_stage_before(make_universe):
    universe = make_universe(assets={"AAA-USD": {}, "BBB-USD": {}, "CCC-USD": {}})
    whole = [
        run_of(("raw_bars", "bars"), f"AAA-USD|{DAY}", f"CCC-USD|{NEXT}"),
        run_of(("features",), f"BBB-USD|{NEXT}", f"BBB-USD|{NEXT}"),
        dated("panel", DAY, NEXT),
    ]
    raw, features, panel = stages(universe, whole)
    assert raw == [run_of(("raw_bars", "bars"), f"{s}|{DAY}", f"{s}|{NEXT}") for s in universe.symbols]
    assert (features, panel) == ([whole[1]], [whole[2]])


def test_stretches_of_one_stage_are_made_at_the_same_time(make_universe):
    universe = make_universe()
    steps = [run_of(("features",), f"AAA-USD|{day}", f"BBB-USD|{day}") for day in (DAY, NEXT)]
    (group,) = stages(universe, steps)
    assert [(str(step.first), str(step.last)) for step in group] == [
        (f"{symbol}|{day}", f"{symbol}|{day}") for day in (DAY, NEXT) for symbol in universe.symbols
    ]


def test_models_are_trained_at_the_same_time_and_decisions_follow_each_other(make_universe):
    first, second = dated("lem_model", DAY), dated("lem_model", NEXT)
    decisions = [dated("champion", DAY), dated("champion", NEXT)]
    rest = [dated("panel", DAY), first, decisions[0], second, decisions[1], dated("execution_report", DAY)]
    assert stages(make_universe(), rest) == [
        [rest[0]],
        [first, second],
        [decisions[0]],
        [decisions[1]],
        [rest[-1]],
    ]


def test_an_instance_without_workers_is_refused_by_name(make_universe):
    with dg.instance_for_test() as instance, pytest.raises(RunError, match=r"starts runs with .*Launcher, on this"):
        run_on_workers(instance, "nowhere", make_universe(), [dated("panel", DAY)], None, lambda step, left: None)
