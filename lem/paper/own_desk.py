"""The desk in this process: a paper venue beside an advisor, on the orders of the same registry."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager

from lem.advice.advisor import Advisor
from lem.advice.amounts import as_told
from lem.advice.answers import Advice
from lem.advice.clock import ReplayClock
from lem.advice.fills import FillNews
from lem.advice.order import OPEN, STATUSES
from lem.errors import AdviceError, OrderError, RegistryError
from lem.paper.client import MOST_ENDED, Given, Market, OrderTerms, RefusedError, Slice, UnavailableError
from lem.paper.messages import Message

ENDED = tuple(status for status in STATUSES if status not in OPEN)


class OwnDesk:
    """A desk that needs no server.

    Args:
        advisor: of the universe.
        every: seconds between two looks where time passes by itself; a replay's clock is moved on instead.
    """

    def __init__(self, advisor: Advisor, every: float = 1.0) -> None:
        self._advisor, self._every = advisor, every

    def market(self) -> Market:
        """Where time stands.

        Raises:
            AdviceError: the universe has no bars at this time.
        """
        at = self._advisor.now()
        return Market(at.now, at.bar, at.bar_end)

    def advise(self) -> Given:
        """The slices of the bar that is next.

        Raises:
            UnavailableError: there is no advice now.
        """
        with _explained():
            advised = self._advisor.advise()
        return Given([_slice_of(advice) for advice in advised.slices], advised.refused)

    def order(self, order_id: str) -> OrderTerms:
        """The terms of an order.

        Raises:
            RefusedError: there is no such order.
            UnavailableError: it cannot be read.
        """
        with _explained():
            state = self._advisor.order(order_id)
        return OrderTerms(as_told(state.order.size), state.order.rules, state.status in OPEN)

    def slices(self, order_id: str) -> list[Slice]:
        """Every slice of an order. Raises as `order`."""
        with _explained():
            return [_slice_of(advice) for advice in self._advisor.history(order_id)]

    def tell(self, message: Message) -> None:
        """Tell what was filled, or that nothing was.

        Raises:
            RefusedError: the desk does not take it.
            UnavailableError: the order cannot be read.
        """
        fill = message.fill
        with _explained():
            if fill is None:
                self._advisor.total(message.order_id, message.bar, 0.0)
                return
            told = (fill.fill_id, fill.amount, fill.price, fill.fee, fill.traded_at)
            self._advisor.fill(message.order_id, FillNews(*told, message.bar, message.corrects))

    def ended_orders(self, since: dt.datetime) -> list[str]:
        """Ids of the last 1000 orders that have ended and are not closed, of those sent at or after a time (UTC)."""
        with _explained():
            states = self._advisor.store.orders(self._advisor.universe.name, ENDED, MOST_ENDED)
        return [state.order.id for state in states if state.created_at >= since and state.closed_at is None]

    def has_open_orders(self) -> bool:
        """Whether any order is open."""
        return bool(self._advisor.store.orders(self._advisor.universe.name, OPEN, 1))

    def wait(self, now: dt.datetime, until: dt.datetime) -> None:
        """Wait until a time of the clock, or, where time passes by itself, until the next look."""
        rest = max(0.0, (until - now).total_seconds())
        clock = self._advisor.clock
        clock.sleep(rest if isinstance(clock, ReplayClock) else min(rest, self._every))


def _slice_of(advice: Advice) -> Slice:
    return Slice(
        order_id=advice.order_id,
        asset=advice.asset,
        side=advice.side,
        target=advice.unit,
        bar=advice.bar,
        bar_end=advice.bar_end,
        number=advice.number,
        seconds_left=advice.seconds_left,
        amount=advice.exact_amount,
        mode=advice.mode,
        limit_price=advice.limit_price,
        is_told=advice.exact_filled is not None,
    )


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except (AdviceError, RegistryError) as error:
        raise UnavailableError(str(error)) from error
    except OrderError as error:
        raise RefusedError(str(error)) from error
