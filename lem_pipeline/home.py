"""Dagster's home on this machine: an absolute folder with a `dagster.yaml`, made once and then left to its owner."""

from __future__ import annotations

import os
from pathlib import Path

import dagster as dg

from lem.errors import LemError
from resources.settings import Settings

DAGSTER_YAML = """\
# Written once by `lem`; change it as you like. Every key: https://docs.dagster.io/deployment/oss/dagster-yaml
nux:
  enabled: false
telemetry:
  enabled: false
concurrency:
  # Runs that wait for a pool wait in the queue, where they hold neither a process nor a slot.
  pools: {default_limit: 1, granularity: run}
  runs: {max_concurrent_runs: 3}
run_monitoring:
  enabled: true
  max_runtime_seconds: 21600
  free_slots_after_run_end_seconds: 300
"""
EVENT_BATCH_SIZE = "100"
"""Events of a range run that Dagster writes at a time, where its storage can (PostgreSQL)."""


class HomeError(LemError):
    """The folder that keeps Dagster's history cannot be made or written."""


def dagster_home() -> Path:
    """Set DAGSTER_HOME, if the user has not, to `<LEM_HOME>/dagster`; make the folder and its dagster.yaml.

    Raises:
        HomeError: the folder cannot be made or written.
    """
    home = Path(os.environ.get("DAGSTER_HOME") or Settings().home / "dagster")
    try:
        home.mkdir(parents=True, exist_ok=True)
        file = home / "dagster.yaml"
        if not file.exists():
            file.write_text(DAGSTER_YAML, encoding="utf-8")
    except OSError as error:
        raise HomeError(
            f"{home}: cannot keep Dagster's history here: {error}; allowed: a writable folder (setting LEM_HOME)"
        ) from error
    os.environ["DAGSTER_HOME"] = str(home.absolute())
    os.environ.setdefault("DAGSTER_EVENT_BATCH_SIZE", EVENT_BATCH_SIZE)
    return home


def instance() -> dg.DagsterInstance:
    """The Dagster instance of this machine, whose runs the UI shows.

    Raises:
        HomeError: see `dagster_home`.
    """
    dagster_home()
    return dg.DagsterInstance.get()
