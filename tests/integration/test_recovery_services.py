"""kill -9 of a step, a run worker, and each service of a deployment, at random moments of a run.

`LEM_FAULT_TRIES=2` tries each twice instead of twenty times.
"""

from __future__ import annotations

import datetime as dt
import os
import random
import time
from pathlib import Path

import pytest

from lem.lake import Lake
from tests.integration.deployment import Deployment, steps_of
from tests.integration.recovery import KEYS, SPAN, Chain, Lem, Line, history, kill, objects, undisturbed

pytestmark = [
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds a run's processes in /proc"),
    pytest.mark.slow,
    pytest.mark.timeout(3600),
]
SERVICES = ("daemon", "webserver", "code server")
TRIES = int(os.environ.get("LEM_FAULT_TRIES", "20"))


@pytest.fixture(scope="module")
def deployed(tmp_path_factory, tiny_keys, write_universe, make_universe, postgresql):
    """The chain with its services, history on PostgreSQL."""
    folder = tmp_path_factory.mktemp("deployed")
    write_universe(folder / "universes", tiny_keys(**KEYS))
    with postgresql.database() as url, pytest.MonkeyPatch.context() as patch:
        patch.setenv("LEM_DAGSTER_STORAGE", url)
        env = {
            "LEM_HOME": str(folder / "home"),
            "LEM_UNIVERSES": str(folder / "universes"),
            "DAGSTER_HOME": str(folder / "home" / "dagster"),
            "LEM_LAKE": str(folder / "lake"),
            "LEM_REGISTRY": url,
            "LEM_DAGSTER_STORAGE": url,
        }
        lem = Lem(folder, env)
        last = SPAN[0] + dt.timedelta(days=5 * TRIES + 1)
        expected = undisturbed(make_universe(**tiny_keys(**KEYS)), Lake(str(folder / "expected")), last)
        with Deployment(folder / "home" / "dagster", env) as services:
            yield Chain(lem, Lake(str(folder / "lake")), expected), services
        lem.close()


@pytest.mark.parametrize("victim", ["step", "run worker", *SERVICES])
def test_kill_9_at_a_random_moment(deployed, victim):
    chain, services = deployed
    line, dice = Line(f"kill -9 of the {victim} at a random moment"), random.Random(victim)
    with history(services.home) as instance:
        for _ in range(TRIES):
            chain.backfill()
            before = objects(chain.lake)
            tags = {
                "dagster/asset_partition_range_start": f"AAA-USD|{chain.day}",
                "dagster/asset_partition_range_end": f"BBB-USD|{chain.day}",
            }
            executor = "multiprocess" if victim == "step" else "in_process"
            run = services.launch(["raw_bars", "bars"], tags, executor)
            if victim in SERVICES:
                time.sleep(dice.uniform(0, 5))
                services.kill(victim)
                services.start(victim)
            else:
                worker = services.worker(instance, run)
                time.sleep(dice.uniform(0, 5 if victim == "step" else 1.5))
                for process in list(steps_of(worker)) if victim == "step" else [worker]:
                    kill(process)
            services.finished(instance, run)
            line.judge(chain, before, services.home)
    line.check()
