"""Whether the nights of a universe come: made, failed, killed or missed, whoever makes them.

A night is called by the date of its decision, and is made once that decision and the latest possible report are there
(of a young universe: the last date's panel). How it failed is known of a command and of the night's job by what they
recorded, of the automation by its runs.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import dagster as dg

from lem.alerts.problem import AGE, DEGRADED, DRIFT, NIGHT, QUARANTINE, Findings, Problem
from lem.alerts.problems import LONGEST, blocked, degraded, drifted, next_night, too_old
from lem.alerts.store import AlertStore, NightRecord
from lem.errors import UniverseError
from lem.lake import Lake
from lem.lineage.quarantine import quarantined
from lem.lineage.stored_report import report_path
from lem.registry import Registry
from lem.universe import Universe
from lem_pipeline.planning.dates import last_data_date
from lem_pipeline.running.launch import reason
from lem_pipeline.running.night import night_dates
from resources.dagster_internals import turned_on
from resources.processes import is_running

EVER = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
"""Since when nights are expected that somebody asks for by name."""


@dataclass(frozen=True)
class Watched:
    """What is looked at.

    Args:
        universe: whose nights they are.
        lake: with its tables.
        registry: with its decisions.
        store: what was told, and what commands recorded of nights.
        dagster: the instance that keeps the runs.
    """

    universe: Universe
    lake: Lake
    registry: Registry
    store: AlertStore
    dagster: dg.DagsterInstance


def night_of_date(universe: Universe, today: dt.date) -> dt.date:
    """The date by which the night that is made on `today` (UTC) is called.

    Raises:
        UniverseError: the universe has no data yet.
    """
    return next_night(universe, last_data_date(universe, today))


def is_made(watched: Watched, night: dt.date) -> bool:
    """Whether all that a night makes is there."""
    universe = watched.universe
    try:
        dates = night_dates(universe, night)
    except UniverseError:  # it is too young for a report
        path = watched.lake.path(universe.name, "panel", last_data_date(universe, night))
        return not watched.lake.missing([path])
    if watched.registry.promotion(universe.name, dates.decisions[-1]) is None:
        return False
    return not watched.lake.missing([report_path(universe.name, dates.report, "report.json")])


def is_expected(watched: Watched) -> dt.datetime | None:
    """Since when the nights are expected: the automation or the schedule is on. None where nobody has turned one on."""
    name = watched.universe.name
    since = [turned_on(watched.dagster, f"{name}_{what}") for what in ("automation", "night_schedule")]
    on = [dt.datetime.fromtimestamp(moment, dt.UTC) for moment in since if moment is not None]
    return min(on) if on else None


def findings(watched: Watched, expected: dt.datetime | None, now: dt.datetime) -> dict[str, Findings]:
    """All that is wrong with a universe at this moment, by kind.

    Args:
        watched: what is looked at.
        expected: nights that begin after this are missed if they do not come; None if none is waited for.
        now: UTC.

    Raises:
        LemError: lake, registry or history cannot be read.
    """
    universe = watched.universe
    return {
        NIGHT: _nights(watched, expected, now),
        DEGRADED: degraded(watched.registry, universe),
        DRIFT: drifted(watched.lake, universe),
        AGE: too_old(watched.registry, universe, now.date()),
        QUARANTINE: blocked(watched.lake, universe),
    }


def _nights(watched: Watched, expected: dt.datetime | None, now: dt.datetime) -> Findings:
    universe, tries = watched.universe, watched.store.nights(watched.universe.name)
    allowed = dt.timedelta(hours=universe.night.within_hours)
    before, last = reversed(universe.night_begins.last(now, 2))
    due: dict[dt.date, dt.datetime] = {}
    for moment in (before, last):
        try:
            due.setdefault(night_of_date(universe, moment.date()), moment)
        except UniverseError:  # its first date is not over yet
            continue
    # A command may make a night before its hour.
    dates = {*due, *(record.date for record in tries[-1:])}
    made = {night for night in dates if is_made(watched, night)}
    if not dates or max(dates) in made:
        return Findings([])
    latest, stopped = max(dates), quarantined(watched.lake, universe)

    def lasting(subject: str) -> bool:
        return not made or subject > str(max(made))

    found = list[Problem]()
    for night in sorted(dates - made):
        if made and night < max(made):
            continue
        begun = due.get(night)
        if expected is None or (begun is not None and begun < expected):
            begun = None  # nobody waits for it
        why = _failure(watched, [t for t in tries if t.date == night], begun if night == latest else None)
        if not why and begun is not None and now > begun + allowed:
            why = f"has not been made: it was due at {begun:%Y-%m-%d %H:%M} UTC and should have been there after "
            why += f"{universe.night.within_hours} hours (night.within_hours in the universe file)"
        # What blocks the night is a problem of its own.
        if why and not any(next_night(universe, date) == night for _, date in stopped):
            sentence = f"The night of {night} {why}."
            found.append(Problem(universe.name, NIGHT, str(night), sentence, f"lem night -u {universe.name}"))
    return Findings(found[-1:], lasting)


def _failure(watched: Watched, tries: list[NightRecord], begun: dt.datetime | None) -> str:
    """How a night that is not made has failed, in words that follow its name; empty where nobody knows that it has."""
    if any(t.ended_at is None and is_running(t.process) for t in tries):
        return ""
    if tries:
        last = tries[-1]
        if last.ended_at is None and is_running(last.process) is False:
            return f"was killed: its process, begun at {last.began_at:%H:%M} UTC, is gone"
        if last.problem:
            return f"has failed: {last.problem.rstrip('.')}"
    return _failed_run(watched, begun) if begun else ""


def _failed_run(watched: Watched, begun: dt.datetime) -> str:
    """What the daemon's last failed run of a night says; empty while one goes on or is to be tried again."""
    name = watched.universe.name
    filters = dg.RunsFilter(tags={"lem/universe": name}, created_after=begun)
    runs = [record.dagster_run for record in watched.dagster.get_run_records(filters, limit=200)]
    runs = [run for run in runs if run.tags.get("lem/night") == "automation" or run.job_name == f"{name}_night"]
    retried = {run.parent_run_id for run in runs}
    if any(not run.is_finished for run in runs):
        return ""
    failed = [run for run in runs if run.status == dg.DagsterRunStatus.FAILURE]
    if any(run.tags.get("dagster/will_retry") == "true" and run.run_id not in retried for run in failed):
        return ""
    if not failed:
        return ""
    run = failed[0]
    events = [entry.dagster_event for entry in watched.dagster.all_logs(run.run_id) if entry.dagster_event]
    said = [event.message for event in events if event.is_failure and event.message]
    why = reason(events, run.run_id, said[-1] if said else "its process is gone")
    what = ", ".join(sorted(key.path[-1] for key in run.asset_selection or ())) or run.job_name
    return f"has failed: {what}: {' '.join(why.split())[:LONGEST].rstrip('.')}"
