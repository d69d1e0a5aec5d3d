"""What traded, traded: decisions stand until somebody says that they are to be made again."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import replace

import dagster as dg
import pytest

from assets.run_names import REDECIDE
from lem.gate.champion import decide_champion
from lem.lake import Lake
from lem.lineage.stored_report import report_path
from lem.registry import Registry
from lem.registry.decision_figures import DecisionFigures
from lem_pipeline.build import build
from resources.stores import LakeResource, RegistryResource

pytestmark = pytest.mark.usefixtures("empty_pictures")


def day(number):
    return dt.date(2024, 1, number)


@pytest.fixture
def place(home, tiny_home):
    """A copy of the tiny home: its lake, registry and universe; the 17th and the 18th are decided."""
    registry = Registry(f"sqlite:///{home}/home/registry.sqlite")
    return Lake(str(home / "home" / "lake")), registry, tiny_home.universe


@pytest.mark.thorough
def test_a_run_of_an_older_date_changes_no_decision_and_makes_its_report_of_those_that_stand(home, place, lem_command):
    lake, registry, _ = place
    before, models = registry.decisions("tiny"), registry.models("tiny")
    done = lem_command(home, "run", "-u", "tiny", "-d", "2024-01-17")
    assert done.code == 0, done.err
    assert registry.decisions("tiny") == before == registry.promotions("tiny")
    assert registry.models("tiny") == models
    assert "not decided: 2024-01-16; later days are decided" in done.out
    assert "again: lem run -u tiny -d 2024-01-17 --redecide" in done.out
    page = lake.read_bytes(report_path("tiny", day(17), "report.html")).decode()
    assert "The walk-forward follows from the decisions" in page
    assert "No decision was made for 2024-01-16" in page
    summary = json.loads(lake.read_bytes(report_path("tiny", day(17), "report.json")))
    assert summary["date"] == "2024-01-17"


@pytest.mark.slow
def test_deciding_again_replaces_what_it_said_and_the_decisions_follow_again(home, place, lem_command):
    _, registry, _ = place
    before = registry.promotions("tiny")
    done = lem_command(home, "run", "-u", "tiny", "-d", "2024-01-17", "--redecide")
    assert done.code == 0, done.err
    said, run = done.out.split("runs to do", 1)
    assert "2024-01-16  is decided for the first time" in said
    assert "2024-01-18  is replaced" in said
    assert "execution_report  2024-01-18" in run
    after = registry.promotions("tiny")
    assert [one.date for one in after] == [day(16), day(17), day(18)]
    assert after[1].previous_id == after[0].champion_id
    assert all(new.decided_at > old.decided_at for new, old in zip(after[1:], before, strict=True))
    assert "Decisions: 3, 2024-01-16 to 2024-01-18; each follows" in lem_command(home, "status", "-u", "tiny").out


def test_the_gate_leaves_what_stands_and_decides_no_date_that_later_ones_have_passed(place):
    lake, registry, universe = place
    before = registry.decisions("tiny")
    assert decide_champion(lake, registry, universe, day(18)) == before[-1]
    assert decide_champion(lake, registry, universe, day(16)) is None
    assert registry.decisions("tiny") == before
    assert decide_champion(lake, registry, universe, day(17), again=True).date == day(17)
    assert len(registry.decisions("tiny")) == len(before) + 1


def test_what_was_decided_by_hand_stands_even_where_all_is_decided_again(place):
    lake, registry, universe = place
    last = registry.promotions("tiny")[-1]
    by_hand = registry.decide(
        "tiny",
        lambda log: replace(log[-1], figures=DecisionFigures(by_hand=True), reasons=["because"]),
        "decide by hand",
    )
    assert decide_champion(lake, registry, universe, last.date, again=True) == by_hand


@pytest.fixture
def press(place, tmp_path):
    """`press("2024-01-18")`: what the button of `champion` shows after a run of that date, with these tags."""
    lake, registry, universe = place
    resources = {"lake": LakeResource(root=lake.root), "registry": RegistryResource(url=registry.url_shown)}
    defs = dg.Definitions.merge(build([universe]))

    def run(date, **tags):
        key = dg.AssetKey(["tiny", "champion"])
        job = defs.get_repository_def().get_implicit_job_def_for_assets([key])
        with dg.DagsterInstance.ephemeral() as instance:
            done = job.get_subset(asset_selection={key}).execute_in_process(
                instance=instance, partition_key=date, tags=tags, resources=resources, raise_on_error=True
            )
        (event,) = done.asset_materializations_for_node("tiny__champion")
        return {name: value.value for name, value in event.metadata.items()}

    return run


def test_the_button_shows_the_decision_that_stands_and_replaces_it_only_by_its_tag(place, press):
    _, registry, _ = place
    before = registry.promotion("tiny", day(18))
    assert press("2024-01-18")["decided at"] == before.decided_at.isoformat(timespec="seconds")
    assert registry.promotion("tiny", day(18)) == before
    told = press("2024-01-16")
    assert told["decision"].startswith("No decision is made for 2024-01-16: later dates are decided")
    assert told["champion"] == "none"
    assert registry.promotion("tiny", day(16)) is None
    press("2024-01-18", **{REDECIDE: "true"})
    assert registry.promotion("tiny", day(18)).decided_at > before.decided_at
