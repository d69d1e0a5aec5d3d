"""Following the market: advice as soon as each bar has closed, until there is nothing left to advise on."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from lem.advice.advisor import Advisor
from lem.advice.answers import Advised
from lem.advice.order import OPEN
from lem.errors import AdviceError

RETRY_SECONDS = 15.0
"""Between two tries within a bar, while bars are missing: venues publish a bar some seconds after its end."""


def follow(advisor: Advisor, order_id: str | None = None, bars: int | None = None) -> Iterator[Advised | AdviceError]:
    """Advice of every bar that comes, of all open orders or of one, until none is open.

    Where there is no advice, the reason is yielded once, and advice is asked for again until the bar is over.

    Args:
        advisor: of the universe.
        order_id: of the one order; None for all.
        bars: stop after so many; None for no limit.

    Raises:
        UnknownOrderError: there is no such order.
        OrderStateError: the order has ended already.
    """
    grace = dt.timedelta(seconds=advisor.universe.source.capabilities.grace_seconds)
    seen: set[dt.datetime] = set()
    told = ""
    while True:
        complete = False
        try:
            advised = advisor.advise(order_id)
        except AdviceError as error:
            if str(error) != told:
                told = str(error)
                yield error
        else:
            complete = not advised.refused
            if advised.at.bar not in seen or any(not s.repeated for s in advised.slices) or advised.ended:
                yield advised
            seen.add(advised.at.bar)
        if not _open(advisor, order_id) or (bars is not None and complete and len(seen) >= bars):
            return
        at = advisor.now()
        rest = (at.bar_end + grace - at.now).total_seconds()
        advisor.clock.sleep(rest if complete else min(rest, RETRY_SECONDS))


def _open(advisor: Advisor, order_id: str | None) -> bool:
    if order_id is not None:
        return advisor.order(order_id).status in OPEN
    return bool(advisor.store.booked(advisor.universe.name))
