"""Whether the lake, the registry, Dagster's history and the disk of this machine can be used."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from lem.errors import LakeError
from lem_pipeline.checking.finding import Finding, tried
from lem_pipeline.running.home import instance
from resources.opening import open_lake, open_registry
from resources.privacy import open_to_all
from resources.settings import Settings

LITTLE = 2 * 1024**3
"""Free bytes under which a disk counts as nearly full: some nights of a large universe."""


def store_findings() -> Iterator[Finding]:
    """Each store is written to, or opened as a command opens it."""
    yield tried("lake", _lake)
    yield tried("registry", _registry)
    yield tried("history", _history)
    yield disk(Settings())
    yield privacy(Settings())


def disk(settings: Settings) -> Finding:
    """How much room there is where LEM_HOME lies, and the lake if it is a folder."""
    local = [settings.home, *([] if "://" in settings.lake else [Path(settings.lake).absolute()])]
    free = {place: shutil.disk_usage(_existing(place)).free for place in local}
    place = min(local, key=lambda one: free[one])
    text = f"{free[place] / 1024**3:.1f} GiB free at {place}"
    if free[place] < LITTLE:
        return Finding("warning", "disk", f"{text}; at least {LITTLE / 1024**3:.0f} GiB is advised")
    return Finding("ok", "disk", text)


def privacy(settings: Settings) -> Finding:
    """Whether other users of this machine can read what belongs to the home's owner."""
    places = [settings.home, *([] if "://" in settings.lake else [Path(settings.lake).absolute()])]
    if settings.registry.startswith("sqlite:///"):
        places.append(Path(settings.registry.removeprefix("sqlite:///")).absolute())
    if given := os.environ.get("DAGSTER_HOME"):
        places.append(Path(given).absolute())
    # A closed folder closes what lies in it.
    found = [
        place for place in dict.fromkeys(places) if open_to_all(place) and all(map(open_to_all, _above(place, places)))
    ]
    outermost = [place for place in found if not _above(place, found)]
    if outermost:
        commands = "; ".join(f"chmod -R go-rwx {shlex.quote(str(place))}" for place in outermost)
        return Finding(
            "warning",
            "privacy",
            f"every user of this machine can read {', '.join(map(str, outermost))}: orders, models and runs; close "
            f"it with: {commands}",
        )
    return Finding("ok", "privacy", "no other user of this machine can read what is kept")


def _above(place: Path, places: Iterable[Path]) -> list[Path]:
    return [other for other in places if other in place.parents]


def _existing(place: Path) -> Path:
    return next(path for path in (place, *place.parents) if path.exists())


def _lake() -> str:
    lake, path, data = open_lake(), f".check.{os.getpid()}", os.urandom(16)
    lake.write_bytes(path, data)
    try:
        if lake.read_bytes(path) != data:
            raise LakeError(f"lake {lake.url}: {path} was written and reads differently; allowed: a consistent store")
    finally:
        lake.remove(path)
    return f"{lake.url}: written, read and removed an object"


def _registry() -> str:
    registry = open_registry()
    return f"{registry.url_shown}: {len(registry.models())} models"


def _history() -> str:
    with instance() as dagster:
        return f"{os.environ['DAGSTER_HOME']}: {dagster.get_runs_count()} runs"
