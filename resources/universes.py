"""Where universe files are looked for: the folder of LEM_UNIVERSES, `universes/` in the working folder, the package.

A name is taken from the first of these places that has a file of it. `lem ui`, and whatever else loads all universes,
loads those of LEM_UNIVERSES alone where it is set: a deployment shows what it names, and nothing that came with the
package.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lem.errors import UniverseError
from resources.settings import ROOT, Settings


@dataclass(frozen=True)
class Place:
    """A folder of universe files.

    Args:
        what: what it is to the user.
        folder: None where the user has named none.
    """

    what: str
    folder: Path | None

    @property
    def files(self) -> dict[str, Path]:
        """Its universe files by name, sorted.

        Raises:
            UniverseError: the folder cannot be read.
        """
        try:
            found = sorted(path for path in self.folder.iterdir() if path.suffix == ".toml") if self.folder else []
        except FileNotFoundError:
            found = []
        except OSError as error:
            raise UniverseError(
                f"{self.folder} ({self.what}): cannot be read: {error.strerror}; allowed: a folder this user may read"
            ) from error
        return {path.stem: path for path in found}

    def __str__(self) -> str:
        if self.folder is None:
            return f"{self.what} is not set"
        if not self.folder.is_dir():
            return f"{self.folder} ({self.what}) is not there"
        return f"{self.folder} ({self.what}) has {', '.join(self.files) or 'none'}"


def places() -> list[Place]:
    """The three places, the first one first.

    Raises:
        UniverseError: LEM_UNIVERSES names no folder. A file of the same name from elsewhere would be another market.
    """
    named, working, packaged = Settings().universes, Path("universes").absolute(), ROOT / "universes"
    if named is not None and not named.is_dir():
        raise UniverseError(
            f"LEM_UNIVERSES is {named}: no such folder; allowed: a folder of universe files, or leave it out for "
            f"{working} and those of the package in {packaged}"
        )
    return [
        Place("LEM_UNIVERSES", named and named.absolute()),
        Place("the working folder", working),
        Place("the package", packaged),
    ]


def universe_file(name: str) -> Path:
    """The file of a universe, in the first place that has it.

    Raises:
        UniverseError: no place has it; the message names all three and what is there.
    """
    searched = places()
    for place in searched:
        if name in (files := place.files):
            return files[name]
    raise UniverseError(f"no universe {name!r}: " + "; ".join(map(str, searched)) + f"; `lem new {name}` writes one")


def universe_files() -> dict[str, Path]:
    """The files of all universes that belong to this machine, by name, sorted.

    Raises:
        UniverseError: there are none.
    """
    searched = places()
    taken = searched[:1] if searched[0].folder else searched
    found = {name: path for place in reversed(taken) for name, path in place.files.items()}
    if not found:
        raise UniverseError(f"no universe files (*.toml): {'; '.join(map(str, taken))}; `lem new NAME` writes one")
    return dict(sorted(found.items()))
