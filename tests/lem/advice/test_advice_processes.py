"""Processes that ask at once, or are killed while they decide, agree on one decision, in either database."""

from __future__ import annotations

import datetime as dt
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.conftest import ROOT
from tests.lem.advice.desk import HOURLY, Desk, buy, make_desk

HOUR = dt.timedelta(hours=1)


ASKER = """
import datetime as dt, os, signal, sys, pathlib
from lem.advice import bar_book as stored
from lem.advice.advisor import Advisor
from lem.universe import load_universe
from tests.lem.advice.desk import Desk, StoppedClock
folder, hour, kill = pathlib.Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
desk = Desk(folder, load_universe(folder / "universes" / "tiny.toml"), None, "", sys.argv[4])
advisor = desk.advisor(StoppedClock(dt.datetime(2024, 1, 18, 12, tzinfo=dt.UTC) + hour * dt.timedelta(hours=1)))
if kill:
    def killed(*arguments):
        os.kill(os.getpid(), signal.SIGKILL)
    setattr(stored, kill, killed)
print("ready", flush=True)
sys.stdin.readline()
advised = advisor.advise()
print(len(advised.slices), sum(s.repeated for s in advised.slices), sum(s.share for s in advised.slices))
"""


@pytest.fixture(params=["SQLite", pytest.param("PostgreSQL", marks=pytest.mark.thorough)])
def desk(request, tmp_path, make_universe, tiny_keys) -> Iterator[Desk]:
    universe = make_universe(**tiny_keys(**HOURLY))
    if request.param == "SQLite":
        yield make_desk(tmp_path, universe)
        return
    with request.getfixturevalue("postgresql").database() as url:
        yield make_desk(tmp_path, universe, url=url)


def asker(desk: Desk, hour: int, kill: str = "") -> subprocess.Popen[str]:
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", ASKER, str(desk.folder), str(hour), kill, desk.url]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)


@pytest.mark.slow
def test_of_two_processes_that_ask_at_once_one_decides_and_both_answer_the_same(desk, clock, tiny_keys, write_universe):
    write_universe(desk.folder / "universes", tiny_keys(**HOURLY))
    for n in range(20):
        desk.advisor(clock).submit(buy(desk.universe, f"o{n}", min_bars=6))
    with asker(desk, 0) as one, asker(desk, 0) as two:
        for process in (one, two):
            assert process.stdout.readline() == "ready\n"
        for process in (one, two):
            process.stdin.write("go\n")
            process.stdin.flush()
        answers = [process.stdout.readline().split() for process in (one, two)]
    assert [answer[0] for answer in answers] == ["20", "20"]
    assert sorted(int(answer[1]) for answer in answers) == [0, 20]
    assert answers[0][2] == answers[1][2]


@pytest.mark.parametrize("statement", ["insert_many", "update"])
def test_a_process_killed_between_deciding_and_storing_leaves_nothing_of_the_bar(
    desk, clock, tiny_keys, write_universe, statement
):
    write_universe(desk.folder / "universes", tiny_keys(**HOURLY))
    advisor = desk.advisor(clock)
    for n in range(3):
        advisor.submit(buy(desk.universe, f"o{n}", min_bars=6))
    with asker(desk, 0, statement) as process:
        process.communicate("go\n")
    assert process.returncode == -signal.SIGKILL
    assert [state.status for state in advisor.store.orders("tiny")] == ["waiting"] * 3
    assert [advisor.store.slices(f"o{n}") for n in range(3)] == [[]] * 3
    assert [(s.number, s.repeated) for s in advisor.advise().slices] == [(1, False)] * 3
