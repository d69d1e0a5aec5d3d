"""What no request should have to wait for: a source of bars, asked as each bar closes, and the copying of a log."""

from __future__ import annotations

import datetime as dt
import logging
import threading

from lem.advice.advisor import Advisor
from lem.advice.callers import Caller, acting_as
from lem.advice.follow import RETRY_SECONDS
from lem.errors import LemError

WAKE_SECONDS = 0.2
_LOG = logging.getLogger("lem.service")


class Keeper:
    """Keeps the market of an advisor up to date and its log short, in a thread of its own.

    What it cannot do is left to requests.

    Args:
        advisor: whose market it is.
    """

    def __init__(self, advisor: Advisor) -> None:
        self._advisor = advisor
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="keeper", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End; it waits for no source that hangs."""
        self._stop.set()

    def _run(self) -> None:
        due: dt.datetime | None = None
        with acting_as(Caller("service")):
            # The clock of a replay is not slept by: that would move it on.
            while not self._stop.wait(WAKE_SECONDS):
                if due is None or self._advisor.clock.now() >= due:
                    due = self._bring_up()
                self._copy_log()

    def _copy_log(self) -> None:
        """What the last bar wrote is copied while nobody waits for the next one."""
        try:
            self._advisor.store.copy_log()
        except LemError as error:
            _LOG.error("%s", error)

    def _bring_up(self) -> dt.datetime:
        """Bring the market up to the bar that closed last. Returns when to do it again."""
        retry = self._advisor.clock.now() + dt.timedelta(seconds=RETRY_SECONDS)
        try:
            at, problems = self._advisor.refresh()
        except LemError:
            return retry
        except Exception:
            # Whatever it was, the next bar is another one: nobody else would bring it up.
            _LOG.exception("the market was not brought up")
            return retry
        grace = dt.timedelta(seconds=self._advisor.universe.source.capabilities.grace_seconds)
        rest = at.bar_end + grace
        return min(rest, retry) if problems else rest
