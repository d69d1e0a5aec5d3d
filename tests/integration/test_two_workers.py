"""Two workers that share PostgreSQL and S3 and nothing else make what one process makes, byte for byte.

Settings, files and commands are those of docs/scaling.md and deploy/many-machines.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import dagster as dg
import pytest

from lem.lake import Lake
from lem.registry import Registry
from tests.conftest import ROOT
from tests.servers import s3_server

pytest.importorskip("dagster_celery")
pytestmark = pytest.mark.slow

PAGE = (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")
DATE = "2024-01-18"
PATIENCE = 540.0


def command(start: str) -> list[str]:
    """The command of the page that begins like this, for this interpreter."""
    (line,) = [line.strip() for line in PAGE.splitlines() if line.strip().startswith(start)]
    name, *arguments = shlex.split(line)
    modules = {"celery": "celery", "lem": "lem_pipeline.cli"}
    return [sys.executable, "-m", modules[name], *arguments]


@dataclass
class Machine:
    """A folder of its own with `.env`, `universes` and Dagster's home, and the processes that were started in it."""

    folder: Path
    environment: dict[str, str]
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, arguments: list[str]) -> subprocess.Popen[bytes]:
        with open(self.folder / "log", "ab") as log:
            process = subprocess.Popen(
                arguments, cwd=self.folder, env=self.environment, stdout=log, stderr=log, start_new_session=True
            )
        self.processes.append(process)
        return process

    def finish(self, arguments: list[str]) -> tuple[int, str]:
        """Exit code and output."""
        done = subprocess.run(
            arguments, cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=PATIENCE
        )
        return done.returncode, done.stdout + done.stderr

    def kill(self) -> None:
        """Kill -9 of everything that was started here, at once."""
        for process in self.processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        self.processes.clear()

    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")


@dataclass
class Cluster:
    """Machines that share the settings of one database server and one bucket."""

    folder: Path
    settings: dict[str, str]
    universes: Path
    machines: list[Machine] = field(default_factory=list)

    def machine(self, name: str) -> Machine:
        folder = self.folder / name
        shutil.copytree(self.universes, folder / "universes")
        (folder / "dagster").mkdir()
        shutil.copy(ROOT / "deploy" / "many-machines" / "dagster.yaml", folder / "dagster")
        own = {"LEM_UNIVERSES": str(folder / "universes"), "DAGSTER_HOME": str(folder / "dagster")}
        lines = [f"{key}='{value}'" for key, value in (self.settings | own).items()]
        (folder / ".env").write_text("\n".join(lines), encoding="utf-8")
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("LEM_", "AWS_", "DAGSTER_"))}
        made = Machine(folder, kept | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "COLUMNS": "250"})
        self.machines.append(made)
        return made

    def worker(self, name: str) -> Machine:
        machine = self.machine(name)
        machine.start([argument.replace("worker1", name) for argument in command("celery -A lem_pipeline.worker")])
        return machine

    def runs(self) -> list[dg.DagsterRun]:
        """All runs, the newest first."""
        with pytest.MonkeyPatch.context() as patch:
            for name, value in self.settings.items():
                patch.setenv(name, value)
            with dg.DagsterInstance.from_config(str(ROOT / "deploy" / "many-machines")) as instance:
                return list(instance.get_runs())


@pytest.fixture
def cluster(postgresql, tiny_home, tmp_path) -> Iterator[Cluster]:
    with contextlib.ExitStack() as stack:
        names = ("LEM_REGISTRY", "LEM_DAGSTER_STORAGE", "LEM_QUEUE")
        settings = {name: stack.enter_context(postgresql.database()) for name in names}
        settings |= {"LEM_LAKE": "s3://desk/lake", **stack.enter_context(s3_server("desk"))}
        made = Cluster(tmp_path, settings, tiny_home.folder / "universes")
        try:
            yield made
        finally:
            for machine in made.machines:
                machine.kill()


def contents(root: str, **options) -> dict[str, bytes]:
    """Every object of a lake by its path."""
    lake = Lake(root, **options)
    return {
        path.removeprefix(f"{lake.root}/"): lake.fs.cat_file(path) for path in sorted(lake.fs.find(f"{lake.root}/tiny"))
    }


def assert_same_as_one_process(cluster: Cluster, tiny_home) -> None:
    expected = contents(str(tiny_home.folder / "home" / "lake"))
    s3 = {
        "key": cluster.settings["AWS_ACCESS_KEY_ID"],
        "secret": cluster.settings["AWS_SECRET_ACCESS_KEY"],
        "client_kwargs": {"endpoint_url": cluster.settings["AWS_ENDPOINT_URL"]},
    }
    found = contents("s3://desk/lake", skip_instance_cache=True, **s3)
    assert len(expected) > 60
    assert sorted(found) == sorted(expected)
    assert [path for path in expected if found[path] != expected[path]] == []
    local = Registry(f"sqlite:///{tiny_home.folder}/home/registry.sqlite", read_only=True)
    shared = Registry(cluster.settings["LEM_REGISTRY"], read_only=True)
    assert [model.id for model in shared.models("tiny")] == [model.id for model in local.models("tiny")]
    decisions = [[(p.date, p.champion_id, p.decision) for p in r.promotions("tiny")] for r in (shared, local)]
    assert decisions[0] == decisions[1]
    assert decisions[0]


def run_tiny() -> list[str]:
    return [{"sample": "tiny"}.get(word, word) for word in command("lem run -u sample --on-workers")] + ["-d", DATE]


def test_the_page_names_every_setting_that_the_machines_have(cluster):
    named = set(re.findall(r"^([A-Z_]+)=", PAGE, re.MULTILINE))
    assert named == set(cluster.settings) | {"LEM_UNIVERSES", "DAGSTER_HOME"}


def test_two_workers_make_the_bytes_of_one_process(cluster, tiny_home):
    workers = [cluster.worker(name) for name in ("north", "south")]
    code, said = cluster.machine("desk").finish(run_tiny())
    assert code == 0, said + "".join(worker.log() for worker in workers)
    assert_same_as_one_process(cluster, tiny_home)
    runs = cluster.runs()
    assert {run.status for run in runs} == {dg.DagsterRunStatus.SUCCESS}
    by_worker = {run.tags["lem/worker"].partition("@")[0] for run in runs}
    assert by_worker == {"north", "south"}
    kept = [path for path in cluster.folder.rglob("*") if path.suffix in (".parquet", ".sqlite", ".db")]
    assert kept == [], "nothing is kept beside the servers"
    code, said = cluster.machine("other").finish(run_tiny())
    assert (code, "Everything is there already." in said) == (0, True), said


def test_a_worker_that_is_killed_costs_one_run_and_the_next_try_completes_the_chain(cluster, tiny_home):
    north, south = cluster.worker("north"), cluster.worker("south")
    desk = cluster.machine("desk")
    waiting = desk.start(run_tiny())
    killed = kill_in_the_middle_of_a_run(cluster, north)
    assert waiting.wait(PATIENCE) == 1, desk.log()
    assert re.search(r"north@\S+ no longer executes the run: it was killed or cut off", desk.log()), desk.log()
    assert {run.run_id: run.status for run in cluster.runs()}[killed] == dg.DagsterRunStatus.FAILURE
    code, said = desk.finish(run_tiny())
    assert code == 0, said + south.log()
    assert_same_as_one_process(cluster, tiny_home)
    assert all(run.is_finished for run in cluster.runs())


def kill_in_the_middle_of_a_run(cluster: Cluster, worker: Machine) -> str:
    """Kill the worker while it executes a run; the run's id."""
    name, deadline = worker.folder.name, time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        for run in cluster.runs():
            if run.status == dg.DagsterRunStatus.STARTED and run.tags.get("lem/worker", "").startswith(f"{name}@"):
                # Halted first: a run that ends between the look and the kill would prove nothing.
                os.killpg(worker.processes[0].pid, signal.SIGSTOP)
                if {r.run_id: r.status for r in cluster.runs()}[run.run_id] == dg.DagsterRunStatus.STARTED:
                    worker.kill()
                    return run.run_id
                os.killpg(worker.processes[0].pid, signal.SIGCONT)
        time.sleep(0.05)
    raise AssertionError(f"{name} never executed a run:\n{worker.log()}")
