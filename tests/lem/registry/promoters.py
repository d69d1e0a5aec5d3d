"""Two processes that promote at once, and what must be true of the registry afterwards."""

from __future__ import annotations

import datetime as dt
import os
import subprocess
import sys
from itertools import pairwise

from lem.registry import ModelRecord, PromotionRecord, Registry

DATES = [dt.date(2024, 1, 20) + dt.timedelta(days=n) for n in range(5)]

RECORDER = """
import datetime as dt, sys
from lem.registry import PromotionRecord, Registry
url, model, times = sys.argv[1], sys.argv[2], int(sys.argv[3])
registry = Registry(url)
for number in range(times):
    if number % 10 == 0:
        print("ready", flush=True)
        sys.stdin.readline()
    date = dt.date(2024, 1, 20 + number % 5)
    registry.record_promotion(PromotionRecord("crypto", date, model, model, None, "promoted", [f"{number}"]))
"""

DECIDER = """
import datetime as dt, sys
from lem.registry import PromotionRecord, Registry
url, model, times = sys.argv[1], sys.argv[2], int(sys.argv[3])
registry = Registry(url)

def choose(log):
    previous = log[-1].champion_id if log else None
    return PromotionRecord("crypto", dt.date(2024, 1, 20), model, model, previous, "promoted", [f"decision {len(log)}"])

for number in range(times):
    if number % 10 == 0:
        print("ready", flush=True)
        sys.stdin.readline()
    registry.decide("crypto", choose, "choose")
"""


def _at_once(script: str, url: str, models: tuple[ModelRecord, ModelRecord], times: int) -> Registry:
    """The registry after both processes have run the script, each with its model.

    They meet before every ten decisions: on a busy machine one could be done before the other has had its turn.
    """
    registry = Registry(url)
    for model in models:
        registry.add_model(model)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    commands = [[sys.executable, "-c", script, url, model.id, str(times)] for model in models]
    pipe = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "env": environment}
    with subprocess.Popen(commands[0], **pipe) as one, subprocess.Popen(commands[1], **pipe) as two:
        for _ in range(times // 10):
            assert [process.stdout.readline() for process in (one, two)] == ["ready\n", "ready\n"]
            for process in (one, two):
                process.stdin.write("go\n")
                process.stdin.flush()
        assert [process.wait(timeout=300) for process in (one, two)] == [0, 0]
    return registry


def promote_at_once(url: str, models: tuple[ModelRecord, ModelRecord]) -> None:
    """200 decisions of each process over the same five dates: none is lost, and one stands for each date."""
    registry = _at_once(RECORDER, url, models, 200)
    log, stand = registry.decisions("crypto"), registry.promotions("crypto")
    assert len(log) == 400
    own = {model.id: [d for d in log if d.champion_id == model.id] for model in models}
    for decisions in own.values():
        assert [d.reasons for d in decisions] == [[f"{number}"] for number in range(200)]
    assert _turns(log) > 2, "the processes did not write at the same time: this has shown nothing"
    assert [d.date for d in stand] == DATES
    assert stand == [[d for d in log if d.date == date][-1] for date in DATES]
    champion = registry.champion_on("crypto", DATES[-1])
    assert champion is not None
    assert own[champion.id][-1] == stand[-1]


def decide_at_once(url: str, models: tuple[ModelRecord, ModelRecord]) -> None:
    """Decisions that depend on the log: each knew of all those before it."""
    log = _at_once(DECIDER, url, models, 50).decisions("crypto")
    assert [d.reasons for d in log] == [[f"decision {number}"] for number in range(100)]
    assert [d.previous_id for d in log[1:]] == [d.champion_id for d in log[:-1]]
    assert _turns(log) > 2, "the processes did not write at the same time: this has shown nothing"


def _turns(log: list[PromotionRecord]) -> int:
    return 1 + sum(one.champion_id != other.champion_id for one, other in pairwise(log))
