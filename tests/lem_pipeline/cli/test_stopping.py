"""What a command that Ctrl-C ends shows of what it broke off."""

from __future__ import annotations

import subprocess
import sys

from tests.conftest import ROOT

SCRIPT = """
import logging
import sys
import typer
from dagster._core.errors import DagsterExecutionInterruptedError
from lem_pipeline.cli.stopping import Stoppable

app = typer.Typer(cls=Stoppable)

@app.callback()
def group(): pass

@app.command()
def close():
    try:
        raise raised("here")
    except BaseException:
        logging.getLogger("sqlalchemy.pool.impl.NullPool").error("Exception closing connection", exc_info=True)
    raise KeyboardInterrupt

for raised in (KeyboardInterrupt, DagsterExecutionInterruptedError, ValueError):
    try:
        app(["close"])
    except SystemExit as stop:
        print(raised.__name__, stop.code, file=sys.stderr)
"""
TOLD = "Stopped by Ctrl-C. What was finished stays, and the same command goes on from there.\n"


def test_what_the_signal_broke_off_is_no_traceback_and_an_error_is():
    done = subprocess.run([sys.executable, "-c", SCRIPT], cwd=ROOT, capture_output=True, text=True, check=True)
    broken_off = f"{TOLD}KeyboardInterrupt 130\n{TOLD}DagsterExecutionInterruptedError 130\n"
    assert done.stderr.startswith(broken_off)
    error = done.stderr.removeprefix(broken_off)
    assert "Traceback" in error
    assert "Exception closing connection" in error
    assert error.endswith(f"{TOLD}ValueError 130\n")
