"""A worker: takes runs from the queue and executes them one after the other, with this machine's settings.

    celery -A lem_pipeline.worker worker --queues dagster --concurrency 1

It needs DAGSTER_HOME with the cluster's dagster.yaml, LEM_QUEUE, and the settings of the lake and the registry.
"""

from __future__ import annotations

import os
from typing import Any

import celery
import dagster as dg
from dotenv import load_dotenv

from lem_pipeline.run_queue import WORKER_TAG, RunLocks, broker_url, celery_settings
from resources.dagster_internals import run_id_of, run_task, worker_app

load_dotenv(".env")
URL = os.environ.get("LEM_QUEUE", "")

app = worker_app(broker_url(URL), celery_settings())


class HeldRun(celery.Task):
    """Executes a run while holding its lock; a run that has ended meanwhile, by a cancellation say, is left alone."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The task as Celery calls it."""
        run_id = run_id_of(kwargs)
        with RunLocks(URL).hold(run_id), dg.DagsterInstance.get() as instance:
            run = instance.get_run_by_id(run_id)
            if run is None or run.is_finished:
                return 0
            instance.add_run_tags(run_id, {WORKER_TAG: self.request.hostname})
            return super().__call__(*args, **kwargs)


execute_job = run_task(app, base=HeldRun)
