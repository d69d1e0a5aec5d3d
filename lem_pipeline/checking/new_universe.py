"""Writes a new universe file that `lem check` accepts: its text is read as any file is before it is stored."""

from __future__ import annotations

import datetime as dt
import tempfile
from dataclasses import replace
from pathlib import Path

from lem.errors import UniverseError
from lem.lake.files import replace_file
from lem.universe import Universe, load_universe
from lem.universe.written import NewUniverse
from lem_pipeline.checking.universe import first_day
from lem_pipeline.planning.dates import last_data_date
from resources.privacy import as_the_user_has_it
from resources.stores import SourceResource


def write(new: NewUniverse, folder: Path, today: dt.date, *, probe: bool, force: bool) -> Path:
    """Write the file; returns its path.

    Args:
        new: what the universe is made of.
        folder: where the file is written; made if it is not there.
        today: UTC.
        probe: ask the source for the first bar of each asset; one that begins later is written with its listing.
        force: replace a file that is there.

    Raises:
        UniverseError: the file is there already or cannot be written, or a value is not allowed.
        SourceError: the source does not answer, or has no such asset.
    """
    path = folder / f"{new.name}.toml"
    if path.exists() and not force:
        raise UniverseError(f"{path} is there already; allowed: another name, or --force to replace it")
    universe = _read(new, path)
    if probe:
        source, last = SourceResource().open(universe), last_data_date(universe, today)
        first = {symbol: first_day(universe, source, symbol, last) for symbol in universe.symbols}
        new = replace(new, listed={symbol: date for symbol, date in first.items() if date})
        _read(new, path)
    try:
        with as_the_user_has_it():
            folder.mkdir(parents=True, exist_ok=True)
            replace_file(path, new.text.encode())
    except OSError as error:
        raise UniverseError(
            f"{path}: cannot be written: {error}; allowed: a folder that this user may write"
        ) from error
    return path


def _read(new: NewUniverse, path: Path) -> Universe:
    """The universe that the text gives; an error names the path that it would have."""
    if Path(new.name).name != new.name or not new.name:
        raise UniverseError(f"name {new.name!r}; allowed: small letters, digits and _, as in my_desk")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / path.name
        file.write_text(new.text, encoding="utf-8")
        try:
            return load_universe(file)
        except UniverseError as error:
            raise UniverseError(str(error).replace(str(file), str(path))) from None
