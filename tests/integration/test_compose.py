"""What deploy/compose runs, as processes: code server, daemon, UI and a worker on PostgreSQL and S3, one partition."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from lem.lake import Lake
from tests.conftest import ROOT
from tests.integration.deployment import LAUNCH
from tests.servers import free_port, s3_server

COMPOSE = ROOT / "deploy" / "compose"
SERVICES = yaml.safe_load((COMPOSE / "compose.yaml").read_text())["services"]
PATIENCE_S = 240
KEY = "AAA-USD|2024-01-05"
TOKEN = "Vx7pQm2LtR9sWc4NbK6yHd8F"


class Stack:
    """The services of the compose file on this machine: their commands with hosts, ports and folders of its own.

    Args:
        folder: of the workspace, Dagster's home and the logs.
        settings: the environment of all services.
    """

    def __init__(self, folder: Path, settings: dict[str, str]) -> None:
        self.folder, self.processes = folder, dict[str, subprocess.Popen[bytes]]()
        self.ports = {"4000": str(free_port()), "3000": str(free_port())}
        home = folder / "dagster"
        home.mkdir()
        shutil.copy(ROOT / "deploy" / "many-machines" / "dagster.yaml", home)
        text = (COMPOSE / "workspace.yaml").read_text()
        text = text.replace("host: code", "host: 127.0.0.1").replace("4000", self.ports["4000"])
        (folder / "workspace.yaml").write_text(text)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("LEM_", "AWS_", "DAGSTER_"))}
        path = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
        own = {"PYTHONPATH": str(ROOT), "DAGSTER_HOME": str(home), "LEM_HOME": str(folder / "home"), "PATH": path}
        self.env = kept | settings | own | {"OMP_NUM_THREADS": "1", "LEM_UI_TOKEN": TOKEN}

    def command(self, words: list[str]) -> list[str]:
        """A command of the compose file, for this machine."""
        replaced = {
            "/srv/lem/workspace.yaml": str(self.folder / "workspace.yaml"),
            "0.0.0.0": "127.0.0.1",
            **self.ports,
        }
        return [replaced.get(word, word) for word in words]

    def start(self, service: str) -> None:
        """Start a service, and wait until its health check is content."""
        with open(self.folder / f"{service}.log", "ab") as log:
            self.processes[service] = subprocess.Popen(
                self.command(SERVICES[service]["command"]),
                cwd=self.folder,
                env=self.env,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        if "healthcheck" in SERVICES[service]:
            check = self.command(SERVICES[service]["healthcheck"]["test"][1:])
            self.until(
                lambda: subprocess.run(check, env=self.env, check=False, capture_output=True).returncode == 0, service
            )

    def post(self, query: str, **variables: object) -> dict:
        """An answer of the UI."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.ports['3000']}/graphql",
            json.dumps({"query": query, "variables": variables}).encode(),
            {"Content-Type": "application/json", "Authorization": f"Bearer {TOKEN}"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["data"]

    def until(self, found, what: str):
        """What `found` gives as soon as it gives something."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError, KeyError, TypeError):
                if answer := found():
                    return answer
            time.sleep(0.3)
        logs = "\n".join(path.read_text(errors="replace")[-3000:] for path in self.folder.glob("*.log"))
        raise AssertionError(f"{what}: nothing after {PATIENCE_S} s\n{logs}")

    def stop(self) -> None:
        """Kill -9 of all."""
        for process in self.processes.values():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture
def stack(postgresql, tmp_path, tiny_keys, write_universe, monkeypatch) -> Iterator[Stack]:
    write_universe(tmp_path / "universes", tiny_keys())
    with contextlib.ExitStack() as opened:
        names = ("LEM_REGISTRY", "LEM_DAGSTER_STORAGE", "LEM_QUEUE")
        settings = {name: opened.enter_context(postgresql.database()) for name in names}
        settings |= opened.enter_context(s3_server("another"))
        settings |= {"LEM_LAKE": SERVICES["code"]["environment"]["LEM_LAKE"]}
        settings |= {"LEM_UNIVERSES": str(tmp_path / "universes")}
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        made = Stack(tmp_path, settings)
        try:
            yield made
        finally:
            made.stop()


@pytest.mark.slow
def test_the_services_of_the_compose_file_make_a_partition_that_the_ui_is_asked_for(stack):
    bucket = stack.command(SERVICES["bucket"]["command"])
    for _ in range(2):  # it is run with every start
        subprocess.run(bucket, env=stack.env, check=True, timeout=PATIENCE_S)
    for service in ("code", "daemon", "ui", "worker"):
        stack.start(service)
    stack.until(lambda: stack.post("query { version }")["version"], "ui")
    params = {
        "selector": {
            "repositoryName": "__repository__",
            "repositoryLocationName": "lem",
            "jobName": "__ASSET_JOB",
            "assetSelection": [{"path": ["tiny", "raw_bars"]}],
        },
        "runConfigData": {},
        "executionMetadata": {"tags": [{"key": "dagster/partition", "value": KEY}]},
    }
    run_id = stack.until(lambda: stack.post(LAUNCH, params=params)["launchRun"]["run"]["runId"], "launch")
    query = "query Run($id: ID!) { runOrError(runId: $id) { ... on Run { status tags { key value } } } }"

    def ended() -> dict | None:
        run = stack.post(query, id=run_id)["runOrError"]
        return run if run["status"] in ("SUCCESS", "FAILURE", "CANCELED") else None

    run = stack.until(ended, "end of the run")
    assert run["status"] == "SUCCESS"
    assert "lem/worker" in {tag["key"] for tag in run["tags"]}
    lake = Lake(SERVICES["code"]["environment"]["LEM_LAKE"])
    assert len(lake.names("tiny/raw_bars")) == 1
