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


def test_decisions_about_a_champion_that_no_longer_was_one_are_named_with_what_decides_again(said):
    registry, say = said
    assert "decisions" not in say()
    first = registry.promotion("tiny", dt.date(2024, 1, 17))
    registry.record_promotion(replace(first, champion_id=None, decision="none"))
    assert "stale decisions: 2024-01-18; " in say()
    assert "decide again with: lem run --universe tiny --date 2024-01-18\n" in say()
