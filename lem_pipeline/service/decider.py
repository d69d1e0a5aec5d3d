"""The service decides by itself: as soon as a bar has closed, and when orders come within it."""

from __future__ import annotations

import datetime as dt
import logging
import threading
from contextlib import nullcontext
from typing import Literal, get_args

from lem.advice.advisor import Advisor
from lem.advice.answers import Advised
from lem.advice.audit import MOST_ENTRIES
from lem.advice.callers import Caller, acting_as
from lem.advice.follow import RETRY_SECONDS
from lem.advice.order import OPEN
from lem.errors import LemError
from lem_pipeline.service.tail import Tail

Decides = Literal["told", "always", "never"]
"""told: while somebody is told, a listener of /events or a webhook. always: whoever listens. never: when asked only."""
DECIDES: tuple[Decides, ...] = get_args(Decides)
WAKE_SECONDS = 0.2
_FILLS = ("filled", "corrected")
_LOG = logging.getLogger("lem.service")


class Decider:
    """Advises all open orders of a universe, bar by bar, in a thread of its own.

    Args:
        advisor: of the universe.
        tail: is told of what was decided, and knows whether anybody listens.
        decides: when.
    """

    def __init__(self, advisor: Advisor, tail: Tail, decides: Decides) -> None:
        self._advisor, self._tail, self._decides = advisor, tail, decides
        self._stop = threading.Event()
        self._due: dt.datetime | None = None
        self._bar: dt.datetime | None = None
        self._seen, self._told = -1, ""
        self._thread = threading.Thread(target=self._run, name="decider", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End, after the bar that is being decided."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        with acting_as(Caller("service")), self._tail.watching() if self._decides == "always" else nullcontext():
            while not self._stop.wait(WAKE_SECONDS):
                if self._decides == "told" and self._tail.watchers == 0:
                    continue
                if self._due is None or self._advisor.clock.now() >= self._due or self._orders_came():
                    self._decide()

    def _orders_came(self) -> bool:
        """Whether orders that may have no slice for the bar came since it was decided, or go on."""
        newest, after = self._tail.newest, self._seen
        if newest <= after:
            return False
        self._seen = newest
        try:
            found = self._tail.log.page(self._advisor.universe.name, after=after)
        except LemError:
            return True  # what is wrong there is told by the decision, which reads it too
        if len(found) == MOST_ENTRIES or any(entry.event in ("created", "resumed") for entry in found):
            return True
        # A fill that was told late may leave something of an order that had ended: it goes on, without a slice yet.
        again = {entry.order_id for entry in found if entry.event in _FILLS and entry.facts.get("status") in OPEN}
        return any(self._lacks_slice(order_id) for order_id in again)

    def _lacks_slice(self, order_id: str) -> bool:
        """Whether an open order has no slice for the bar that was decided last."""
        orders = self._advisor.store.booked(self._advisor.universe.name, order_id)
        return any(order.last is not None and order.last.bar != self._bar for order in orders)

    def _decide(self) -> None:
        retry = dt.timedelta(seconds=RETRY_SECONDS)
        before = self._tail.newest
        try:
            advised = self._advisor.advise()
            reasons = advised.refused
            # Before anybody is told: who hears of it may ask at once, and the wait is that of the decision.
            self._due = self._next(advised, retry)
            self._tail.refuse(f"{advised.at.bar:%Y-%m-%dT%H:%M:%SZ}", reasons)
            self._tail.look()
            self._told = ""
        except LemError as error:
            self._due = self._advisor.clock.now() + retry
            self._tail.refuse("", {"": str(error)})
            if str(error) != self._told:
                self._told = str(error)
                _LOG.error("%s", error)
            return
        except Exception:
            # Whatever it was, the next bar is decided: nobody else would.
            self._due = self._advisor.clock.now() + retry
            _LOG.exception("a bar was not decided")
            return
        self._seen, self._bar = max(self._seen, before), advised.at.bar

    def _next(self, advised: Advised, retry: dt.timedelta) -> dt.datetime:
        """When to decide again: as the next bar is known, and sooner where an order has no slice."""
        grace = dt.timedelta(seconds=self._advisor.universe.source.capabilities.grace_seconds)
        rest = advised.at.bar_end + grace
        return min(rest, self._advisor.clock.now() + retry) if advised.refused else rest
