from __future__ import annotations

from pathlib import Path

import pytest

from resources.settings import Credentials, Settings

NAMES = ("LEM_HOME", "LEM_LAKE", "LEM_REGISTRY", "LEM_DATA", "LEM_UNIVERSES")


@pytest.fixture(autouse=True)
def nowhere(tmp_path, monkeypatch):
    """An empty working directory and an environment without settings."""
    monkeypatch.chdir(tmp_path)
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)


def test_without_any_setting_everything_lies_in_an_absolute_folder_of_the_working_directory(tmp_path):
    settings = Settings()
    assert settings.home == tmp_path / ".lem"
    assert settings.lake == str(tmp_path / ".lem" / "lake")
    assert settings.registry == f"sqlite:///{tmp_path / '.lem' / 'registry.sqlite'}"
    assert not settings.home.exists()


def test_the_home_becomes_absolute_and_moves_the_defaults(monkeypatch, tmp_path):
    monkeypatch.setenv("LEM_HOME", "elsewhere")
    settings = Settings()
    assert settings.home == tmp_path / "elsewhere"
    assert settings.lake == str(tmp_path / "elsewhere" / "lake")
    assert settings.registry.endswith("/elsewhere/registry.sqlite")


def test_lake_registry_data_and_universes_come_from_the_environment(monkeypatch, tmp_path):
    values = {
        "LEM_LAKE": "s3://bucket/lake",
        "LEM_REGISTRY": "postgresql+psycopg2://user@host/name",
        "LEM_DATA": "https://example.org/bars",
        "LEM_UNIVERSES": str(tmp_path / "universes"),
    }
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    settings = Settings()
    assert [settings.lake, settings.registry, settings.data, str(settings.universes)] == list(values.values())


def test_a_dotenv_file_is_read_and_the_environment_wins(monkeypatch, tmp_path):
    (tmp_path / ".env").write_text("LEM_DATA=from_file\nLEM_LAKE=lake_from_file\nUNRELATED=1\n")
    monkeypatch.setenv("LEM_LAKE", "lake_from_environment")
    assert (Settings().data, Settings().lake) == ("from_file", "lake_from_environment")


def test_keys_of_a_venue_come_from_a_dotenv_file_too_and_none_is_needed(monkeypatch, tmp_path):
    assert Credentials.of("okx").given() == {}
    (tmp_path / ".env").write_text("LEM_OKX_API_KEY=from_file\nLEM_OKX_PASSWORD=phrase\nLEM_BINANCE_SECRET=other\n")
    monkeypatch.setenv("LEM_OKX_API_KEY", "from_environment")
    assert Credentials.of("okx").given() == {"apiKey": "from_environment", "password": "phrase"}


def test_each_settings_object_reads_the_environment_anew(monkeypatch):
    monkeypatch.setenv("LEM_HOME", "/one")
    first = Settings()
    monkeypatch.setenv("LEM_HOME", "/two")
    assert (first.home, Settings().home) == (Path("/one"), Path("/two"))


def test_an_empty_variable_names_no_folder_of_universes(monkeypatch):
    monkeypatch.setenv("LEM_UNIVERSES", "")
    assert Settings().universes is None
