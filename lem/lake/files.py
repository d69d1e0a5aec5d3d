"""Files are replaced whole: after a crash, a kill or a full disk there is the old file or the new one, never half."""

from __future__ import annotations

import os
import time
import uuid
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

_SUFFIX = ".tmp"


def replace_file(path: Path, data: bytes, publishing: AbstractContextManager[None] | None = None) -> None:
    """Replace a file: write beside it, sync, rename, sync the folder.

    Args:
        path: the file; its folder is made if it is not there.
        data: the new content.
        publishing: entered around the rename alone; if it raises, the file stays as it is.

    Raises:
        OSError: the file cannot be written; what was there stays.
    """
    parent = path.parent
    temporary = parent / f".{path.name}.{uuid.uuid4().hex}{_SUFFIX}"
    if not os.path.isdir(parent):
        parent.mkdir(parents=True, exist_ok=True)
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
    folder = os.open(parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def leftovers(root: Path, older_than_s: float) -> list[Path]:
    """Temporary files that killed writers have left below a folder, sorted.

    Args:
        root: the folder.
        older_than_s: only files that were last written more than this many seconds ago; a living writer needs less.
    """
    before = time.time() - older_than_s
    return sorted(path for path in root.rglob(f".*{_SUFFIX}") if path.is_file() and path.stat().st_mtime < before)
