"""Faults while a chain runs: nothing is lost or half-written, no slot is held, and the next try completes."""

from __future__ import annotations

import datetime as dt
import os
import random
import threading
import time
from functools import partial

import pytest

from lem.lake import Lake
from tests.integration.fast_clock import COMPILER, FastClock
from tests.integration.recovery import KEYS, Chain, Lem, Line, Undisturbed, kill, objects

TRIES = [
    pytest.param(2, id="2 tries", marks=pytest.mark.thorough),
    pytest.param(20, id="20 tries", marks=[pytest.mark.slow, pytest.mark.timeout(3600)]),
]


@pytest.fixture(scope="module")
def local(tmp_path_factory, tiny_keys, write_universe, make_universe):
    """The chain on files, and what an undisturbed one makes of its days."""
    folder = tmp_path_factory.mktemp("recovery")
    write_universe(folder / "universes", tiny_keys(**KEYS))
    home, lake = folder / "home", folder / "lake"
    env = {
        "LEM_HOME": str(home),
        "LEM_UNIVERSES": str(folder / "universes"),
        "DAGSTER_HOME": str(home / "dagster"),
        "LEM_LAKE": str(lake),
        "LEM_REGISTRY": "",
        "LEM_DAGSTER_STORAGE": "",
    }
    lem = Lem(folder, env)
    expected = Undisturbed(make_universe(**tiny_keys(**KEYS)), folder / "expected")
    yield Chain(lem, Lake(str(lake)), expected), home / "dagster"
    lem.close()


def throw(chain, line, home, fault) -> None:
    """One try: start the chain, let the fault happen, judge what is left."""
    before = objects(chain.lake)
    command = chain.backfill()
    fault(command)
    line.judge(chain, before, home)


@pytest.mark.parametrize("tries", TRIES)
def test_kill_9_of_the_process_that_runs_the_steps(local, tries):
    chain, home = local
    line, dice = Line("kill -9 of `lem` (run worker and step) at a random moment"), random.Random(tries)
    for _ in range(2):  # the first one makes Dagster's tables
        started = time.monotonic()
        assert chain.lem.run(*chain.backfill()) == 0, chain.lem.log.read_text()
        whole = time.monotonic() - started
    for _ in range(tries + 8):
        if line.tried == tries:
            break
        before = objects(chain.lake)
        pid = chain.lem.start(*chain.backfill())
        time.sleep(dice.uniform(0, 0.8 * whole))
        kill(pid)
        if chain.lem.wait() == -9:  # else it was done before
            line.judge(chain, before, home)
    assert line.tried == tries
    line.check()


@pytest.mark.skipif(COMPILER is None, reason="needs a C compiler, the program cc")
@pytest.mark.slow
def test_the_clock_jumps(local):
    # The next try, and `lem reap` before it, go by the right clock again.
    chain, home = local
    line, dice = Line("the clock jumps by a day, forwards or backwards, at a random moment"), random.Random(0)
    clock = FastClock(chain.lem.folder, dt.datetime.now(dt.UTC))
    wrong = Lem(chain.lem.folder, chain.lem.env | clock.env)

    def jump(days, command):
        right = dt.datetime.now(dt.UTC)
        clock.set(right)
        pid = wrong.start(*command)
        time.sleep(dice.uniform(0.1, 1))
        clock.set(right + dt.timedelta(days=days))
        os.kill(pid, 0)  # it runs on
        assert wrong.wait() == 0, wrong.log.read_text()

    try:
        for days in (1, -1):
            throw(chain, line, home, partial(jump, days))
    finally:
        wrong.close()
    line.check()


def test_the_disk_is_full(local):
    chain, home = local
    line = Line("no space for a file (its size limited) while the lake is written")

    def fault(command):
        assert chain.lem.run(*command, file_size=700) != 0

    throw(chain, line, home, fault)
    line.check()


@pytest.mark.slow
def test_two_runs_on_one_partition(local):
    chain, home = local
    line = Line("two runs on the same partitions at the same time")
    other = Lem(chain.lem.folder, chain.lem.env)

    def fault(command):
        force = (*command, "--force")
        thread = threading.Thread(target=other.run, args=force)
        thread.start()
        chain.lem.run(*force)
        thread.join()

    try:
        for _ in range(2):
            throw(chain, line, home, fault)
    finally:
        other.close()
    line.check()
