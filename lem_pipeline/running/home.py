"""Dagster's home on this machine: an absolute folder with a `dagster.yaml`, made once and then left to its owner.

Where LEM_DAGSTER_STORAGE names a PostgreSQL database, the file says that Dagster's history is there, and only that the
URL is in this variable: a password is never written to a file. A file that nobody has changed follows the setting.
"""

from __future__ import annotations

import importlib.util
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from lem.errors import LemError
from lem.masking import Masking
from resources.settings import Settings

if TYPE_CHECKING:
    import dagster as dg

STORAGE = "LEM_DAGSTER_STORAGE"
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
RETENTION_YAML = """\
retention:
  # Days after which the history of schedules and sensors is deleted; runs and partitions are kept. Two evaluations a
  # minute that ask for nothing are 2 MB a day.
  schedule: {purge_after_days: 90}
  sensor:
    purge_after_days: {skipped: 2, started: 30, success: 30, failure: 30}
"""
POSTGRESQL_YAML = f"""\
storage:
  postgres:
    postgres_url: {{env: {STORAGE}}}
"""
_ALLOWED = "allowed is postgresql+psycopg2://user:password@host/database, or nothing for SQLite files in DAGSTER_HOME"
_OWN = {"", *(DAGSTER_YAML + more + storage for more in ("", RETENTION_YAML) for storage in ("", POSTGRESQL_YAML))}
"""What `lem` has written, in this version or before there was a retention."""
EVENT_BATCH_SIZE = "100"
"""Events of a range run that are written to Dagster's history at a time."""


class HomeError(LemError):
    """The folder that keeps Dagster's history cannot be made or written, or its database cannot be used."""


def dagster_home() -> Path:
    """Set DAGSTER_HOME, if the user has not, to `<LEM_HOME>/dagster`; make the folder and its dagster.yaml.

    Raises:
        HomeError: the user's DAGSTER_HOME is relative, or the folder cannot be made or written; or
            LEM_DAGSTER_STORAGE is no URL of PostgreSQL, or does not agree with a dagster.yaml of the user's own.
    """
    settings, given = Settings(), os.environ.get("DAGSTER_HOME")
    home = Path(given or settings.home / "dagster")
    if not home.is_absolute():
        raise HomeError(
            f"DAGSTER_HOME is {given}, a relative path: each working directory would have a history of its own; "
            f"allowed: an absolute path, such as {home.absolute()}"
        )
    if settings.dagster_storage:
        _check_storage(settings.dagster_storage)
        os.environ[STORAGE] = settings.dagster_storage  # it may be from a .env file, and Dagster reads only this
    storage = POSTGRESQL_YAML if settings.dagster_storage else ""
    wanted = DAGSTER_YAML + RETENTION_YAML + storage
    try:
        home.mkdir(parents=True, exist_ok=True)
        file = home / "dagster.yaml"
        there = file.read_text(encoding="utf-8") if file.exists() else ""
        if there in _OWN:
            if there != wanted:
                _replace(file, wanted)
        else:
            _check_agreement(file, there, settings.dagster_storage)
        # A history that was made in better days says nothing about today.
        with tempfile.TemporaryFile(dir=home):
            pass
    except OSError as error:
        raise HomeError(
            f"{home}: cannot keep Dagster's history here: {error}; allowed: a writable folder "
            "(DAGSTER_HOME, or the setting LEM_HOME)"
        ) from error
    os.environ["DAGSTER_HOME"] = str(home.absolute())
    os.environ.setdefault("DAGSTER_EVENT_BATCH_SIZE", EVENT_BATCH_SIZE)
    return home


def instance() -> dg.DagsterInstance:
    """The Dagster instance of this machine, whose runs the UI shows.

    Raises:
        HomeError: see `dagster_home`; or the database of its history cannot be reached.
    """
    import dagster as dg  # here: `lem ui` asks for the folder alone, and hands it to processes that import Dagster

    from resources.sqlite_events import copy_files_of_runs, keep_engines  # imports Dagster

    dagster_home()
    keep_engines()
    url = os.environ.get(STORAGE, "")
    try:
        found = dg.DagsterInstance.get()
        copy_files_of_runs(found)
        return found
    except Exception as error:
        if not url:
            raise
        cause = error.__cause__ or error
        raise HomeError(
            f"Dagster's history at {_shown(make_url(url))}: cannot open it: {_without_password(cause, make_url(url))}; "
            f"check that the server runs and that host, port, database, user and password are right (setting {STORAGE})"
        ) from None  # what the driver raises may quote the URL


def _check_storage(text: str) -> None:
    # What SQLAlchemy raises may quote a piece of the URL, and with it of the password: it is not chained.
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise HomeError(f"{STORAGE} is not a database URL; {_ALLOWED}") from None
    if url.get_backend_name() != "postgresql" or url.drivername == "postgresql":
        raise HomeError(f"{STORAGE} is {_shown(url)}: {url.drivername} is not supported; {_ALLOWED}")
    if importlib.util.find_spec("dagster_postgres") is None:
        raise HomeError(
            f"{STORAGE} is {_shown(url)}: dagster-postgres is not installed; install it with: pip install "
            "'lem-pipeline[postgresql]'"
        )


def _check_agreement(file: Path, text: str, url: str) -> None:
    mentions = any(STORAGE in line.partition("#")[0] for line in text.splitlines())
    if url and not mentions:
        raise HomeError(
            f"{file}: it does not read {STORAGE}, which is set; add these lines to it, or unset the variable:\n"
            f"{POSTGRESQL_YAML.rstrip()}"
        )
    if mentions and not url:
        raise HomeError(f"{file}: it reads {STORAGE}, which is not set; {_ALLOWED}")


def _replace(file: Path, text: str) -> None:
    """Another process may be reading the file: it sees the old one or the new one."""
    temporary = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(file)


def _shown(url: URL) -> str:
    return url.render_as_string(hide_password=True)


def _without_password(error: BaseException, url: URL) -> str:
    text = " ".join(str(getattr(error, "orig", None) or error).split())
    return Masking([str(url.password or "")])(text)
