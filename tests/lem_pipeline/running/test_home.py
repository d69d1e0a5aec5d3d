"""Dagster's home: its dagster.yaml follows the settings until somebody changes it, and never holds a password."""

from __future__ import annotations

import os
import re

import pytest
import yaml
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.scheduler.instigation import TickStatus
from sqlalchemy import make_url

from lem_pipeline.running.home import (
    DAGSTER_YAML,
    POSTGRESQL_YAML,
    RETENTION_YAML,
    HomeError,
    dagster_home,
    instance,
)

URL = "postgresql+psycopg2://lem:s3cr3t@127.0.0.1:1/history"


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LEM_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DAGSTER_HOME", "")
    monkeypatch.setenv("LEM_DAGSTER_STORAGE", "")
    return tmp_path / "home"


def test_without_the_setting_the_history_is_in_files_of_an_absolute_folder(home):
    assert dagster_home() == home / "dagster"
    assert (home / "dagster" / "dagster.yaml").read_text() == DAGSTER_YAML + RETENTION_YAML
    assert os.environ["DAGSTER_HOME"] == str(home / "dagster")


def test_with_the_setting_the_file_names_the_variable_and_not_the_password(home, monkeypatch):
    monkeypatch.setenv("LEM_DAGSTER_STORAGE", URL)
    dagster_home()
    text = (home / "dagster" / "dagster.yaml").read_text()
    assert yaml.safe_load(text)["storage"] == {"postgres": {"postgres_url": {"env": "LEM_DAGSTER_STORAGE"}}}
    assert not [path for path in home.rglob("*") if path.is_file() and "s3cr3t" in path.read_text()]


def test_the_setting_may_stand_in_a_dotenv_file(home, tmp_path, monkeypatch):
    monkeypatch.delenv("LEM_DAGSTER_STORAGE")
    (tmp_path / ".env").write_text(f"LEM_DAGSTER_STORAGE={URL}\n")
    dagster_home()
    assert os.environ["LEM_DAGSTER_STORAGE"] == URL


def test_a_file_that_nobody_changed_follows_the_setting_and_back(home, monkeypatch):
    dagster_home()
    monkeypatch.setenv("LEM_DAGSTER_STORAGE", URL)
    dagster_home()
    assert (home / "dagster" / "dagster.yaml").read_text() == DAGSTER_YAML + RETENTION_YAML + POSTGRESQL_YAML
    monkeypatch.setenv("LEM_DAGSTER_STORAGE", "")
    dagster_home()
    assert (home / "dagster" / "dagster.yaml").read_text() == DAGSTER_YAML + RETENTION_YAML


@pytest.mark.parametrize("storage", ["", POSTGRESQL_YAML], ids=["files", "PostgreSQL"])
def test_a_file_of_the_version_before_gets_the_retention(home, monkeypatch, storage):
    monkeypatch.setenv("LEM_DAGSTER_STORAGE", URL if storage else "")
    file = home / "dagster" / "dagster.yaml"
    file.parent.mkdir(parents=True)
    file.write_text(DAGSTER_YAML + storage)
    dagster_home()
    assert file.read_text() == DAGSTER_YAML + RETENTION_YAML + storage


def test_dagster_takes_the_retention_that_is_written(home):
    with instance() as written:
        kept = written.get_tick_retention_settings(InstigatorType.SENSOR)
        assert kept == {TickStatus.SKIPPED: 2, TickStatus.STARTED: 30, TickStatus.SUCCESS: 30, TickStatus.FAILURE: 30}
        assert set(written.get_tick_retention_settings(InstigatorType.SCHEDULE).values()) == {90}


def test_a_file_of_the_users_own_is_left_alone_and_must_agree_with_the_setting(home, monkeypatch):
    own = home / "dagster" / "dagster.yaml"
    own.parent.mkdir(parents=True)
    own.write_text("telemetry: {enabled: false}\n# LEM_DAGSTER_STORAGE is not used here\n")
    dagster_home()
    monkeypatch.setenv("LEM_DAGSTER_STORAGE", URL)
    with pytest.raises(HomeError, match=r"does not read LEM_DAGSTER_STORAGE.*add these lines") as caught:
        dagster_home()
    own.write_text(own.read_text() + str(caught.value).partition(":\n")[2] + "\n")
    dagster_home()
    monkeypatch.setenv("LEM_DAGSTER_STORAGE", "")
    with pytest.raises(HomeError, match="it reads LEM_DAGSTER_STORAGE, which is not set"):
        dagster_home()
    assert "postgres_url" in own.read_text()


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://lem:s3cr3t@host/history",
        "mysql://lem:s3cr3t@host/history",
        "s3cr3t",
        "postgresql+psycopg2://h:s3cr3t",
    ],
)
def test_a_url_of_something_else_is_refused_without_its_password(url, monkeypatch):
    monkeypatch.setenv("LEM_DAGSTER_STORAGE", url)
    with pytest.raises(HomeError, match=r"LEM_DAGSTER_STORAGE is .*allowed is postgresql\+psycopg2://") as caught:
        dagster_home()
    assert "s3cr3t" not in str(caught.value)


@pytest.mark.slow
def test_a_server_that_is_not_there_and_a_wrong_password_are_one_message_without_it(postgresql, monkeypatch):
    right = make_url(postgresql.url)
    for wrong in (right.set(password="s3cr3t-and-wrong"), right.set(port=1, password="s3cr3t")):
        monkeypatch.setenv("LEM_DAGSTER_STORAGE", wrong.render_as_string(hide_password=False))
        with pytest.raises(HomeError, match=r"cannot open it: .*; check that the server runs") as caught:
            instance()
        assert "s3cr3t" not in str(caught.value)
        assert re.search(r"refused|authentication failed", str(caught.value))
        assert caught.value.__cause__ is None
