"""Telling: what a look has found is sent to the addresses of the settings, each once, and each end of it once.

By whom does not matter: the sensor in the daemon, `lem night`, the night's job and `lem alert check` do the same, and
what one has told, the others know.
"""

from __future__ import annotations

import datetime as dt
import socket
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path

from lem.alerts import sending
from lem.alerts.problem import AGE, DEGRADED, DISK, DRIFT, NIGHT, QUARANTINE, Findings, Problem
from lem.alerts.problems import full
from lem.alerts.store import AlertStore
from lem.errors import AlertError
from lem_pipeline.running.watch import Watched, findings, is_made, night_of_date
from resources.settings import Settings

TITLES = {
    NIGHT: "the night was not made",
    DEGRADED: "a degraded night",
    DRIFT: "drift",
    AGE: "the champion is too old",
    QUARANTINE: "quarantined bars",
    DISK: "the disk is nearly full",
}
LISTED = 10
"""Problems of one kind that one message lists."""


def urls() -> list[str]:
    """The addresses of the settings."""
    return sending.addresses(Settings().alert_urls.get_secret_value())


def is_set() -> bool:
    """Whether anybody is to be told anything."""
    return bool(urls()) or has_heartbeat()


def has_heartbeat() -> bool:
    """Whether there is a URL to be fetched when a night went well."""
    return bool(Settings().heartbeat_url.get_secret_value())


def look_and_tell(watched: Watched, expected: dt.datetime | None, now: dt.datetime) -> tuple[list[Problem], list[str]]:
    """Find what is wrong with a universe and with this machine, and tell what is new or over.

    Args:
        watched: what is looked at.
        expected: see `lem_pipeline.running.watch.findings`.
        now: UTC.

    Returns:
        All problems that there are, told before or not; and what could not be sent.

    Raises:
        LemError: lake, registry or history cannot be read.
    """
    found = findings(watched, expected, now)
    settings = Settings()
    home = Path(watched.lake.root) if watched.lake.local else settings.home
    disk = {DISK: full(home, settings.alert_disk_percent)}
    unsent = tell(watched.store, watched.universe.name, found, now) + tell(watched.store, "", disk, now)
    return [p for f in (*found.values(), *disk.values()) for p in f.problems], unsent


def tell(store: AlertStore, universe: str, found: Mapping[str, Findings], now: dt.datetime) -> list[str]:
    """Tell what is new and what is over; without addresses nobody is told, and nothing counts as told.

    Args:
        store: what was told.
        universe: its name; empty for this machine.
        found: by kind.
        now: UTC.

    Returns:
        What could not be sent, and why.
    """
    to, unsent = urls(), list[str]()
    if not to:
        return unsent
    claimed = store.claim(universe, found, now)
    for kind, group in groupby(claimed.new, key=lambda problem: problem.kind):
        problems = list(group)
        weight = "warning" if kind in (DRIFT, AGE) else "failure"
        delivered, failed = _send(to, universe, TITLES[kind], problems, weight)
        unsent += failed
        if delivered:
            store.told(problems, now)
        else:
            store.give_back(problems)
    if claimed.over:
        delivered, failed = _send(to, universe, "all clear", claimed.over, "success")
        unsent += failed
        if delivered:
            store.cleared(claimed.over)
        else:
            store.give_back(claimed.over)
    return unsent


def tell_directly(universe: str, sentence: str, command: str) -> list[str]:
    """Tell something that no registry can keep, as there is none; returns what could not be sent."""
    problem = Problem(universe, NIGHT, "", sentence, command)
    return _send(urls(), universe, TITLES[NIGHT], [problem], "failure")[1] if urls() else []


def send_heartbeat(universe: str) -> list[str]:
    """Fetch the heartbeat's URL, if one is set; returns what could not be sent."""
    url = Settings().heartbeat_url.get_secret_value()
    try:
        if url:
            sending.beat(url, universe)
    except AlertError as error:
        return [str(error)]
    return []


def heartbeat_once(watched: Watched, now: dt.datetime) -> list[str]:
    """Send the heartbeat of the last night if it went well and nobody has; returns what could not be sent.

    Args:
        watched: whose night it is.
        now: UTC.

    Raises:
        LemError: lake or registry cannot be read.
    """
    universe, store = watched.universe, watched.store
    night = night_of_date(universe, universe.night_begins.last(now)[0].date())
    if not has_heartbeat() or not went_well(watched, night):
        return []
    if not store.claim_heartbeat(universe.name, night, now):
        return []
    failed = send_heartbeat(universe.name)
    store.heartbeat(universe.name, night, now, sent=not failed)
    return failed


def went_well(watched: Watched, night: dt.date) -> bool:
    """Whether a night is made and not degraded."""
    decision = watched.registry.promotion(watched.universe.name, night)
    return is_made(watched, night) and not (decision and decision.degraded)


def _send(
    to: Sequence[str], universe: str, what: str, problems: Sequence[Problem], weight: str
) -> tuple[bool, list[str]]:
    """Whether at least one address took the message, and what could not be sent."""
    try:
        sent = sending.send(to, f"{universe or 'lem'}: {what}", _body(problems, weight), weight)
    except AlertError as error:
        return False, [str(error)]
    return bool(sent.accepted), sent.failed


def _body(problems: Sequence[Problem], weight: str) -> str:
    over = "Over: " if weight == "success" else ""
    lines = [f"{over}{problem.sentence}" for problem in problems[-LISTED:]]
    if (more := len(problems) - LISTED) > 0:
        lines.append(f"and {more} more")
    if not over:
        lines += dict.fromkeys(f"Next: {problem.command}" for problem in problems[-LISTED:])
    return "\n".join([*lines, f"(from {socket.gethostname()})"])
