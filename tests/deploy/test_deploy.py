"""The deployment files: Dagster loads each of them, and `env.example` names settings that exist."""

from __future__ import annotations

import shutil

import dagster as dg
import pytest
import yaml
from dotenv import dotenv_values

from lem_pipeline.running.home import HomeError, dagster_home, instance
from resources.settings import Settings
from tests.conftest import ROOT

DEPLOY = ROOT / "deploy"
FILES = {"laptop.yaml": "Sqlite", "server.yaml": "Postgres", "many-machines/dagster.yaml": "Postgres"}


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """`installed("server.yaml")`: a file as the dagster.yaml of a home of its own."""

    def install(file: str):
        home = tmp_path / "home"
        home.mkdir()
        shutil.copy(DEPLOY / file, home / "dagster.yaml")
        monkeypatch.setenv("DAGSTER_HOME", str(home))
        return home

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LEM_DAGSTER_STORAGE", "")
    return install


@pytest.mark.parametrize("file", FILES)
def test_each_file_makes_an_instance_that_keeps_its_promises(file, installed, monkeypatch, request):
    installed(file)
    storage = FILES[file]
    if storage == "Postgres":
        with pytest.raises(HomeError, match="it reads LEM_DAGSTER_STORAGE, which is not set"):
            dagster_home()
        url = request.getfixturevalue("postgresql").url
        monkeypatch.setenv("LEM_DAGSTER_STORAGE", url)
        monkeypatch.setenv("LEM_QUEUE", url)
    with instance() as loaded:
        assert storage in type(loaded.run_storage).__name__
        assert loaded.get_runs(limit=1) == []
        assert not loaded.telemetry_enabled
        assert loaded.run_monitoring_enabled
        assert loaded.run_monitoring_max_runtime_seconds > 0
        assert loaded.run_monitoring_settings["free_slots_after_run_end_seconds"] > 0
        assert loaded.run_retries_enabled
        assert loaded.run_retries_max_retries > 0
        assert not loaded.run_retries_retry_on_asset_or_op_failure
        limits = loaded.get_concurrency_config()
        assert limits.pool_config.default_pool_limit
        assert limits.run_queue_config.max_concurrent_runs > 1
        assert isinstance(loaded.run_coordinator, dg._core.run_coordinator.QueuedRunCoordinator)


@pytest.mark.parametrize("file", FILES)
def test_no_file_holds_a_password_and_every_section_says_what_it_is_for(file):
    text = (DEPLOY / file).read_text()
    assert "://" not in "".join(line.partition("#")[0] for line in text.splitlines())
    assert {"telemetry", "concurrency", "run_monitoring", "run_retries", "retention"} <= set(yaml.safe_load(text))
    assert text.count("#") > 8


def test_the_example_of_settings_names_settings_that_are_read(tmp_path, monkeypatch):
    named = dotenv_values(DEPLOY / "env.example")
    ours = {name.removeprefix("LEM_").lower() for name in named if name.startswith("LEM_")}
    assert ours <= set(Settings.model_fields)
    assert {"lake", "registry", "dagster_storage", "data", "universes"} <= ours
    shutil.copy(DEPLOY / "env.example", tmp_path / ".env")
    monkeypatch.chdir(tmp_path)
    for name in named:
        monkeypatch.setenv(name, "")  # so that it is as before afterwards, whoever sets it
        monkeypatch.delenv(name)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))
    assert Settings().lake == "s3://desk/lake"
    dagster_home()
    assert "PASSWORD" not in (tmp_path / "dagster" / "dagster.yaml").read_text()
