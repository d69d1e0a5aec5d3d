"""Fences: a step that has lost its run, and was replaced by a newer one, cannot overwrite what the newer one wrote.

Each step takes a token from its store when it begins, one higher than any before. A partition remembers the token of
the step that wrote it last, and a write with a lower one is refused. Comparing and writing are one act. (Kleppmann,
"How to do distributed locking", 2016.) There is no clock, no lease, and no lock that outlives its process.

The token is no part of an object's bytes: the same inputs give the same bytes. On a disk it stands in a SQLite file in
the lake's root, whose lock is held while the object is renamed. On S3 it stands in the object's metadata, and the PUT
is conditional on the ETag read with it (If-Match). An ETag is a hash of the bytes: if a newer step writes the same
bytes again between that read and the PUT, the older step does not notice it.
"""

from __future__ import annotations

import random
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from lem.errors import LakeError
from lem.fencing import first_token, refuse
from lem.lake.files import replace_file

FILE = ".fences.sqlite"
COUNTER = ".fences"
_METADATA = "lem-fence"
_PATIENCE_S = 30
_TRIES = 60
_LOST_RACE = {"PreconditionFailed", "412", "ConditionalRequestConflict", "409", "NoSuchKey"}


class Fences(Protocol):
    """The tokens of a store."""

    def take(self) -> int:
        """A token higher than all that were taken before, by whatever process."""

    def write(self, path: str, data: bytes, token: int) -> None:
        """Replace an object unless a step with a higher token has written it.

        Raises:
            FencedError: a step with a higher token has; the object stays as it is.
        """


class FileFences:
    """Fences of a folder on a disk of this machine.

    Args:
        root: folder of the lake; the SQLite file is made in it.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._turn = threading.Lock()
        root.mkdir(parents=True, exist_ok=True)
        # A commit to a write-ahead log syncs nothing, which is enough: a crash of the machine ends all orphans too.
        self._database = sqlite3.connect(
            root / FILE, timeout=_PATIENCE_S, isolation_level=None, check_same_thread=False
        )
        self._use_write_ahead_log()
        self._database.execute("PRAGMA synchronous = NORMAL")
        self._database.execute(
            "CREATE TABLE IF NOT EXISTS fences (path TEXT PRIMARY KEY, token INTEGER NOT NULL) WITHOUT ROWID"
        )

    def take(self) -> int:
        """See `Fences`."""
        with self._locked():
            (token,) = self._database.execute(
                "INSERT INTO fences VALUES ('', ?) ON CONFLICT (path) DO UPDATE SET token = token + 1 RETURNING token",
                (first_token(),),
            ).fetchone()
        return token

    def write(self, path: str, data: bytes, token: int) -> None:
        """See `Fences`."""
        replace_file(self._root / path, data, self._published(path, token))

    def _use_write_ahead_log(self) -> None:
        # Where several open a new file at once, SQLite refuses the switch without waiting for its timeout.
        for _ in _tries():
            try:
                self._database.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:
                if "locked" not in str(error):
                    raise
        raise LakeError(f"{self._root / FILE}: locked by other steps for {_TRIES} tries; try again")

    @contextmanager
    def _published(self, path: str, token: int) -> Iterator[None]:
        # The fence is committed before the object is there: a step killed in between has only raised it.
        with self._locked():
            refuse(path, token, self._token(path))
            self._database.execute("INSERT OR REPLACE INTO fences VALUES (?, ?)", (path, token))
        with self._locked():
            refuse(path, token, self._token(path))
            yield

    def _token(self, path: str) -> int:
        row = self._database.execute("SELECT token FROM fences WHERE path = ?", (path,)).fetchone()
        return row[0] if row else 0

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with self._turn:
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._database.execute("ROLLBACK")
                raise
            self._database.execute("COMMIT")


class S3Fences:
    """Fences of a prefix on S3 or a server that is compatible with it, conditional PUT included.

    Args:
        fs: an s3fs filesystem.
        root: bucket and prefix.
    """

    def __init__(self, fs: Any, root: str) -> None:
        self._fs, self._root = fs, root

    def take(self) -> int:
        """See `Fences`."""
        for _ in _tries():
            etag, there = self._there(COUNTER)
            token = there + 1 if etag else first_token()
            # The token is the object's content too: an ETag is a hash of the content alone.
            if self._put(COUNTER, str(token).encode(), token, etag):
                return token
        raise LakeError(f"{self._root}/{COUNTER}: {_TRIES} other steps were faster; try again")

    def write(self, path: str, data: bytes, token: int) -> None:
        """See `Fences`."""
        for _ in _tries():
            etag, there = self._there(path)
            refuse(path, token, there)
            # If a PUT's answer is lost it is repeated, and finds the object changed by its own first try: once more.
            if self._put(path, data, token, etag):
                return
        raise LakeError(f"{self._root}/{path}: {_TRIES} other steps were faster; try again")

    def _there(self, path: str) -> tuple[str, int]:
        """ETag (empty where there is no object) and token of an object."""
        bucket, key, _ = self._fs.split_path(f"{self._root}/{path}")
        try:
            found = self._fs.call_s3("head_object", Bucket=bucket, Key=key)
        except FileNotFoundError:
            return "", 0
        return found["ETag"], int(found["Metadata"].get(_METADATA, 0))

    def _put(self, path: str, data: bytes, token: int, etag: str) -> bool:
        """Write if the object still has this ETag; true if it was written."""
        bucket, key, _ = self._fs.split_path(f"{self._root}/{path}")
        metadata, condition = {_METADATA: str(token)}, {"IfMatch": etag} if etag else {"IfNoneMatch": "*"}
        try:
            self._fs.call_s3("put_object", Bucket=bucket, Key=key, Body=data, Metadata=metadata, **condition)
        except OSError as error:
            answer = getattr(error.__cause__, "response", None) or {}
            if answer.get("Error", {}).get("Code") in _LOST_RACE:
                return False
            raise
        self._fs.invalidate_cache(f"{self._root}/{path}")
        return True


def _tries() -> Iterator[int]:
    for attempt in range(_TRIES):
        if attempt:
            time.sleep(random.uniform(0, min(0.05 * attempt, 1)))
        yield attempt
