"""A failed run's first words are the library's own, whatever part of the graph has failed."""

from __future__ import annotations

import dagster as dg
import pytest

from assets.failing import told
from lem.errors import SourceError
from lem_pipeline.build import build
from lem_pipeline.running.launch import reason
from tests.assets.test_graph import Place

FILES = {"kind": "files", "url": "{data}/{symbol}.csv"}


def test_a_failed_step_is_described_by_the_librarys_sentence_with_the_stack_behind_it(
    make_universe, tiny_keys, tmp_path
):
    universe = make_universe(**tiny_keys(source=FILES))
    with dg.DagsterInstance.ephemeral() as instance:
        result = Place(universe, tmp_path, instance).run(["raw_bars"], "AAA-USD|2024-01-05", "BBB-USD|2024-01-05")
    (failed,) = [event for event in result.all_events if event.is_step_failure]
    data = failed.step_failure_data
    assert "AAA-USD.csv" in data.user_failure_data.description
    assert data.error.message.startswith("dagster._core.definitions.events.Failure: ")
    assert data.user_failure_data.description in data.error.message
    assert data.error.cause.cls_name == "SourceError"
    assert "assets/stages/raw_bars.py" in data.error.to_string()
    assert reason(result.all_events, result.run_id) == data.user_failure_data.description


def test_every_body_of_the_graph_tells_its_error_so(make_universe):
    repository = build([make_universe()]).get_repository_def()
    bodies = {op.name: op.compute_fn.decorated_fn for job in repository.get_all_jobs() for op in job.all_node_defs}
    assert len(bodies) > 15
    assert [name for name, body in bodies.items() if not hasattr(body, "__wrapped__")] == []


def test_an_error_that_no_user_can_act_on_keeps_its_class():
    @told
    def body():
        raise KeyError("a defect")

    with pytest.raises(KeyError):
        body()


def test_what_was_yielded_before_the_error_is_kept():
    @told
    def body():
        yield 1
        raise SourceError("no answer")

    made = body()
    assert next(made) == 1
    with pytest.raises(dg.Failure) as failure:
        next(made)
    assert failure.value.description == "no answer"
