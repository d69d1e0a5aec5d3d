from __future__ import annotations

import datetime as dt

import pytest

from lem.errors import LakeError, RegistryError, SourceError
from lem.universe.calendars import partition_window
from resources import stores
from resources.stores import LakeResource, RegistryResource, SourceResource

FILES_SOURCE = {"kind": "files", "url": "{data}/{symbol}.csv"}
CCXT_SOURCE = {"kind": "ccxt", "venue": "binance", "bar": "1h"}
JANUARY_2 = partition_window(dt.date(2024, 1, 2))
ARCHIVE_SOURCE = {"kind": "archive", "daily": "https://a/{symbol}-{date}.zip", "bar": "1h"}


def test_what_is_opened_follows_the_environment_of_the_moment(monkeypatch, tmp_path):
    lake, registry = LakeResource(), RegistryResource()
    for name in ("one", "two"):
        monkeypatch.setenv("LEM_HOME", str(tmp_path / name))
        assert lake.open().root == str(tmp_path / name / "lake")
        assert str(tmp_path / name / "registry.sqlite") in registry.open().url_shown
        assert (tmp_path / name / "registry.sqlite").exists()


def test_making_a_resource_opens_and_writes_nothing(monkeypatch, tmp_path):
    monkeypatch.setenv("LEM_HOME", str(tmp_path / "home"))
    LakeResource(), RegistryResource(), SourceResource()
    assert list(tmp_path.iterdir()) == []


def test_what_a_resource_is_given_wins_over_the_environment(monkeypatch, tmp_path, make_universe):
    monkeypatch.setenv("LEM_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("LEM_DATA", "/nowhere")
    assert LakeResource(root=str(tmp_path / "lake")).open().root == str(tmp_path / "lake")
    registry = RegistryResource(url=f"sqlite:///{tmp_path / 'mine.sqlite'}").open()
    assert "mine.sqlite" in registry.url_shown
    source = SourceResource(data="/given").open(make_universe(source=FILES_SOURCE))
    with pytest.raises(SourceError, match=r"^/given/AAA-USD\.csv: no such file"):
        source.fetch("AAA-USD", *JANUARY_2)


def test_the_universe_says_which_source_is_opened(monkeypatch, make_universe):
    monkeypatch.setenv("LEM_DATA", "/bars")
    assert len(SourceResource().open(make_universe()).fetch("AAA-USD", *JANUARY_2).table) == 24
    with pytest.raises(SourceError, match=r"^/bars/BBB-USD\.csv: no such file"):
        SourceResource().open(make_universe(source=FILES_SOURCE)).fetch("BBB-USD", *JANUARY_2)


def test_a_lake_that_cannot_be_written_is_an_error_with_place_and_remedy(tmp_path):
    (tmp_path / "lake").write_text("a file where the folder should be")
    lake = LakeResource(root=str(tmp_path / "lake")).open()
    with pytest.raises(LakeError, match=r"lake .*/lake: cannot write small/x: .*allowed: .*LEM_LAKE"):
        lake.write_bytes("small/x", b"1")


def test_a_lake_that_cannot_be_listed_is_an_error_with_place_and_remedy(tmp_path):
    (tmp_path / "lake").write_text("a file where the folder should be")
    lake = LakeResource(root=str(tmp_path / "lake")).open()
    path = lake.path("small", "panel", dt.date(2024, 1, 1))
    with pytest.raises(LakeError, match=r"lake .*/lake: cannot list small/panel: "):
        lake.missing([path])


def test_a_lake_of_an_unknown_kind_is_refused():
    with pytest.raises(LakeError, match=r"lake nosuch://x: .*allowed: a path, s3://"):
        LakeResource(root="nosuch://x").open()


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("sqlite:///{tmp}", r"it is a folder; name a file"),
        ("sqlite:///file:{tmp}/none.sqlite?mode=ro&uri=true", r"there is no such file; open it to write"),
        ("mysql://host/name", r"mysql is not supported; allowed are sqlite:"),
        ("not a url", r"not a database URL; allowed are sqlite:"),
    ],
)
def test_a_registry_that_cannot_be_opened_is_an_error_with_a_remedy(url, expected, tmp_path):
    with pytest.raises(RegistryError, match=expected):
        RegistryResource(url=url.format(tmp=tmp_path)).open()


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (CCXT_SOURCE, {"apiKey": "mine", "secret": "hidden"}),
        ({**CCXT_SOURCE, "venue": "okx"}, {}),
        ({**ARCHIVE_SOURCE, "fallback": CCXT_SOURCE}, {"apiKey": "mine", "secret": "hidden"}),
        (ARCHIVE_SOURCE, {}),
        (FILES_SOURCE, {}),
    ],
    ids=["ccxt", "another venue", "archive with a fallback", "archive", "files"],
)
def test_a_source_gets_the_keys_of_its_venue_and_of_no_other(source, expected, monkeypatch, make_universe):
    got = {}
    monkeypatch.setattr(stores, "open_source", lambda universe, data, credentials: got.update(credentials))
    monkeypatch.setenv("LEM_BINANCE_API_KEY", "mine")
    monkeypatch.setenv("LEM_BINANCE_SECRET", "hidden")
    SourceResource().open(make_universe(source=source))
    assert got == expected
