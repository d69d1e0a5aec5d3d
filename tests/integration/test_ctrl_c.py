"""Ctrl-C in a real terminal: one sentence of ours, no traceback, at whatever moment it comes."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import sys
import time

import pytest

from tests.conftest import ROOT
from tests.lem_ui import PATIENCE, free_port


def is_importing(pid: int, library: str) -> bool:
    """Whether a process has a library in its memory."""
    if not library:
        return True
    with open(f"/proc/{pid}/maps") as maps:
        return library in maps.read()


def typed(folder, arguments, wait_for: str, seconds: float, library: str = "") -> tuple[int, str]:
    """Exit code as a shell has it, and what a terminal showed after Ctrl-C.

    Args:
        folder: where the command runs.
        arguments: of the command.
        wait_for: what the terminal shows first; a regular expression.
        seconds: from there to Ctrl-C.
        library: that the process has loaded by then; before Python itself has begun nobody can say anything.
    """
    pid, terminal = pty.fork()
    if pid == 0:
        for name in [name for name in os.environ if name.startswith(("LEM_", "DAGSTER_"))]:
            del os.environ[name]
        os.environ |= {
            "PYTHONPATH": str(ROOT),
            "LEM_HOME": "home",
            "LEM_UNIVERSES": "universes",
            "OMP_NUM_THREADS": "1",
        }
        os.chdir(folder)
        # The tests may run in a shell's background, where SIGINT is ignored; in a terminal it is not.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.execv(sys.executable, [sys.executable, "-m", "lem_pipeline.cli", *arguments])
    shown, pressed, end = "", None, time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if select.select([terminal], [], [], 0.1)[0]:
            try:
                part = os.read(terminal, 65536)
            except OSError:  # the last process has closed it
                break
            shown += part.decode(errors="replace")
        if pressed is None and re.search(wait_for, shown) and is_importing(pid, library):
            time.sleep(seconds)
            os.write(terminal, b"\x03")
            pressed = len(shown)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    os.close(terminal)
    assert pressed is not None, shown
    # Python ends itself by SIGINT where the key fell into an `exec` of text, as in an import that makes a data class.
    return 128 - code if code < 0 else code, shown[pressed:].replace("\r", "")


@pytest.fixture
def folder(tmp_path, tiny_keys, write_universe):
    write_universe(tmp_path / "universes", tiny_keys())
    return tmp_path


@pytest.mark.parametrize("seconds", [0.0, *(pytest.param(s, marks=pytest.mark.slow) for s in (0.3, 1.0, 2.0))])
def test_during_a_run_it_is_told_that_the_command_goes_on(folder, seconds):
    run = ["run", "-u", "tiny", "-d", "2024-01-18"]
    code, said = typed(folder, run, r"\[1/9\]", seconds)
    assert code == 130, said
    assert said.strip().endswith("Stopped by Ctrl-C. What was finished stays, and the same command goes on from there.")
    assert not re.search(r"Traceback|KeyboardInterrupt|Fatal|error:", said)


@pytest.mark.skipif(not os.path.exists("/proc/self/maps"), reason="/proc is not there")
@pytest.mark.parametrize("seconds", [0.0, 0.4])
def test_before_anything_was_begun_it_is_a_sentence_too(folder, seconds):
    code, said = typed(folder, ["status", "-u", "tiny"], "", seconds, library="pydantic_core")
    assert code == 130, said
    assert re.fullmatch(r"\^C\nStopped by Ctrl-C\..*\n|\^CStopped by Ctrl-C\..*\n", said), said


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.0, 3.0, 12.0])
def test_the_ui_says_that_it_has_ended(folder, seconds):
    code, said = typed(folder, ["ui", "--port", str(free_port())], "stop it with Ctrl-C", seconds)
    assert code == 0, said
    assert said.strip().endswith("Stopped: the UI and its daemon have ended.")
    assert "Traceback" not in said
