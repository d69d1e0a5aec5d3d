"""The clock of the simulated nights, as Python, SQLite and child processes see it."""

from __future__ import annotations

import datetime as dt
import json
import os
import subprocess
import sys

import pytest

from tests.integration.fast_clock import COMPILER, STEP_S, FastClock

pytestmark = pytest.mark.skipif(COMPILER is None, reason="needs a C compiler, the program cc")
BEGIN = dt.datetime(2024, 1, 18, 20, tzinfo=dt.UTC)
LOOK = """
import datetime as dt, json, sqlite3, subprocess, sys, threading, time
steady = time.monotonic()
threading.Event().wait(0.2)
waited = time.monotonic() - steady
(text,), = sqlite3.connect(":memory:").execute("SELECT strftime('%s')")
print(json.dumps([time.time(), dt.datetime.now(dt.UTC).timestamp(), float(text), waited]), flush=True)
input()
if len(sys.argv) == 2:
    subprocess.run([sys.executable, "-c", sys.argv[1], "child", "again"], check=True)
"""


def test_a_session_of_processes_shares_one_wall_clock_and_waits_as_long_as_ever(tmp_path):
    clock = FastClock(tmp_path, BEGIN)
    looks = subprocess.Popen(
        [sys.executable, "-c", LOOK, LOOK],
        env=os.environ | clock.env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
    )
    for later in (dt.timedelta(0), dt.timedelta(days=1)):  # the process, then its child
        clock.set(BEGIN + later)
        looks.stdin.write("\n" if later else "")
        *shown, waited = json.loads(looks.stdout.readline())
        assert shown == [(BEGIN + later).timestamp()] * 3
        assert 0.2 <= waited < 100
    looks.communicate("\n", timeout=100)
    assert looks.returncode == 0


def test_the_clock_runs_until_what_is_waited_for_or_its_end_and_is_set_back_at_will(tmp_path):
    clock, end = FastClock(tmp_path, BEGIN), BEGIN + dt.timedelta(days=1)
    clock.run(3600, lambda: clock.now > BEGIN, end)
    assert BEGIN + dt.timedelta(hours=STEP_S) <= clock.now < BEGIN + dt.timedelta(hours=12)
    with pytest.raises(TimeoutError, match="not by 2024-01-19 20:00"):
        clock.run(86400, lambda: False, end)
    clock.set(BEGIN)
    assert clock.now == BEGIN
