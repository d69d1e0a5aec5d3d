"""What lies in the lake, object by object with its size and age, and the removal of whole folders."""

from __future__ import annotations

import datetime as dt
import shutil
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lem.errors import LakeError
from lem.lake.lake import Lake

_DOOMED = ".removed"


@dataclass(frozen=True, order=True)
class Stored:
    """An object of the lake.

    Args:
        path: below the lake's root.
        size: bytes.
        modified: when it was written last, UTC.
    """

    path: str
    size: int
    modified: dt.datetime


def stored(lake: Lake, folder: str) -> list[Stored]:
    """All objects below a folder, sorted by path; none if there is no such folder.

    Args:
        lake: that holds the folder.
        folder: its path below the root.

    Raises:
        LakeError: the lake cannot be read.
    """
    try:
        found = lake.fs.find(f"{lake.root}/{folder}", detail=True)
        return sorted(
            Stored(path.removeprefix(f"{lake.root}/"), int(info["size"] or 0), _modified(lake, path, info))
            for path, info in found.items()
        )
    except FileNotFoundError:
        return []
    except Exception as error:  # every filesystem has exceptions of its own
        raise LakeError(
            f"lake {lake.url}: cannot list {folder}: {error}; allowed: a folder this user may read (setting LEM_LAKE)"
        ) from error


def _modified(lake: Lake, path: str, info: dict[str, Any]) -> dt.datetime:
    if isinstance(seconds := info.get("mtime"), float | int):
        return dt.datetime.fromtimestamp(seconds, dt.UTC)
    when: dt.datetime = info.get("LastModified") or lake.fs.modified(path)
    return when if when.tzinfo else when.replace(tzinfo=dt.UTC)


def half_removed(lake: Lake, folder: str) -> list[str]:
    """Paths of the folders below a folder whose removal was killed; nobody sees them as what they were."""
    return [f"{folder}/{name}" for name in lake.names(folder) if name.startswith(".") and name.endswith(_DOOMED)]


def remove_folder(lake: Lake, folder: str) -> None:
    """Remove a folder with all that is in it. On a disk it is gone as a whole, also if the process is killed meanwhile.

    Args:
        lake: that holds it.
        folder: its path below the root.

    Raises:
        LakeError: it cannot be removed.
    """
    try:
        if not lake.local:
            lake.fs.rm(f"{lake.root}/{folder}", recursive=True)
            return
        there = Path(lake.root) / folder
        if not there.name.endswith(_DOOMED):
            there = there.rename(there.with_name(f".{there.name}.{uuid.uuid4().hex}{_DOOMED}"))
        shutil.rmtree(there)
    except FileNotFoundError:
        return
    except Exception as error:  # every filesystem has exceptions of its own
        raise LakeError(
            f"lake {lake.url}: cannot remove {folder}: {error}; allowed: a place this user may write (setting LEM_LAKE)"
        ) from error


def size_of(objects: Iterable[Stored]) -> int:
    """Bytes of some objects."""
    return sum(one.size for one in objects)
