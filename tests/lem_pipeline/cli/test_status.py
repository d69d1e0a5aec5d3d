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
from lem_pipeline.cli.show_models import show_history, show_models
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


def test_models_decisions_and_reports_have_rows_and_where_all_is_well_there_is_nothing_to_do(tiny_home, said):
    lake, registry = Lake(str(tiny_home.folder / "home" / "lake")), said[0]
    out = io.StringIO()
    ends = tiny_home.universe.model_copy(update={"end": dt.date(2024, 1, 19)})
    show_status(Console(file=out, width=300), lake, registry, ends, dt.date(2024, 6, 1))
    rows = {cells[1].strip(): [cell.strip() for cell in cells[2:-1]] for cells in cells_of(out.getvalue())}
    assert rows["lem_model"] == ["2", "2024-01-17", "2024-01-18", "-", "0", "-"]
    assert rows["champion"] == ["2", "2024-01-17", "2024-01-18", "-", "0", "-"]
    assert rows["execution_report"] == ["1", "2024-01-18", "2024-01-18", "-", "0", "-"]
    assert out.getvalue().splitlines()[-1].startswith("Nothing to do: ")
    assert "Next:" not in out.getvalue()


def cells_of(text: str) -> list[list[str]]:
    return [line.split("│") for line in text.splitlines() if "│" in line]


def test_where_the_latest_report_is_not_there_the_next_command_is_named(said):
    assert said[1]().splitlines()[-1] == "Next: lem run --universe tiny"
    assert "Nothing to do" not in said[1]()


def test_holes_are_told_as_ranges(said, tmp_path):
    for day in (11, 12, 13, 15):
        (tmp_path / f"lake/tiny/features/asset=AAA-USD/date=2024-01-{day}.parquet").unlink()
    assert "missing features: AAA-USD|2024-01-11 ... 2024-01-13, AAA-USD|2024-01-15; " in said[1]()


def test_an_asset_that_was_renamed_or_removed_is_named_with_what_is_left_of_it(said, tmp_path):
    lake = tmp_path / "lake" / "tiny"
    for table in ("raw_bars", "bars"):
        shutil.copytree(lake / table / "asset=AAA-USD", lake / table / "asset=OLD-USD")
    count = len(list((lake / "bars" / "asset=OLD-USD").iterdir()))
    told = said[1]()
    assert f"orphaned asset OLD-USD: partitions {count} of raw_bars, {count} of bars; " in told
    assert "put it back into [assets]" in told
    assert "Nothing to do" not in told


def test_in_a_narrow_terminal_nothing_is_cut(said):
    registry, _ = said
    out = io.StringIO()
    show_models(Console(file=out, width=60, force_terminal=True, soft_wrap=True, highlight=False), registry, "tiny")
    for model in registry.models("tiny"):
        decision = next(d for d in registry.decisions("tiny") if d.candidate_id == model.id)
        trained = f"trained on: {model.train_start} to before {model.train_end}"
        for text in (model.id, trained, f"why: {decision.sentence}"):
            assert text in out.getvalue()
    assert "…" not in out.getvalue()


def test_a_refused_candidate_is_called_refused(said):
    registry, _ = said
    first, last = registry.promotions("tiny")
    kept = replace(
        last, champion_id=first.champion_id, decision="kept", reasons=["refused: its tail is worse"], previous_id=None
    )
    registry.record_promotion(kept)
    out = io.StringIO()
    show_models(Console(file=out, width=1000), registry, "tiny")
    row = next(cells for cells in cells_of(out.getvalue()) if last.candidate_id in cells[1])
    assert row[6].strip() == "refused"
    show_history(Console(file=out, width=1000), registry, "tiny")
    assert "candidate refused, champion stays" in out.getvalue()
