"""Whether this machine is fit: the installation, settings, universes, stores, and what killed processes left."""

from __future__ import annotations

import difflib
import os
import platform
import re
import sys
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path

from dotenv import dotenv_values
from packaging.requirements import Requirement

from lem.code import code_version
from lem.errors import LemError
from lem.masking import without_userinfo
from lem.universe import load_universe
from lem_pipeline.checking.finding import Finding, tried
from lem_pipeline.checking.stores import store_findings
from lem_pipeline.repair.reap import findings
from lem_pipeline.running.home import instance
from resources.opening import open_lake
from resources.settings import ROOT, Credentials, Settings
from resources.universes import places, universe_files

DISTRIBUTION = "lem-pipeline"
OF_THE_WORKERS = "LEM_QUEUE"
CREDENTIAL = re.compile(f"LEM_[A-Z0-9_]+_({'|'.join(name.upper() for name in Credentials.model_fields)})")


def machine_findings() -> Iterator[Finding]:
    """Look at what every universe of this machine needs."""
    yield Finding("ok", "version", f"lem {version()}, code {code_version()}, in {ROOT}")
    yield Finding("ok", "machine", f"Python {platform.python_version()}, {platform.platform()}, {os.cpu_count()} cores")
    yield packages(metadata.requires(DISTRIBUTION) or [])
    yield from settings()
    yield from universes()
    yield from store_findings()
    yield left_behind()


def version() -> str:
    """The version of this installation."""
    return metadata.version(DISTRIBUTION)


def packages(requirements: Iterable[str]) -> Finding:
    """Whether what this project needs is installed, in a version that it allows.

    Args:
        requirements: as the distribution's metadata has them; those of extras are left out.
    """
    wrong, wanted, count = [], [], 0
    for requirement in map(Requirement, requirements):
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        count += 1
        try:
            found = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            found = "not installed"
        if found == "not installed" or not requirement.specifier.contains(found, prereleases=True):
            extras = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
            wrong.append(f"{requirement.name} is {found} (allowed: {requirement.specifier or 'any'})")
            wanted.append(f"{requirement.name}{extras}{requirement.specifier}")
    if wrong:
        return Finding(
            "failed", "packages", f"{'; '.join(wrong)}; install them with: {pip(' '.join(map(repr, wanted)))}"
        )
    return Finding("ok", "packages", f"all {count} that are needed, in versions that are allowed")


def pip(arguments: str) -> str:
    """The command that installs into this environment."""
    return f"{sys.executable} -m pip install {arguments}"


def settings() -> Iterator[Finding]:
    """Where things are kept, and variables that nothing reads."""
    yield tried("settings", lambda: f"LEM_HOME {Settings().home}, LEM_DATA {without_userinfo(Settings().data)}")
    known = [f"LEM_{name.upper()}" for name in Settings.model_fields] + [OF_THE_WORKERS]
    given = {name for name in (*os.environ, *dotenv_values(".env")) if name.startswith("LEM_")}
    for name in sorted(given):
        if name not in known and not CREDENTIAL.fullmatch(name):
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}? " if near else ""
            yield Finding("warning", "settings", f"{name} is set and nothing reads it: {hint}known: {', '.join(known)}")


def universes() -> Iterator[Finding]:
    """Where universe files are, which of two with the same name counts, and whether each can be read."""
    try:
        found = places()
        files = universe_files()
    except LemError as error:
        yield Finding("failed", "universes", str(error))
        return
    yield Finding("ok", "universes", "; ".join(map(str, found)))
    seen: dict[str, Path] = {}
    for place in found:
        for name, path in place.files.items():
            first = seen.setdefault(name, path)
            if not first.samefile(path):
                yield Finding("warning", "universes", f"{path} is not used: {first} has the same name and comes first")
    for path in files.values():
        try:
            load_universe(path)
        except LemError as error:
            yield Finding("failed", "universes", str(error))


def left_behind() -> Finding:
    """Whether killed processes left anything; what runs did not live to record is not looked for (`lem reap` does)."""
    try:
        lake = open_lake()
        with instance() as dagster:
            count = sum(1 for one in findings(dagster, Path(lake.root) if lake.local else None, None) if one.clear)
    except LemError as error:
        return Finding("failed", "left behind", str(error))
    if count:
        return Finding("warning", "left behind", f"{count} of killed processes; see it with: lem reap")
    return Finding("ok", "left behind", "nothing of killed processes")
