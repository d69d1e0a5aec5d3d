"""How often a venue may be asked: one limiter for all threads, the waits that its answers ask for, and backoff.

The limiters belong to the process. Partitions that are fetched at the same time have a client each, but share the
venue's limiter, since a venue counts requests by address.
"""

from __future__ import annotations

import datetime as dt
import math
import random
import threading
import time
from email.utils import parsedate_to_datetime

from lem.errors import SourceError

BACKOFF_SECONDS, LONGEST_BACKOFF_SECONDS = 0.5, 60.0
LONGEST_RETRY_AFTER_SECONDS = 30 * 86_400.0
LONGEST_WAIT_SECONDS = 600.0
"""If a venue asks for a longer wait than this, the run fails at once; the error says when one may ask again."""


class Clock:
    """Time and chance, in one place, so that tests can replace them."""

    def now(self) -> dt.datetime:
        """This machine's time (UTC). It never decides whether a venue's bar is closed."""
        return dt.datetime.now(dt.UTC)

    def monotonic(self) -> float:
        """Seconds of a clock that never goes back."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)

    def draw(self, upper: float) -> float:
        """A number from 0 to `upper`."""
        return random.uniform(0, upper)


CLOCK = Clock()


def backoff(attempt: int, clock: Clock) -> float:
    """Seconds to wait after failed attempt number `attempt` (from 0): exponential, with full jitter.

    Full jitter draws from zero to the bound, so that clients that failed together do not come back together.
    """
    return clock.draw(min(LONGEST_BACKOFF_SECONDS, BACKOFF_SECONDS * 2.0 ** min(attempt, 20)))


def retry_after(value: str | None, clock: Clock) -> float | None:
    """Seconds that a `Retry-After` header asks for (it holds seconds or an HTTP date); None if it has no such wait."""
    if not value:
        return None
    try:
        seconds = float(value)
        return min(max(0.0, seconds), LONGEST_RETRY_AFTER_SECONDS) if math.isfinite(seconds) else None
    except ValueError:
        pass
    try:
        until = parsedate_to_datetime(value)
    except ValueError:
        return None
    until = until if until.tzinfo else until.replace(tzinfo=dt.UTC)
    return min(max(0.0, (until - clock.now()).total_seconds()), LONGEST_RETRY_AFTER_SECONDS)


class Limiter:
    """Gives each request to one venue its turn, whichever thread asks.

    Args:
        venue: named in errors.
        interval: seconds between requests of cost 1.
        clock: of this machine, for waiting.
    """

    def __init__(self, venue: str, interval: float, clock: Clock) -> None:
        self._venue, self._interval, self._clock = venue, interval, clock
        self._lock = threading.Lock()
        self._next = float("-inf")
        self._banned_until: dt.datetime | None = None

    def slow_to(self, interval: float) -> None:
        """Wait at least `interval` between requests: if several universes use a venue, the longest interval counts."""
        with self._lock:
            self._interval = max(self._interval, interval)

    def wait(self, cost: float = 1.0) -> None:
        """Wait for the turn of a request.

        Args:
            cost: how many requests this one counts as.

        Raises:
            SourceError: the venue has banned this address; says until when.
        """
        while True:
            with self._lock:
                self._refuse_while_banned()
                now = self._clock.monotonic()
                if now >= self._next:
                    self._next = now + self._interval * cost
                    return
                seconds = self._next - now
            self._clock.sleep(seconds)

    def pause(self, seconds: float) -> None:
        """Hold all requests for this long: the venue has said that there are too many."""
        with self._lock:
            self._next = max(self._next, self._clock.monotonic() + seconds)

    def ban(self, seconds: float) -> None:
        """Refuse every request for this long: asking a venue that has banned this address makes the ban longer."""
        with self._lock:
            until = self._clock.now() + dt.timedelta(seconds=seconds)
            self._banned_until = max(until, self._banned_until or until)

    def _refuse_while_banned(self) -> None:
        if self._banned_until is not None and self._clock.now() < self._banned_until:
            raise SourceError(
                f"{self._venue}: the venue has banned this address (HTTP 418) for asking too often; nothing is asked "
                f"of it before {self._banned_until:%Y-%m-%d %H:%M:%S} UTC; then run the command again, with a lower "
                "source.requests_per_second"
            )


_limiters: dict[tuple[str, str, int], Limiter] = {}
_limiters_lock = threading.Lock()


def limiter(venue: str, url: str, interval: float, clock: Clock = CLOCK) -> Limiter:
    """The process's limiter of a venue at a base URL, made on first use, with the longest interval asked for yet."""
    with _limiters_lock:
        # A limiter keeps its clock alive, so that no later clock can have the same id.
        found = _limiters.setdefault((venue, url, id(clock)), Limiter(venue, interval, clock))
    found.slow_to(interval)
    return found
