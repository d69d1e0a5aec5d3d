"""`lem ui`: checks what would stop the Dagster UI, in words, and then runs it until Ctrl-C."""

from __future__ import annotations

import os
import signal
import socket
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import NoReturn

from rich.console import Console

from lem.errors import LemError
from lem_pipeline.running.home import dagster_home
from resources.interrupts import supervise
from resources.locks import TakenError, take_for_life
from resources.opening import all_universes
from resources.settings import ROOT

HOST = "127.0.0.1"


class PortError(LemError):
    """The port of the UI cannot be listened on, or another UI has the home."""


def take_home(home: Path, port: int) -> int:
    """Take Dagster's home for this UI and its daemon: two daemons would start every run twice.

    Returns:
        A descriptor; closing it gives the home back.

    Raises:
        PortError: another UI has it.
    """
    try:
        return take_for_life(home / "ui.lock", f"http://{HOST}:{port} (process {os.getpid()})")
    except TakenError as other:
        raise PortError(
            f"the UI of {home} is open already, on {other}; allowed: that page, or one UI for each home "
            "(DAGSTER_HOME, or the setting LEM_HOME)"
        ) from None


def check_port(port: int) -> None:
    """Do nothing where the port is free.

    Raises:
        PortError: somebody listens on it, or this user may not.
    """
    with socket.socket() as probe:
        # As the server does: a port whose last connections are only dying is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            with socket.socket() as other:
                other.bind((HOST, 0))
                free = other.getsockname()[1]
            raise PortError(
                f"port {port} on {HOST}: {error.strerror}; allowed: a free port, as with: lem ui --port {free}"
            ) from error


def become_webserver(console: Console, port: int) -> NoReturn:
    """Run Dagster's webserver and daemon until they end or are to be stopped, and then end this process.

    Raises:
        PortError: the port is taken, or another UI serves this home.
        HomeError: Dagster's history has no place.
        UniverseError: a universe file is wrong, and the UI would have no graph.
    """
    home = dagster_home()
    taken = take_home(home, port)
    with ExitStack() as refused:
        refused.callback(os.close, taken)
        check_port(port)
        all_universes()
        refused.pop_all()
    console.print(f"Dagster UI on http://{HOST}:{port} (history in {home}); stop it with Ctrl-C")
    bin_dir = str(Path(sys.executable).parent)
    command = ["dev", "-w", str(ROOT / "workspace.yaml"), "--host", HOST, "--port", str(port)]
    env = os.environ | {"PATH": f"{bin_dir}{os.pathsep}{os.environ.get('PATH', '')}"}
    sys.stdout.flush()
    ended = supervise([f"{bin_dir}/dg", *command], env)
    if isinstance(ended, signal.Signals):
        console.print("Stopped: the UI and its daemon have ended.")
        sys.exit(0 if ended is signal.SIGINT else 128 + ended)
    sys.exit(ended)
