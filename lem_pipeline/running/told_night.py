"""A night that says how it went: it is recorded, what is wrong is told, and the heartbeat is sent if nothing is."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from rich.markup import escape

from lem.alerts.problem import NIGHT, Findings, Problem
from lem.alerts.store import AlertStore
from lem.errors import LemError, UniverseError
from lem_pipeline.running.execute import Runner
from lem_pipeline.running.home import instance
from lem_pipeline.running.night import make_night
from lem_pipeline.running.telling import (
    has_heartbeat,
    is_set,
    look_and_tell,
    send_heartbeat,
    tell,
    tell_directly,
)
from lem_pipeline.running.watch import Watched, night_of_date
from resources.processes import this_process
from resources.terminal import console


@dataclass(frozen=True)
class NightEnd:
    """How a night ended that was made.

    Args:
        made: how many runs it took.
        degraded: what was wrong with it; empty if it is as it should be.
        unsent: alerts and heartbeats that could not be sent, and why.
    """

    made: int
    degraded: str
    unsent: list[str]


def told_night(runner: Runner, store: AlertStore, today: dt.date, redecide: bool = False) -> NightEnd:
    """Make a night as `make_night` does, and tell how it went, and what became of the one before.

    Args:
        runner: what the runs are carried out with.
        store: what was told.
        today: UTC.
        redecide: whether what was decided is decided again.

    Raises:
        UniverseError: the universe has no data yet; that was told before, as is any error below.
        LemError: see `make_night`.
    """
    universe = runner.universe
    try:
        night = night_of_date(universe, today)
    except UniverseError as error:  # there is no night yet that could be recorded
        _say(tell_directly(universe.name, f"The night failed: {error}.", f"lem status -u {universe.name}"))
        raise
    dagster = runner.dagster or instance()
    watched = Watched(universe, runner.lake, runner.registry, store, dagster)
    _tell(watched)  # the night before may have been killed
    number = store.begin_night(universe.name, night, this_process(), _now())
    try:
        made = make_night(runner, today, redecide)
    except BaseException as error:
        _say(_failed(watched, night, number, _why(error)))
        raise
    store.end_night(number, _now(), None)
    unsent = _tell(watched)
    decision = runner.registry.promotion(universe.name, night)
    degraded = decision.degraded if decision else ""
    if not degraded and has_heartbeat():
        failed = send_heartbeat(universe.name)
        unsent += failed
        store.heartbeat(universe.name, night, _now(), sent=not failed)
    return NightEnd(made, degraded, unsent)


def _failed(watched: Watched, night: dt.date, number: int, why: str) -> list[str]:
    """Record and tell that a night has failed; returns what could not be recorded or sent."""
    name, command = watched.universe.name, f"lem night -u {watched.universe.name}"
    try:
        watched.store.end_night(number, _now(), why)
    except LemError as error:
        sentence = f"The night of {night} has failed: {why.rstrip('.')}."
        return [f"the end of the night could not be recorded: {error}", *tell_directly(name, sentence, command)]
    return _tell(
        watched, Problem(name, NIGHT, str(night), f"The night of {night} has failed: {why.rstrip('.')}.", command)
    )


def _tell(watched: Watched, known: Problem | None = None) -> list[str]:
    """Tell what is wrong.

    Args:
        watched: what is looked at.
        known: is told if nothing can be found out, as lake or history cannot be read.

    Returns:
        What could not be found out or sent.
    """
    if not is_set():
        return []
    name = watched.universe.name
    try:
        return look_and_tell(watched, None, _now())[1]
    except LemError as error:
        texts = [f"what is wrong with {name} could not be looked up: {error}"]
    try:
        found = Findings([known] if known else [], lambda subject: True)
        return texts + tell(watched.store, name, {NIGHT: found}, _now())
    except LemError as error:
        return [*texts, f"nobody could be told: {error}"]


def _why(error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt):
        return "it was stopped by Ctrl-C or a signal"
    text = " ".join(str(error).split())
    return text if isinstance(error, LemError) else f"{type(error).__name__}: {text}"


def _say(texts: Sequence[str]) -> None:
    for text in texts:
        console.print(f"[red]alerts:[/red] {escape(text)}")


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)
