"""What `lem status` says of decisions; its table of partitions is tested with the command."""

from __future__ import annotations

import datetime as dt
import io
import shutil
from dataclasses import replace

import pytest
from rich.console import Console

from lem.lake import Lake
from lem.registry import Registry
from lem_pipeline.cli.status import show_status


@pytest.fixture
def said(tiny_home, tmp_path):
    """The registry of a copy of the tiny home, and a function that gives the status of that home as text."""
    shutil.copytree(tiny_home.folder / "home", tmp_path, dirs_exist_ok=True)
    registry = Registry(f"sqlite:///{tmp_path}/registry.sqlite")

    def say() -> str:
        out = io.StringIO()
        console = Console(file=out, width=300)
        show_status(console, Lake(str(tmp_path / "lake")), registry, tiny_home.universe, dt.date(2024, 6, 1))
        return out.getvalue()

    return registry, say


def test_decisions_that_follow_from_each_other_are_said_to(said):
    _, say = said
    assert "Decisions: 2, 2024-01-17 to 2024-01-18; each follows from the one before it\n" in say()
    assert "stale decisions" not in say()


def test_decisions_that_do_not_follow_are_named_with_what_decides_them_again(said):
    registry, say = said
    first, last = registry.promotions("tiny")
    registry.record_promotion(replace(first, champion_id=None, decision="none"))
    told = say()
    assert f"decision of 2024-01-18 was decided with champion {last.previous_id}, and none traded before\n" in told
    assert "decide them and what follows again with: lem run -u tiny -d 2024-01-19 --redecide\n" in told
    assert "each follows" not in told


def test_a_decision_about_a_model_that_is_another_now_stands_and_is_called_stale(said):
    registry, say = said
    last = registry.promotion("tiny", dt.date(2024, 1, 18))
    registry.record_promotion(replace(last, figures=replace(last.figures, stage_version="1")))
    told = say()
    assert "stale decisions: 2024-01-18; " in told
    assert "What was decided stands; to decide them and what follows again: lem run -u tiny -d 2024-01-19" in told
