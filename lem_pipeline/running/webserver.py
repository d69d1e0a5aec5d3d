"""`lem ui`: checks what would stop the Dagster UI, in words, and then runs it until Ctrl-C."""

from __future__ import annotations

import errno
import os
import signal
import socket
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import NoReturn

from rich.console import Console

from lem.errors import LemError
from lem_pipeline.running.dagster_services import MODULE
from lem_pipeline.running.home import dagster_home
from lem_pipeline.web.listening import check_bind, in_url, listen
from resources.interrupts import supervise
from resources.locks import TakenError, take_for_life
from resources.opening import all_universes
from resources.settings import Settings

HOST = "127.0.0.1"


class PortError(LemError):
    """The port of the UI cannot be listened on, or another UI has the home."""


def take_home(home: Path, url: str) -> int:
    """Take Dagster's home for this UI and its daemon: two daemons would start every run twice.

    Returns:
        A descriptor; closing it gives the home back.

    Raises:
        PortError: another UI has it.
    """
    try:
        return take_for_life(home / "ui.lock", f"{url} (process {os.getpid()})")
    except TakenError as other:
        raise PortError(
            f"the UI of {home} is open already, on {other}; allowed: that page, or one UI for each home "
            "(DAGSTER_HOME, or the setting LEM_HOME)"
        ) from None


def open_port(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Raises:
        PortError: somebody listens there, or this user may not.
    """
    try:
        return listen(host, port)
    except OSError as error:
        if error.errno not in (errno.EADDRINUSE, errno.EACCES):
            raise PortError(
                f"cannot listen on {host}:{port}: {error.strerror}; allowed: an address of this machine"
            ) from error
        with listen(host, 0) as other:
            free = other.getsockname()[1]
        chosen = "" if host == HOST else f" --host {host}"
        raise PortError(
            f"port {port} on {host}: {error.strerror}; allowed: a free port, as with: lem ui --port {free}" + chosen
        ) from error


def become_webserver(console: Console, host: str, port: int, workspace: Path | None = None) -> NoReturn:
    """Run Dagster's webserver and daemon until they end or are to be stopped, and then end this process.

    Args:
        console: to say where it is.
        host: address to listen on.
        port: to listen on.
        workspace: a workspace.yaml of code servers, whose daemon runs elsewhere: the webserver is run alone.

    Raises:
        ServiceError: another address than loopback without LEM_UI_TOKEN, or with one that can be guessed.
        PortError: the port is taken, or another UI serves this home.
        HomeError: Dagster's history has no place.
        UniverseError: a universe file is wrong, and the UI would have no graph.
    """
    token = Settings().ui_token.get_secret_value()
    check_bind(host, token, "LEM_UI_TOKEN")
    home = dagster_home()
    url = f"http://{in_url(host)}:{port}"
    with ExitStack() as refused:
        if workspace is None:
            refused.callback(os.close, take_home(home, url))
        listener = refused.enter_context(open_port(host, port))
        if workspace is None:
            all_universes()
        refused.pop_all()
    shown = "; open /?token=TOKEN there once, with the value of LEM_UI_TOKEN" if token else ""
    descriptor = listener.fileno()
    command = [sys.executable, "-m", MODULE]
    if workspace is None:
        command += [host, str(port), str(descriptor)]
    else:
        command += ["--webserver", str(descriptor), "--workspace", str(workspace)]
    bin_dir = str(Path(sys.executable).parent)
    env = os.environ | {"PATH": f"{bin_dir}{os.pathsep}{os.environ.get('PATH', '')}"}

    def say() -> None:
        console.print(f"Dagster UI on {url} (history in {home}){shown}; stop it with Ctrl-C")
        sys.stdout.flush()

    with listener:
        ended = supervise(command, env, [descriptor], say)
    if isinstance(ended, signal.Signals):
        console.print(f"Stopped: the UI {'and its daemon have' if workspace is None else 'has'} ended.")
        sys.exit(0 if ended is signal.SIGINT else 128 + ended)
    sys.exit(ended)
