"""What of a universe can leave the lake, and what may not, object by object."""

from __future__ import annotations

import datetime as dt
import os
from pathlib import Path

import pytest

from lem.lake import Lake
from lem.lake.inventory import stored
from lem.registry import ModelRecord, PromotionRecord, Registry
from lem.registry.records import InputVersion, manifest_id
from lem_pipeline.pruning.kinds import Age
from lem_pipeline.pruning.lake import lake_kinds
from lem_pipeline.pruning.prune import PruneError, least_days, plan

NOW = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)
OLD, DAY = dt.date(2024, 1, 5), dt.timedelta(days=1)


@pytest.fixture
def lake(tmp_path):
    return Lake(str(tmp_path / "lake"))


@pytest.fixture
def registry(tmp_path):
    return Registry(f"sqlite:///{tmp_path / 'registry.sqlite'}")


@pytest.fixture
def universe(make_universe):
    return make_universe(end="2024-12-31")


def put(lake: Lake, path: str, age_days: int = 900) -> str:
    """An object that was written so many days before `NOW`."""
    lake.write_bytes(path, b"x" * 10)
    moment = (NOW - age_days * DAY).timestamp()
    os.utime(Path(lake.root) / path, (moment, moment))
    return path


def model(lake, registry, seed: int, usable_on: dt.date = OLD, inputs=(), created: dt.datetime | None = None):
    """A registered model with weights in the lake."""
    manifest, path = {"seed": seed}, put(lake, f"small/weights/sha256={seed:064}.safetensors")
    record = ModelRecord(
        manifest_id(manifest),
        "small",
        usable_on,
        usable_on - 9 * DAY,
        usable_on,
        f"{seed:064}",
        path,
        "code",
        seed,
        manifest,
        list(inputs),
        created or NOW - 900 * DAY,
    )
    registry.add_model(record)
    return record


def goes(lake, registry, universe, **age) -> set[str]:
    kinds = lake_kinds(lake, registry, universe, Age(NOW, **age))
    return {one.what for kind in kinds for one in kind.removable}


def decide(registry, date, champion, candidate, previous, decision):
    ids = [one.id if one else None for one in (champion, candidate, previous)]
    registry.record_promotion(PromotionRecord("small", date, *ids, decision))


def test_weights_that_no_decision_names_go_and_those_of_every_candidate_stay(lake, registry, universe):
    replaced, first, refused = (model(lake, registry, seed, OLD + day * DAY) for seed, day in ((1, 1), (2, 1), (3, 2)))
    decide(registry, OLD + DAY, first, first, None, "promoted")
    decide(registry, OLD + 2 * DAY, first, refused, first, "kept")
    orphan = put(lake, f"small/weights/sha256={9:064}.safetensors")
    assert goes(lake, registry, universe) == {replaced.weights_path, orphan}


def test_with_refused_the_weights_of_old_candidates_go_but_not_of_one_whose_date_is_undecided(lake, registry, universe):
    champion, refused, waiting = (model(lake, registry, seed, OLD + seed * DAY) for seed in (1, 2, 3))
    decide(registry, OLD + DAY, champion, champion, None, "promoted")
    decide(registry, OLD + 2 * DAY, champion, refused, champion, "kept")
    assert goes(lake, registry, universe, refused=True) == {refused.weights_path}
    assert waiting.weights_path not in goes(lake, registry, universe)


def test_a_champion_that_was_replaced_by_a_later_decision_about_its_date_stays(lake, registry, universe):
    first, second = model(lake, registry, 1), model(lake, registry, 2)
    decide(registry, OLD, first, first, None, "promoted")
    decide(registry, OLD, second, second, None, "promoted")
    assert goes(lake, registry, universe, refused=True) == set()


def test_young_models_stay_by_their_date_and_by_when_they_were_made(lake, registry, universe):
    for seed, usable_on, created in ((1, dt.date(2024, 12, 1), None), (2, OLD, NOW - DAY), (3, OLD, None)):
        model(lake, registry, seed, usable_on, created=created)
    decide(registry, OLD, None, None, None, "none")
    model(lake, registry, 4)
    decide(registry, OLD, None, registry.candidate("small", OLD), None, "none")
    assert goes(lake, registry, universe, refused=True) == {
        f"small/weights/sha256={seed:064}.safetensors" for seed in (3, 4)
    }


def test_superseded_panels_of_models_that_stay_are_kept_with_the_raw_rows_they_may_have_come_from(
    lake, registry, universe
):
    read = InputVersion("panel", str(OLD - DAY), "a" * 64)
    champion = model(lake, registry, 1, inputs=[read])
    decide(registry, OLD, champion, champion, None, "promoted")
    folder = "small/superseded"
    kept = put(lake, f"{folder}/panel/date={OLD - DAY}/sha256={'a' * 64}.parquet")
    source = put(lake, f"{folder}/raw_bars/asset=AAA-USD/date={OLD - DAY}/sha256={'c' * 64}.parquet")
    young = put(lake, f"{folder}/panel/date={OLD}/sha256={'d' * 64}.parquet", age_days=3)
    gone = put(lake, f"{folder}/panel/date={OLD - DAY}/sha256={'b' * 64}.parquet")
    rows = put(lake, f"{folder}/raw_bars/asset=AAA-USD/date={OLD + 9 * DAY}/sha256={'e' * 64}.parquet")
    put(lake, f"{folder}/panel/date={OLD}/notes.txt")
    assert goes(lake, registry, universe) == {gone, rows}
    assert {kept, source, young} <= {one.path for one in stored(lake, folder)}


def test_old_reports_go_but_not_the_latest_nor_one_that_was_made_again_lately(lake, registry, universe):
    report = "small/execution_report/date={}/report.html"
    for date, age in ((OLD, 900), (OLD + DAY, 3), (OLD + 2 * DAY, 900)):
        put(lake, report.format(date), age)
    assert goes(lake, registry, universe) == {f"small/execution_report/date={OLD}"}
    for kind in lake_kinds(lake, registry, universe, Age(NOW)):
        for one in kind.removable:
            one.remove()
    assert lake.names("small/execution_report") == [f"date={OLD + DAY}", f"date={OLD + 2 * DAY}"]


def test_the_index_has_no_link_to_a_report_before_it_is_removed(lake, registry, universe):
    report = "small/execution_report/date={}/report.html"
    for day in range(2):
        put(lake, report.format(OLD + day * DAY))
    kind = lake_kinds(lake, registry, universe, Age(NOW))[0]
    kind.before()
    page = lake.read_bytes("index.html").decode()
    assert report.format(OLD) not in page
    assert report.format(OLD + DAY) in page


def test_a_report_whose_removal_was_killed_is_no_report_and_goes_with_the_next_one(
    lake, registry, universe, monkeypatch
):
    for day in range(2):
        put(lake, f"small/execution_report/date={OLD + day * DAY}/report.html")
    with monkeypatch.context() as killed:
        killed.setattr("shutil.rmtree", lambda path: None)
        lake_kinds(lake, registry, universe, Age(NOW))[0].removable[0].remove()
    (half,) = (name for name in lake.names("small/execution_report") if name.startswith("."))
    (one,) = lake_kinds(lake, registry, universe, Age(NOW))[0].removable
    assert one.what == f"small/execution_report/{half}"
    one.remove()
    assert lake.names("small/execution_report") == [f"date={OLD + DAY}"]


def test_weights_of_another_registry_are_left_alone_and_told_of(lake, registry, universe):
    foreign = put(lake, f"small/weights/sha256={9:064}.safetensors")
    put(lake, "small/training_curve/model=feedfeedfeedfeed.parquet")
    weights = lake_kinds(lake, registry, universe, Age(NOW))[1]
    assert (weights.count, weights.removable) == (1, [])
    assert "1 weights of no model of this registry are left alone" in weights.notes[0]
    assert lake.exists(foreign)


def test_fewer_days_than_the_automation_looks_back_are_refused_with_what_is_allowed(lake, registry, universe):
    put(lake, "small/weights/any")
    least = least_days(universe)
    assert least > universe.night.catch_up_days
    with pytest.raises(PruneError, match=f"allowed: {least} or more"):
        plan(lake, registry, {"small": universe}, None, Age(NOW, least - 1))
