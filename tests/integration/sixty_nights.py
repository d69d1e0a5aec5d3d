"""A home of sixty nights: the last is made by `lem run`, those before of rows, files and runs as nights leave them.

A night that was not trained has a small model of its own seed; each third of them was promoted, the others refused.
"""

from __future__ import annotations

import datetime as dt
import os
import shutil
from pathlib import Path

import dagster as dg
from dagster._core.events import DagsterEvent, DagsterEventType, StepMaterializationData
from dagster._core.test_utils import create_run_for_test

from lem.lake import Lake
from lem.lineage.revisions import store_panel, store_raw, superseded_path
from lem.model.lem import LEM, weights_hash
from lem.registry import ModelRecord, PromotionRecord, Registry
from lem.registry.records import InputVersion, manifest_id
from lem.training.manifest import weights_path
from lem.universe import Universe
from lem.universe.model_config import ModelConfig

LAST = dt.date(2024, 1, 18)
NIGHTS = [LAST - dt.timedelta(days=back) for back in range(59, -1, -1)]
END = dt.date(2024, 1, 31)
KEYS = {"start": "2023-11-01", "end": str(END)}
REPORTS = dg.AssetKey(["tiny", "execution_report"])


def add_nights(home: Path, universe: Universe) -> None:
    """Fill a home that `lem run` has made of the last night with those before."""
    lake, registry = Lake(str(home / "lake")), Registry(f"sqlite:///{home / 'registry.sqlite'}")
    first_real = min(model.usable_on for model in registry.models())
    champion = None
    for number, date in enumerate(night for night in NIGHTS if night < first_real):
        if date.year < LAST.year:  # the days after it have bars of their own, which the last report reads
            read = InputVersion("panel", str(date), revise(lake, date))
        model = add_model(lake, registry, universe, date, number, read)
        previous, champion = champion, model.id if number % 3 == 0 else champion
        decision = "promoted" if champion == model.id else "kept"
        registry.record_promotion(PromotionRecord("tiny", date, champion, model.id, previous, decision, ["a reason"]))
    for date in NIGHTS[:-1]:
        shutil.copytree(report(home, LAST), report(home, date), dirs_exist_ok=True)
    add_runs(home / "dagster", NIGHTS[:-1])


def copy_of(whole: Path, home: Path) -> None:
    """Put a copy of a home in the place of another one."""
    shutil.rmtree(home, ignore_errors=True)
    # Objects of the lake are replaced and never changed, but for its fences; the other databases are changed too.
    shutil.copytree(whole / "lake", home / "lake", copy_function=os.link, ignore=shutil.ignore_patterns(".fences*"))
    shutil.copytree(whole / "dagster", home / "dagster")
    shutil.copy(whole / "registry.sqlite", home / "registry.sqlite")


def report(home: Path, date: dt.date) -> Path:
    """The folder of a report."""
    return home / "lake" / "tiny" / "execution_report" / f"date={date}"


def revise(lake: Lake, date: dt.date) -> str:
    """A day whose source has revised it: the rows and the panel before are superseded; returns the panel's version."""
    raw = lake.read_table(lake.path("tiny", "raw_bars", dt.date(2024, 1, 10), "AAA-USD"))
    panel = lake.read_table(lake.path("tiny", "panel", dt.date(2024, 1, 10)))
    for factor in (1.0, 2.0):
        store_raw(lake, "tiny", date, "AAA-USD", raw.assign(volume=raw["volume"] * factor))
        _, replaced = store_panel(lake, "tiny", date, panel.assign(sigma=panel["sigma"] * factor))
    assert replaced
    assert lake.exists(superseded_path("tiny", date, None, replaced, "panel"))
    return replaced


def add_model(
    lake: Lake, registry: Registry, universe: Universe, date: dt.date, number: int, read: InputVersion
) -> ModelRecord:
    """A model that was trained on a superseded panel, and beside it weights that nothing names."""
    config = ModelConfig.model_validate(universe.model.model_dump() | {"base": "even"})
    for seed in (number, number + 1000):
        weights = LEM(config, seed).weights()
        path = weights_path("tiny", weights_hash(weights))
        lake.write_bytes(path, weights)
        if seed == number:
            named, sha256 = path, weights_hash(weights)
    manifest = {"usable_on": str(date), "model": config.model_dump(mode="json"), "weights_sha256": sha256}
    start, end = date - dt.timedelta(days=8), date
    inputs = [read]
    record = ModelRecord(
        manifest_id(manifest), "tiny", date, start, end, sha256, named, "code", number, manifest, inputs
    )
    registry.add_model(record)
    return record


def add_runs(history: Path, dates: list[dt.date]) -> None:
    """Two runs a night as SQLite keeps them: one recorded the report, one failed. Each has a log of its own file."""
    with dg.DagsterInstance.from_config(str(history)) as instance:
        logs = max((history / "history" / "runs").glob("*-*.db"), key=lambda path: path.stat().st_size)
        for date in dates:
            made = create_run_for_test(instance, status=dg.DagsterRunStatus.SUCCESS)
            failed = create_run_for_test(instance, status=dg.DagsterRunStatus.FAILURE)
            data = StepMaterializationData(dg.AssetMaterialization(REPORTS, partition=str(date)))
            event = DagsterEvent(DagsterEventType.ASSET_MATERIALIZATION.value, "job", event_specific_data=data)
            instance.report_dagster_event(event, made.run_id)
            for run in (made, failed):
                for end in ("-wal", "-shm"):
                    logs.with_name(f"{run.run_id}.db{end}").unlink(missing_ok=True)
                shutil.copy(logs, logs.with_name(f"{run.run_id}.db"))
