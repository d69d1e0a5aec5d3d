from __future__ import annotations

import pytest

from lem.errors import UniverseError
from resources.opening import all_universes, universe_named
from resources.settings import ROOT
from resources.universes import universe_file, universe_files


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A working folder, and no settings."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.delenv("LEM_UNIVERSES", raising=False)
    return tmp_path / "work"


@pytest.fixture
def named(tmp_path, monkeypatch):
    """The folder of LEM_UNIVERSES."""
    (tmp_path / "named").mkdir()
    monkeypatch.setenv("LEM_UNIVERSES", str(tmp_path / "named"))
    return tmp_path / "named"


def test_the_universes_of_the_package_are_found_from_any_folder():
    assert universe_file("sample") == ROOT / "universes" / "sample.toml"
    assert universe_named("sample").name == "sample"
    assert {"sample", "binance", "crypto", "dow"} <= set(all_universes())


def test_a_file_of_the_working_folder_is_found_beside_them_and_comes_first(folder, tiny_keys, write_universe):
    write_universe(folder / "universes", tiny_keys())
    write_universe(folder / "universes", tiny_keys(name="sample", description="mine"))
    assert {"tiny", "sample", "crypto"} <= set(universe_files())
    assert universe_named("sample").description == "mine"
    assert all_universes()["sample"].description == "mine"


def test_the_folder_of_the_variable_comes_first_and_others_are_found_by_name(named, folder, tiny_keys, write_universe):
    write_universe(named, tiny_keys(description="named"))
    write_universe(folder / "universes", tiny_keys(description="working"))
    write_universe(folder / "universes", tiny_keys(name="other"))
    assert universe_named("tiny").description == "named"
    assert universe_named("other").name == "other"
    assert universe_named("sample").name == "sample"


def test_a_machine_with_the_variable_shows_its_universes_alone(named, folder, tiny_keys, write_universe):
    write_universe(named, tiny_keys())
    write_universe(folder / "universes", tiny_keys(name="other"))
    assert list(all_universes()) == ["tiny"]


def test_an_unknown_name_tells_all_three_places_and_what_is_there(named, folder, tiny_keys, write_universe):
    write_universe(named, tiny_keys())
    with pytest.raises(UniverseError) as raised:
        universe_named("nope")
    text = str(raised.value)
    assert text.startswith("no universe 'nope': ")
    assert f"{named} (LEM_UNIVERSES) has tiny; " in text
    assert f"{folder / 'universes'} (the working folder) is not there; " in text
    assert f"{ROOT / 'universes'} (the package) has binance, crypto, dow, sample; " in text
    assert text.endswith("`lem new nope` writes one")


def test_without_the_variable_the_message_says_that_it_is_not_set():
    with pytest.raises(UniverseError, match="LEM_UNIVERSES is not set; "):
        universe_named("nope")


@pytest.mark.parametrize("look", [all_universes, lambda: universe_named("sample")])
def test_a_variable_that_names_no_folder_is_an_error_and_no_other_market(look, monkeypatch, tmp_path):
    monkeypatch.setenv("LEM_UNIVERSES", str(tmp_path / "gone"))
    with pytest.raises(UniverseError, match=r"LEM_UNIVERSES is .*/gone: no such folder; allowed: "):
        look()


def test_an_empty_folder_of_the_variable_is_named(named):
    with pytest.raises(UniverseError, match=r"no universe files \(\*\.toml\): .*/named \(LEM_UNIVERSES\) has none"):
        all_universes()


@pytest.mark.parametrize("name", ["../universes/sample", "sample.toml", "", "/etc/passwd"])
def test_a_name_is_no_path(name):
    with pytest.raises(UniverseError, match="no universe "):
        universe_named(name)
