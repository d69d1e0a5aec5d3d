"""A worker: takes runs from the queue and executes them one after the other, with this machine's settings.

    celery -A lem_pipeline.worker worker --queues dagster --concurrency 1

It needs DAGSTER_HOME with the cluster's dagster.yaml, LEM_QUEUE, and the settings of the lake and the registry.
"""

from __future__ import annotations

import os
from typing import Any

import celery
import dagster as dg
from dagster._grpc.types import ExecuteRunArgs
from dagster._serdes import unpack_value
from dagster_celery.make_app import make_app
from dagster_celery.tasks import create_execute_job_task
from dotenv import load_dotenv

from lem_pipeline.run_queue import WORKER_TAG, RunLocks, broker_url, celery_settings

load_dotenv(".env")
URL = os.environ.get("LEM_QUEUE", "")

app = make_app({"broker": broker_url(URL), "config_source": celery_settings()})


class HeldRun(celery.Task):
    """Executes a run while holding its lock; a run that has ended meanwhile, by a cancellation say, is left alone."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        run_id = unpack_value(kwargs["execute_job_args_packed"], as_type=ExecuteRunArgs).run_id
        with RunLocks(URL).hold(run_id), dg.DagsterInstance.get() as instance:
            run = instance.get_run_by_id(run_id)
            if run is None or run.is_finished:
                return 0
            instance.add_run_tags(run_id, {WORKER_TAG: self.request.hostname})
            return super().__call__(*args, **kwargs)


options: dict[str, Any] = {"base": HeldRun}
execute_job = create_execute_job_task(app, **options)
