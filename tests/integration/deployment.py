"""Code server, daemon and webserver as three processes, each of which may be killed and started again."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg

from tests.conftest import ROOT
from tests.integration.recovery import kill
from tests.servers import free_port

YAML = """\
telemetry: {enabled: false}
nux: {enabled: false}
storage: {postgres: {postgres_url: {env: LEM_DAGSTER_STORAGE}}}
run_queue: {dequeue_interval_seconds: 1}
run_monitoring: {enabled: true, start_timeout_seconds: 20, poll_interval_seconds: 2}
"""
LAUNCH = """
mutation Launch($params: ExecutionParams!) {
  launchRun(executionParams: $params) { __typename ... on LaunchRunSuccess { run { runId } } }
}
"""
LOCATION = ROOT / "tests" / "integration" / "location.py"
_WORKER = re.compile(r"Started process for run \(pid: (\d+)\)")
_PATIENCE_S = 240


class Deployment:
    """The three services of a home.

    Args:
        home: DAGSTER_HOME, its dagster.yaml is written here. env: settings of all three. yaml: the dagster.yaml.
        location: file with the definitions. daemon: module that runs as the daemon.
    """

    def __init__(
        self,
        home: Path,
        env: dict[str, str],
        yaml: str = YAML,
        location: Path = LOCATION,
        daemon: str = "dagster._daemon",
    ) -> None:
        self.home, self.location, self.daemon = home, location, daemon
        self.ports = {"code server": free_port(), "webserver": free_port()}
        home.mkdir(parents=True, exist_ok=True)
        (home / "dagster.yaml").write_text(yaml)
        server = f"{{host: 127.0.0.1, port: {self.ports['code server']}, location_name: lem}}"
        (home / "workspace.yaml").write_text(f"load_from: [{{grpc_server: {server}}}]\n")
        self.env = {**os.environ, **env, "PYTHONPATH": str(ROOT), "DAGSTER_HOME": str(home)}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Deployment:
        try:
            for service in ("code server", "daemon", "webserver"):
                self.start(service)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for service in self.processes:
            self.kill(service)

    def start(self, service: str) -> None:
        """Start a service, and wait until it answers where it has a port."""
        python, workspace = [sys.executable, "-m"], ["-w", str(self.home / "workspace.yaml")]
        command = {
            "code server": [*python, "dagster", "api", "grpc", "-f", str(self.location), "-h", "127.0.0.1", "-p"],
            "daemon": [*python, self.daemon, "run", *workspace],
            "webserver": [*python, "dagster_webserver", "-h", "127.0.0.1", *workspace, "-p"],
        }[service]
        if service in self.ports:
            command.append(str(self.ports[service]))
        with open(self.home / f"{service}.log", "ab") as log:
            self.processes[service] = subprocess.Popen(command, env=self.env, cwd=self.home, stdout=log, stderr=log)
        if service == "code server":
            health = [*python, "dagster", "api", "grpc-health-check", "-h", "127.0.0.1", "-p"]
            self._until(
                lambda: (
                    not subprocess.run(
                        [*health, str(self.ports[service])], env=self.env, check=False, capture_output=True
                    ).returncode
                ),
                service,
            )
        if service == "webserver":
            self._until(lambda: self._post("query { version }"), service)

    def kill(self, service: str) -> None:
        """kill -9."""
        kill(self.processes[service].pid)
        self.processes[service].wait()

    def launch(self, tables: list[str], tags: dict[str, str], executor: str) -> str:
        """Ask the webserver for a run; its id."""
        selector = {
            "repositoryName": "__repository__",
            "repositoryLocationName": "lem",
            "jobName": "__ASSET_JOB",
            "assetSelection": [{"path": ["tiny", table]} for table in tables],
        }
        params = {
            "selector": selector,
            "runConfigData": {"execution": {"config": {executor: {}}}},
            "executionMetadata": {"tags": [{"key": key, "value": value} for key, value in tags.items()]},
        }
        answer = self._until(lambda: self._post(LAUNCH, {"params": params}), "launch")
        return answer["data"]["launchRun"]["run"]["runId"]

    def worker(self, instance: dg.DagsterInstance, run_id: str) -> int:
        """The process that runs a run, as soon as it has begun."""

        def found() -> int:
            logs = instance.all_logs(run_id, of_type=dg.DagsterEventType.ENGINE_EVENT)
            return next((int(match[1]) for entry in logs if (match := _WORKER.search(entry.message))), 0)

        return self._until(found, "run worker")

    def finished(self, instance: dg.DagsterInstance, run_id: str) -> dg.DagsterRunStatus:
        """The status that a run ends with."""
        self._until(lambda: instance.get_run_by_id(run_id).is_finished, f"end of run {run_id}")
        return instance.get_run_by_id(run_id).status

    def _post(self, query: str, variables: dict[str, Any] | None = None) -> dict[str, Any]:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.ports['webserver']}/graphql",
            json.dumps({"query": query, "variables": variables or {}}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def _until(self, found: Any, what: str) -> Any:
        deadline = time.monotonic() + _PATIENCE_S
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError, KeyError):
                if answer := found():
                    return answer
            time.sleep(0.2)
        logs = "\n".join(path.read_text(errors="replace")[-3000:] for path in self.home.glob("*.log"))
        raise AssertionError(f"{what}: nothing after {_PATIENCE_S} s\n{logs}")


def steps_of(worker: int) -> Iterator[int]:
    """Processes in which a run worker executes its steps now."""
    with contextlib.suppress(OSError):
        for child in Path(f"/proc/{worker}/task/{worker}/children").read_text().split():
            with contextlib.suppress(OSError):
                if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes():
                    yield int(child)
