"""What a command that Ctrl-C ends shows of what it broke off."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.conftest import ROOT

SCRIPT = """
import logging
import typer
from dagster._core.errors import DagsterExecutionInterruptedError
from lem_pipeline.cli.stopping import Stoppable

app = typer.Typer(cls=Stoppable)

@app.callback()
def group(): pass

@app.command()
def close():
    try:
        raise {raised}("here")
    except BaseException:
        logging.getLogger("sqlalchemy.pool.impl.NullPool").error("Exception closing connection", exc_info=True)
    raise KeyboardInterrupt

app(["close"])
"""


@pytest.mark.parametrize(
    ("raised", "told"),
    [("KeyboardInterrupt", False), ("DagsterExecutionInterruptedError", False), ("ValueError", True)],
)
def test_what_the_signal_broke_off_is_no_traceback_and_an_error_is(raised, told):
    command = [sys.executable, "-c", SCRIPT.format(raised=raised)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 130
    assert ("Traceback" in done.stderr) == told
    assert ("Exception closing connection" in done.stderr) == told
    assert done.stderr.endswith(
        "Stopped by Ctrl-C. What was finished stays, and the same command goes on from there.\n"
    )
