"""One file of an archive with its SHA-256 sidecar, over any fsspec URL: verified, retried, or an error.

Every request has a deadline. A failure that may pass (a server's error, a reset, a short body, a wrong checksum) is
tried again after a growing pause with jitter, or after the pause that the server asks for. Any other failure (a
refusal, an unknown protocol) is an error at once.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import unicodedata
from dataclasses import dataclass
from typing import Any

import fsspec
import fsspec.asyn

from lem.errors import SourceError
from lem.sources.limits import LONGEST_WAIT_SECONDS, Clock, backoff, retry_after

SIDECAR = ".CHECKSUM"

_SIDECAR_LINE = re.compile(r"([0-9a-fA-F]{64})[ \t]+\*?(\S.*?)\s*")
_PASSING = frozenset({408, 425, 429})
_AWS_CREDENTIALS = (
    "AWS_ACCESS_KEY_ID",
    "AWS_PROFILE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
)


class _Unreadable(Exception):
    """A try failed and another one may succeed.

    Args:
        reason: in words.
        pause: the server's Retry-After.
    """

    def __init__(self, reason: str, pause: str | None = None) -> None:
        super().__init__(reason)
        self.pause = pause


@dataclass(frozen=True)
class Downloads:
    """Reads verified files.

    Args:
        timeout: seconds in which one request must be done.
        retries: further tries after the first one.
        clock: of this machine, for waiting.
    """

    timeout: float
    retries: int
    clock: Clock

    def verified(self, url: str) -> bytes | None:
        """The file's bytes, compared with the sidecar's SHA-256; None if there is no such file.

        Raises:
            SourceError: no sidecar, a wrong one, or the file cannot be read; names file, reason and both hashes.
        """
        reason = ""
        for attempt in range(self.retries + 1):
            try:
                content = self._read(url)
                return None if content is None else self._verify(url, content)
            except _Unreadable as error:
                reason = str(error)
                if attempt < self.retries:
                    asked = retry_after(error.pause, self.clock) or 0.0
                    if asked > LONGEST_WAIT_SECONDS:
                        raise SourceError(f"{url}: {reason}, and asks to wait for {asked:.0f} s; try later") from error
                    self.clock.sleep(max(asked, backoff(attempt, self.clock)))
        tries = "once" if not self.retries else f"{self.retries + 1} times"
        raise SourceError(f"{url}: tried {tries}, at last: {reason}")

    def _verify(self, url: str, content: bytes) -> bytes:
        sidecar, name = url + SIDECAR, url.rsplit("/", 1)[-1]
        allowed = f"allowed: one line '<SHA-256>  {name}'"
        line = self._read(sidecar)
        if line is None:
            raise SourceError(f"{sidecar}: no such file, so {name} cannot be verified; {allowed}")
        # A sidecar that is no checksum line can be any page of the server: only its size is shown.
        match = _SIDECAR_LINE.fullmatch(line.decode("utf-8-sig", "replace"))
        if match is None:
            raise _Unreadable(f"{name}{SIDECAR} is no checksum ({len(line)} bytes); {allowed}")
        want, of = match[1].lower(), match[2]
        if unicodedata.normalize("NFC", of) != unicodedata.normalize("NFC", name):
            raise _Unreadable(f"{name}{SIDECAR} is the checksum of {of[:200]!r}; {allowed}")
        got = hashlib.sha256(content).hexdigest()
        if got != want:
            raise _Unreadable(f"wrong checksum: the SHA-256 of the file's {len(content)} bytes is {got}, not {want}")
        return content

    def _read(self, url: str) -> bytes | None:
        files, path = _open(url)
        try:
            if not files.async_impl:
                return files.cat_file(path)
            if hasattr(files, "set_session"):
                # Making the client (S3's can take seconds) does not count towards the request's deadline.
                fsspec.asyn.sync(files.loop, files.set_session)
            return fsspec.asyn.sync(files.loop, _bounded, files, path, self.timeout)
        except FileNotFoundError as error:
            if _answer(error).get("Error", {}).get("Code") == "NoSuchBucket":
                raise SourceError(f"{url}: cannot be read: no such bucket") from error
            return None
        # A remote file system raises whatever its client library does; none of it is a defect of ours.
        except Exception as error:
            status, pause = _status(error)
            what = f"the server answers with status {status}" if status else f"{type(error).__name__}: {error}"
            if isinstance(error, TimeoutError):
                what = f"no answer within {self.timeout:g} s"
            refused = 400 <= status < 500 and status not in _PASSING
            if refused or isinstance(error, PermissionError | IsADirectoryError):
                raise SourceError(f"{url}: cannot be read: {what}") from error
            raise _Unreadable(f"{url.rsplit('/', 1)[-1]} cannot be read: {what}", pause) from error


async def _bounded(files: Any, path: str, timeout: float) -> bytes:
    return await asyncio.wait_for(files._cat_file(path), timeout)


def _open(url: str) -> tuple[Any, str]:
    """The file system and the path on it. S3 is read anonymously unless the environment has credentials."""
    options: dict[str, Any] = {}
    if url.startswith(("s3://", "s3a://")):
        # Further tries are made by this module, with its pauses, and not by the client as well.
        options = {
            "anon": not any(os.environ.get(name) for name in _AWS_CREDENTIALS),
            "config_kwargs": {"retries": {"total_max_attempts": 1}},
            # One request for a file: without this the client asks for its size first.
            "max_concurrency": 1,
        }
    try:
        files, path = fsspec.core.url_to_fs(url, **options)
    except (ValueError, ImportError) as error:
        raise SourceError(f"{url}: {error}; allowed: a URL that fsspec can read") from error
    if options:
        files.retries = 1
    return files, path


def _answer(error: BaseException) -> dict[str, Any]:
    """S3's answer; empty if the error does not come from S3."""
    return getattr(error.__cause__, "response", None) or {}


def _status(error: BaseException) -> tuple[int, str | None]:
    """HTTP status of the answer (0 if there is none) and its Retry-After."""
    from_s3 = _answer(error).get("ResponseMetadata", {})
    status = getattr(error, "status", None) or from_s3.get("HTTPStatusCode", 0)
    headers = getattr(error, "headers", None) or from_s3.get("HTTPHeaders", {})
    asked = next((value for name, value in headers.items() if name.lower() == "retry-after"), None)
    # A body that breaks off comes with status 200, which does not describe the error.
    return (status if isinstance(status, int) and status >= 400 else 0), asked
