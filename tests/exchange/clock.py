"""A clock for tests: sleeping takes no time, and chance always draws its upper bound."""

from __future__ import annotations

import datetime as dt
import threading

from lem.sources.limits import Clock


class FakeClock(Clock):
    """Starts at a time that has nothing to do with the exchange's; `slept` holds every wait."""

    def __init__(self, now: dt.datetime = dt.datetime(2030, 1, 1, tzinfo=dt.UTC)) -> None:
        self.start, self.elapsed = now, 0.0
        self.slept: list[float] = []
        self._lock = threading.Lock()

    def now(self) -> dt.datetime:
        return self.start + dt.timedelta(seconds=self.elapsed)

    def monotonic(self) -> float:
        return self.elapsed

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self.slept.append(seconds)
            self.elapsed += seconds

    def draw(self, upper: float) -> float:
        return upper
