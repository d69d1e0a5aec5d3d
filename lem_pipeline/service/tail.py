"""The end of the audit log, watched for all listeners at once: what any process wrote is seen within half a second."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from lem.advice.audit import AuditLog
from lem.errors import LemError

POLL_SECONDS = 0.5
WAKE_SECONDS = 0.05
_LOG = logging.getLogger("lem.service")


@dataclass(frozen=True)
class Refused:
    """Why orders have no advice, as it was last decided.

    Args:
        number: grows with every change.
        bar: open of the bar, as ISO text; empty before any.
        reasons: why, by order id; empty where all have advice.
    """

    number: int = 0
    bar: str = ""
    reasons: dict[str, str] = field(default_factory=dict)


class Tail:
    """Knows the newest entry while anybody watches.

    Args:
        log: the audit log.
    """

    def __init__(self, log: AuditLog) -> None:
        self.log = log
        self.newest, self.refused, self.closing = 0, Refused(), False
        self.watchers = 0
        self._lock = threading.Lock()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch in the block; the first one starts a thread that reads, and it ends after the last one."""
        with self._lock:
            self.watchers += 1
            if self.watchers == 1:
                threading.Thread(target=self._follow, name="audit-tail", daemon=True).start()
        try:
            yield
        finally:
            with self._lock:
                self.watchers -= 1

    def look(self) -> None:
        """Read at once, without waiting for the next turn.

        Raises:
            RegistryError: the database cannot be read.
        """
        self.newest = max(self.newest, self.log.newest())

    def refuse(self, bar: str, reasons: dict[str, str]) -> None:
        """Tell why orders have no advice; the same again is told once."""
        if (bar, reasons) != (self.refused.bar, self.refused.reasons) and (reasons or self.refused.reasons):
            self.refused = Refused(self.refused.number + 1, bar, reasons)

    def moved(self, after: int, refused: int) -> bool:
        """Whether there is more than what somebody has seen."""
        return self.closing or self.newest > after or self.refused.number > refused

    async def wait(self, after: int, refused: int, seconds: float) -> None:
        """Wait until there is more, or for so long."""
        until = time.monotonic() + seconds
        while not self.moved(after, refused) and time.monotonic() < until:
            await asyncio.sleep(WAKE_SECONDS)

    def _follow(self) -> None:
        told = ""
        while not self.closing:
            with self._lock:
                if self.watchers == 0:
                    return
            try:
                self.look()
                told = ""
            except LemError as error:
                if str(error) != told:
                    told = str(error)
                    _LOG.error("%s", error)
            time.sleep(POLL_SECONDS)
