"""The peer's environment: made once, made anew when its versions change, and errors that say what pip said."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from benchmarks import peer
from benchmarks.common import BenchmarkError


@pytest.fixture
def no_install(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Environments are an empty interpreter file, and pip only notes what it was asked for."""
    asked: list[list[str]] = []

    def create(folder: Path, with_pip: bool) -> None:
        peer.python_of(folder).parent.mkdir(parents=True)
        peer.python_of(folder).touch()

    monkeypatch.setattr(peer.venv, "create", create)
    monkeypatch.setattr(peer, "_install", lambda python, what: asked.append(what))
    return asked


def test_the_environment_is_made_once_and_anew_when_a_version_changes(tmp_path, no_install, monkeypatch):
    folder = tmp_path / "peer"
    assert peer.ensure_peer(folder) == peer.python_of(folder)
    assert no_install == [list(peer.LIBRARIES), ["--no-deps", peer.PEER]]
    peer.ensure_peer(folder)
    assert len(no_install) == 2
    monkeypatch.setattr(peer, "PEER", "lems==9")
    peer.ensure_peer(folder)
    assert no_install[2:] == [list(peer.LIBRARIES), ["--no-deps", "lems==9"]]


def test_an_environment_that_was_not_finished_is_made_anew(tmp_path, no_install, monkeypatch):
    def fails(python: Path, what: list[str]) -> None:
        raise BenchmarkError("pip")

    with monkeypatch.context() as patch:
        patch.setattr(peer, "_install", fails)
        with pytest.raises(BenchmarkError):
            peer.ensure_peer(tmp_path / "peer")
    peer.ensure_peer(tmp_path / "peer")
    assert len(no_install) == 2


def test_a_failure_of_pip_names_the_packages_and_what_pip_said(tmp_path, monkeypatch):
    done = subprocess.CompletedProcess([], 1, "", "first\nno matching distribution\n")
    monkeypatch.setattr(peer.subprocess, "run", lambda *_, **__: done)
    with pytest.raises(BenchmarkError, match=r"(?s)lems==0\.1\.1 ended with code 1.*--no-peer.*no matching"):
        peer._install(tmp_path, ["--no-deps", peer.PEER])


def test_a_driver_that_ends_is_an_error_with_its_last_lines(tmp_path, monkeypatch):
    (tmp_path / "driver.py").write_text("raise SystemExit('no such backend here')\n", encoding="utf-8")
    monkeypatch.setattr(peer, "DRIVER", tmp_path / "driver.py")
    monkeypatch.setattr(peer, "ensure_peer", lambda: Path(peer.sys.executable))
    with pytest.raises(BenchmarkError, match=r"(?s)\(jax\): its driver ended with code 1.*no such backend here"):
        peer.Peer("jax", {"hidden": 8}, 1)


def test_a_driver_is_asked_for_one_turn_at_a_time(tmp_path, monkeypatch):
    script = (
        "import sys\n"
        "print('{\"parameters\": 7}', flush=True)\n"
        "for line in sys.stdin:\n"
        "    print('{\"orders_per_s\": %d}' % len(line.strip()), flush=True)\n"
    )
    (tmp_path / "driver.py").write_text(script, encoding="utf-8")
    monkeypatch.setattr(peer, "DRIVER", tmp_path / "driver.py")
    monkeypatch.setattr(peer, "ensure_peer", lambda: Path(peer.sys.executable))
    with peer.Peer("torch", {"hidden": 8}, 1) as contender:
        assert contender.parameters == 7
        assert [contender.rate(job) for job in ("train", "predict")] == [5.0, 7.0]
