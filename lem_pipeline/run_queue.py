"""Runs on other machines: a Dagster run launcher whose queue, like Dagster's history, is a PostgreSQL database.

The launcher is dagster-celery's, with kombu's SQLAlchemy transport as the broker, so that workers share PostgreSQL and
the lake and nothing else. Such a broker cannot ask a worker whether it lives. Here the database can: a worker holds an
advisory lock of the run's name for as long as it executes the run, in a session of its own, and the server releases it
the moment the worker's connection breaks, kill -9 included.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import dagster as dg
from sqlalchemy import Connection, NullPool, create_engine, text
from sqlalchemy.exc import SQLAlchemyError

from lem.errors import LemError
from resources.dagster_internals import (
    CeleryRunLauncher,
    CheckRunHealthResult,
    ConfigurableClassData,
    WorkerStatus,
    celery_defaults,
)

QUEUE = "dagster"
WORKER_TAG = "lem/worker"
"""Run tag: the worker that took the run."""


_HELD = """
SELECT EXISTS (
    SELECT FROM pg_locks JOIN pg_database ON pg_locks.database = pg_database.oid
    WHERE locktype = 'advisory' AND datname = current_database() AND objsubid = 1 AND granted
    AND (classid::bigint << 32) | objid::bigint = :key
)
"""


class QueueError(LemError):
    """The queue of runs cannot be used, or a run in it is not to be executed."""


def celery_settings() -> dict[str, Any]:
    """Settings of the Celery app, for the launcher and the workers.

    A worker takes one run at a time. No result is stored, since Dagster's history is the result.
    """
    defaults = celery_defaults()
    return {
        **defaults,
        "task_acks_late": True,  # taken early, the next run would wait for a worker that is busy or dies
        "task_ignore_result": True,
        "broker_connection_retry_on_startup": True,
        "broker_transport_options": {
            **defaults["broker_transport_options"],
            "pool_pre_ping": True,
            "pool_recycle": 300,
        },
    }


def broker_url(url: str) -> str:
    """Celery's name of a PostgreSQL database (a SQLAlchemy URL with its driver).

    Raises:
        QueueError: it is not one.
    """
    if not url.startswith("postgresql+"):
        raise QueueError(
            "the queue of runs: not a PostgreSQL URL with its driver; allowed: "
            "postgresql+psycopg2://user:password@host/database (setting LEM_QUEUE)"
        )
    return f"sqla+{url}"


class RunLocks:
    """Who executes which run, in the database of the queue."""

    def __init__(self, url: str) -> None:
        broker_url(url)
        self._engine = create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")

    @contextmanager
    def hold(self, run_id: str) -> Iterator[None]:
        """This process executes the run.

        Raises:
            QueueError: another process does, or the database cannot be reached.
        """
        with self._connection() as connection:
            if not connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": _key(run_id)}):
                raise QueueError(f"run {run_id} is being executed by another worker; allowed: one at a time")
            try:
                yield
            finally:
                # The server ends the session a moment after it was closed here, and the lock with it: too late for who
                # comes next. Where the connection broke, the session and its lock are gone already.
                with suppress(SQLAlchemyError):
                    connection.scalar(text("SELECT pg_advisory_unlock(:key)"), {"key": _key(run_id)})

    def held(self, run_id: str) -> bool:
        """Whether a living process executes the run.

        Raises:
            QueueError: the database cannot be reached.
        """
        # Looked up and not tried: a lock that is taken for a moment would turn a worker away.
        with self._connection() as connection:
            return bool(connection.scalar(text(_HELD), {"key": _key(run_id)}))

    @contextmanager
    def _connection(self) -> Iterator[Connection]:
        try:
            connection = self._engine.connect()
        except SQLAlchemyError as error:
            reason = " ".join(str(getattr(error, "orig", error)).split())
            raise QueueError(
                f"the queue of runs cannot be reached: {reason}; allowed: a running PostgreSQL server "
                "(setting LEM_QUEUE)"
            ) from None  # the error's own text may quote the URL
        with connection:
            yield connection


def _key(run_id: str) -> int:
    return int.from_bytes(hashlib.sha256(run_id.encode()).digest()[:8], "big", signed=True)


class QueueLauncher(CeleryRunLauncher):
    """Puts runs into the queue, and knows from the database whether their workers live.

    In dagster.yaml:

        run_launcher:
          module: lem_pipeline.run_queue
          class: QueueLauncher
          config: {postgres_url: {env: LEM_QUEUE}}
    """

    def __init__(self, postgres_url: str, inst_data: ConfigurableClassData | None = None) -> None:
        self.locks = RunLocks(postgres_url)
        super().__init__(
            default_queue=QUEUE,
            broker=broker_url(postgres_url),
            backend=None,
            config_source=celery_settings(),
            inst_data=inst_data,
        )

    @classmethod
    def config_type(cls) -> Any:
        """What `config` in dagster.yaml may hold."""
        return {"postgres_url": dg.Field(dg.StringSource, description="PostgreSQL database of the queue.")}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData, config_value: Mapping[str, Any]) -> QueueLauncher:
        """The launcher that dagster.yaml describes."""
        return cls(inst_data=inst_data, **config_value)

    @property
    def supports_resume_run(self) -> bool:
        """Never: Dagster hands no run to a second worker."""
        return False

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Dagster asks this of every run that has started."""
        if self.locks.held(run.run_id):
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        worker = run.tags.get(WORKER_TAG, "its worker")
        return CheckRunHealthResult(
            WorkerStatus.FAILED, f"{worker} no longer executes the run: it was killed or cut off"
        )

    def get_run_worker_debug_info(self, run: dg.DagsterRun, include_container_logs: bool | None = True) -> str | None:
        """Which worker has the run, in words."""
        worker = run.tags.get(WORKER_TAG)
        return f"Executed by {worker}; see its log there." if worker else "No worker has taken the run yet."

    def queued(self) -> int:
        """How many runs no worker has taken yet."""
        with self.celery.connection_for_write() as connection:
            channel = connection.default_channel
            try:
                return int(channel.queue_declare(QUEUE, passive=True).message_count)
            finally:
                channel.session.close()  # the channel itself keeps its connection until it is collected as garbage

    def terminate(self, run_id: str) -> bool:
        """Cancel a run that no worker has taken; one that is being executed ends with its worker or by itself."""
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished or self.locks.held(run_id):
            return False
        self._instance.report_run_canceled(run)
        return True
