"""A real `lem ui` on a free port, in a session of its own, and Chromium to look at it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.conftest import ROOT

CHROMIUM = shutil.which("chromium")
PATIENCE = 240.0
"""Seconds until a test gives up on something that takes a few on a machine that has nothing else to do."""
WRITE = os.environ.get("LEM_WRITE_SCREENSHOTS") == "1"
PICTURES = ROOT / "docs" / "ui"
LOADED = (
    "{ workspaceOrError { ... on Workspace { locationEntries { loadStatus locationOrLoadError { __typename } } } } }"
)


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def living(session: int) -> list[int]:
    """Processes of a session that still run; those that only wait to be collected do not count."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, _, its_session, *_ = stat.read_text().rpartition(")")[2].split()
            if int(its_session) == session and state != "Z":
                found.append(int(stat.parent.name))
    return sorted(found)


def until(what: str, done: object) -> None:
    """Wait until the function `done` gives something true.

    Raises:
        TimeoutError: it did not within `PATIENCE`.
    """
    end = time.monotonic() + PATIENCE
    while not done():  # type: ignore[operator]
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not within {PATIENCE:g} s")
        time.sleep(0.5)


def new_page(browser: Any) -> Any:
    """A page of the size of the pictures, patient."""
    page = browser.new_page(viewport={"width": 1280, "height": 800}, timezone_id="UTC")
    page.set_default_timeout(PATIENCE * 1000)
    page.set_default_navigation_timeout(PATIENCE * 1000)
    return page


def picture(page: Any, name: str, height: int = 800) -> None:
    """Write a picture of the page from its top to a height in pixels, if pictures are wanted."""
    if WRITE:
        page.wait_for_timeout(4000)  # until what fades in has done so
        PICTURES.mkdir(exist_ok=True)
        part = {"x": 0, "y": 0, "width": 1280, "height": height}
        page.screenshot(path=PICTURES / f"{name}.png", clip=part, timeout=PATIENCE * 1000)


@dataclass(frozen=True)
class Ui:
    """A running `lem ui`: the process that leads its session, its address, and where its output goes."""

    process: subprocess.Popen[bytes]
    url: str
    log: Path

    def loaded(self) -> bool:
        """Whether the code location has been loaded.

        Raises:
            RuntimeError: the server has ended, or the definitions cannot be loaded.
        """
        if self.process.poll() is not None:
            raise RuntimeError(f"lem ui ended with {self.process.returncode}: {self.log.read_text()}")
        try:
            (entry,) = self.ask(LOADED)["workspaceOrError"]["locationEntries"]
        except (OSError, ValueError):
            return False
        if (entry["locationOrLoadError"] or {}).get("__typename") == "PythonError":
            raise RuntimeError(f"the definitions cannot be loaded: {self.log.read_text()}")
        return entry["loadStatus"] == "LOADED"

    def ask(self, query: str, variables: Mapping[str, Any] | None = None) -> Any:
        """The data that Dagster's GraphQL answers with."""
        body = json.dumps({"query": query, "variables": variables or {}}).encode()
        request = urllib.request.Request(f"{self.url}/graphql", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)["data"]

    def interrupt(self) -> int:
        """Ctrl-C: the exit code, when every process of the session is gone."""
        os.killpg(self.process.pid, signal.SIGINT)
        self.process.wait(PATIENCE)
        until(f"processes {living(self.process.pid)} end", lambda: not living(self.process.pid))
        return self.process.returncode

    def kill(self) -> None:
        """End whatever is left, at once."""
        for process in living(self.process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        self.process.wait(PATIENCE)


@contextlib.contextmanager
def lem_ui(
    folder: Path, env: Mapping[str, str], python: str | Path = sys.executable, arguments: Sequence[str] = ()
) -> Iterator[Ui]:
    """`lem ui` of the environment of `python`, with `folder` as its working directory; nothing of it is left."""
    port, log = free_port(), folder / "ui.log"
    # DAGSTER_HOME follows LEM_HOME, and the checkout's own `.env` is out of sight.
    kept = {name: value for name, value in os.environ.items() if name != "DAGSTER_HOME" and not name.startswith("LEM_")}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [python, "-m", "lem_pipeline.cli", "ui", "--port", str(port), *arguments],
            cwd=folder,
            env=kept | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **env},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    ui = Ui(process, f"http://127.0.0.1:{port}", log)
    try:
        yield ui
    finally:
        ui.kill()
