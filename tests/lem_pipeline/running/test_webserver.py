"""What keeps `lem ui` from starting is one message, before any process of it runs."""

from __future__ import annotations

import os
import re
import shutil
import socket
import tempfile
from pathlib import Path

import pytest

from lem_pipeline.running import webserver
from lem_pipeline.running.home import HomeError, dagster_home


@pytest.fixture
def executed(monkeypatch):
    """The command lines that would have been run."""
    found = []

    def supervised(command, env, kept, begun):
        begun()
        found.append((command, env, kept))
        return 0

    monkeypatch.setattr(webserver, "supervise", supervised)
    return found


@pytest.fixture
def ui(tmp_path, lem_command, tiny_keys, write_universe, executed):
    """`ui(port)`: `lem ui` in a folder with the tiny universe."""
    write_universe(tmp_path / "universes", tiny_keys())
    return lambda *arguments, **env: lem_command(
        tmp_path, "ui", *arguments, **{"DAGSTER_HOME": str(tmp_path / "history"), **env}
    )


@pytest.fixture
def taken():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_a_free_port_becomes_the_server_on_the_loopback_address_only(ui, executed, taken, tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        free = str(probe.getsockname()[1])
    done = ui("--port", free, DAGSTER_HOME=str(tmp_path / "history"))
    assert done.code == 0, done.err
    assert f"Dagster UI on http://127.0.0.1:{free} (history in {tmp_path / 'history'})" in done.out
    ((command, env, (descriptor,)),) = executed
    assert command[1:] == ["-m", "lem_pipeline.running.dagster_services", "127.0.0.1", free, str(descriptor)]
    assert env["DAGSTER_HOME"] == str(tmp_path / "history")


def test_a_taken_port_is_named_with_a_free_one_to_try(ui, executed, taken):
    done = ui("--port", str(taken))
    assert done.code == 1
    assert done.err.startswith(f"error: port {taken} on 127.0.0.1: Address already in use; allowed: a free port")
    assert not executed
    advised = re.search(r"lem ui --port (\d+)", done.err)[1]
    assert advised != str(taken)
    assert ui("--port", advised).code == 0


@pytest.mark.parametrize("port", ["0", "65536", "-1", "http"])
def test_what_is_no_port_is_a_wrong_option(port, ui, executed):
    assert ui("--port", port).code == 2
    assert not executed


def test_a_relative_history_is_refused_with_the_absolute_path_to_set(ui, executed, tmp_path):
    done = ui(DAGSTER_HOME="history")
    assert done.code == 1
    assert "error: DAGSTER_HOME is history, a relative path" in done.err
    assert f"an absolute path, such as {tmp_path / 'history'}" in done.err
    assert not (tmp_path / "history").exists()
    assert not executed


@pytest.mark.parametrize("place", ["/proc", "{file}/dagster"])
def test_a_history_that_has_no_place_is_refused(place, ui, executed, tmp_path):
    (tmp_path / "file").write_text("")
    home = place.format(file=tmp_path / "file")
    done = ui(DAGSTER_HOME=home)
    assert done.code == 1
    assert done.err.startswith(f"error: {home}: cannot keep Dagster's history here: ")
    assert "allowed: a writable folder (DAGSTER_HOME, or the setting LEM_HOME)" in done.err
    assert not executed


def test_a_history_that_can_no_longer_be_written_is_refused(monkeypatch):
    folder = Path(tempfile.mkdtemp())
    (folder / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    folder.chmod(0o555)
    monkeypatch.setenv("DAGSTER_HOME", str(folder))
    root = os.geteuid() == 0
    try:
        if root:
            os.seteuid(65534)  # root may write everywhere
        with pytest.raises(HomeError, match="cannot keep Dagster's history here"):
            dagster_home()
    finally:
        if root:
            os.seteuid(0)
        shutil.rmtree(folder)


def test_a_wrong_universe_file_is_named_before_the_server_starts(ui, executed, tmp_path, tiny_keys, write_universe):
    write_universe(tmp_path / "universes", tiny_keys(name="broken", horizon=0))
    done = ui()
    assert done.code == 1
    assert "broken.toml" in done.err
    assert "horizon" in done.err
    assert not executed


def test_a_second_ui_on_one_home_is_refused_with_the_address_of_the_first(ui, executed, tmp_path):
    home = str(tmp_path / "history")
    assert ui("--port", "3911", DAGSTER_HOME=home).code == 0
    done = ui("--port", "3912", DAGSTER_HOME=home)
    assert done.code == 1
    assert done.err.startswith(
        f"error: the UI of {home} is open already, on http://127.0.0.1:3911 (process {os.getpid()})"
    )
    assert len(executed) == 1
    assert ui("--port", "3912", DAGSTER_HOME=str(tmp_path / "other")).code == 0
