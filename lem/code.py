"""Which version of the code runs: a hash of its files, so that no git is needed."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

LIBRARY = Path(__file__).resolve().parent


@cache
def code_version() -> str:
    """First 12 hex digits of the SHA-256 of the library's source files and tables."""
    digest = hashlib.sha256()
    for path in sorted([*LIBRARY.rglob("*.py"), *LIBRARY.rglob("*.npz")]):
        digest.update(path.relative_to(LIBRARY).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:12]
