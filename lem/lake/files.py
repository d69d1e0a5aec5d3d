"""Files that are replaced whole: after a crash, a kill or a full disk there is the old one or the new one."""

from __future__ import annotations

import os
import time
import uuid
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

_SUFFIX = ".tmp"


def replace_file(path: Path, data: bytes, publishing: AbstractContextManager[None] | None = None) -> None:
    """Write beside the target, sync, rename, sync the folder.

    Args:
        publishing: entered for the rename alone; where it raises, the target stays as it is.

    Raises:
        OSError: the file cannot be written; what was there stays.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f".{path.name}.{uuid.uuid4().hex}{_SUFFIX}"
    try:
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        with publishing or nullcontext():
            os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def leftovers(root: Path, older_than_s: float) -> list[Path]:
    """Temporary files below a folder that writers which were killed have left there, sorted.

    Args:
        older_than_s: seconds since they were last written; a writer that lives is done with one in less.
    """
    before = time.time() - older_than_s
    return sorted(path for path in root.rglob(f".*{_SUFFIX}") if path.is_file() and path.stat().st_mtime < before)
