"""A model made again from its manifest."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import pytest

from lem.errors import LakeError, TrainingError
from lem.execution.costs_config import CostsConfig
from lem.lineage.revisions import store_panel
from lem.model.lem import weights_hash
from lem.training.nightly import train_for
from lem.training.rebuild import differences, rebuild
from tests.lem.training.conftest import DATE

CHANGED = dt.date(2024, 1, 8)


@pytest.fixture
def record(lake, registry, universe):
    return train_for(lake, registry, universe, DATE).record


def change_closes(lake, universe, date):
    """The panel with other closes, stored as a run stores it. Returns the version that was replaced."""
    table = lake.read_table(lake.path(universe.name, "panel", date))
    table["close"] *= 1.01
    return store_panel(lake, universe.name, date, table, {})[1]


def test_three_models_rebuilt_from_their_manifests_have_their_hashes(lake, registry, universe):
    for days in range(3):
        made = train_for(lake, registry, universe, DATE - dt.timedelta(days=days)).record
        again = rebuild(lake, registry.model(made.id))
        assert again.weights_sha256 == made.weights_sha256 == weights_hash(again.model.weights())
        assert (again.superseded, again.differences) == ([], [])


def test_the_costs_of_the_manifest_decide_the_weights(lake, registry, universe, record):
    """Orders of another size give other weights; a rebuild takes the size of the manifest, not the default."""
    small = universe.model_copy(update={"costs": CostsConfig(order_size=0.05)})
    made = train_for(lake, registry, small, DATE).record
    assert made.manifest["costs"]["order_size"] == 0.05
    assert made.weights_sha256 != record.weights_sha256
    assert rebuild(lake, registry.model(made.id)).weights_sha256 == made.weights_sha256
    usual = replace(made, manifest=made.manifest | {"costs": record.manifest["costs"]})
    assert rebuild(lake, usual).weights_sha256 == record.weights_sha256


def test_a_manifest_from_before_a_key_was_there_is_rebuilt_as_it_was_then(lake, registry, universe, record):
    every_bar = universe.model_copy(update={"training": universe.training.model_copy(update={"arrival_every": 1})})
    made = train_for(lake, registry, every_bar, DATE).record
    assert made.weights_sha256 != record.weights_sha256
    training = {name: value for name, value in made.manifest["training"].items() if name != "arrival_every"}
    earlier = replace(made, manifest=made.manifest | {"training": training})
    assert rebuild(lake, earlier).weights_sha256 == made.weights_sha256


def test_a_changed_input_is_read_in_the_version_of_the_manifest_and_named(lake, registry, universe, record):
    old = change_closes(lake, universe, CHANGED)
    assert old in {read.data_version for read in record.inputs}
    again = rebuild(lake, record)
    assert again.weights_sha256 == record.weights_sha256
    assert again.superseded == [str(CHANGED)]
    assert train_for(lake, registry, universe, DATE).record.weights_sha256 != record.weights_sha256


def test_an_input_whose_content_is_nowhere_kept_is_named(lake, universe, record):
    change_closes(lake, universe, CHANGED)
    lake.fs.rm(f"{lake.root}/{universe.name}/superseded", recursive=True)
    lake.remove(lake.path(universe.name, "panel", CHANGED + dt.timedelta(days=1)))
    with pytest.raises(TrainingError) as error:
        rebuild(lake, record)
    assert f"2 of {len(record.inputs)} partitions of small/panel" in str(error.value)
    assert "2024-01-08, 2024-01-09" in str(error.value)


def test_a_panel_with_the_same_content_replaces_nothing_but_its_record_of_inputs(lake, universe):
    path = lake.path(universe.name, "panel", DATE)
    table, before = lake.read_table(path), lake.versions(path)
    written, replaced = store_panel(lake, universe.name, DATE, table, {"features/AAA-USD|2024-01-14": "v1"})
    assert (written.data_version, replaced) == (before.data, None)
    assert lake.versions(path).inputs != before.inputs
    assert lake.names(f"{universe.name}/superseded") == []


def test_bytes_that_were_changed_behind_the_lakes_back_are_refused(lake, universe, record):
    path = lake.path(universe.name, "panel", CHANGED)
    data = bytearray(lake.read_bytes(path))
    data[100] ^= 0xFF
    lake.write_bytes(path, bytes(data))
    with pytest.raises((LakeError, TrainingError), match="2024-01-08"):
        rebuild(lake, record)


def test_other_code_libraries_and_machine_are_told(record):
    assert differences(record) == []
    libraries = {**record.manifest["libraries"], "torch": "1.0"}
    other = replace(record, code_version="abc", manifest={**record.manifest, "libraries": libraries, "machine": "vax"})
    told = differences(other)
    assert [text.split(" ")[0] for text in told] == ["code", "machine", "torch"]
    assert "torch was 1.0, is 2." in told[2]


def test_a_manifest_that_says_too_little_is_refused(lake, record):
    for lost in ("training", "costs"):
        manifest = {name: value for name, value in record.manifest.items() if name != lost}
        with pytest.raises(TrainingError, match=r"by this version: .*horizon, model, training and costs is not"):
            rebuild(lake, replace(record, manifest=manifest))
    manifest = record.manifest | {"model": {"hidden": 8, "layers": 3}}
    with pytest.raises(TrainingError, match="cannot be read by this version"):
        rebuild(lake, replace(record, manifest=manifest))
