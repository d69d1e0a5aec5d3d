"""What a paper venue asks of a desk, and tells it: the same over HTTP and in one process."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from lem.advice.venue_rules import VenueRules
from lem.errors import PaperError
from lem.paper.messages import Message

MOST_ENDED = 1000
"""Orders that have ended and are looked at."""


class RefusedError(PaperError):
    """The desk does not take what was told: telling it again changes nothing."""


class UnavailableError(PaperError):
    """The desk does not answer now: asking again later may help."""


class NoAnswerError(UnavailableError):
    """Nobody answers at the desk's address."""


@dataclass(frozen=True)
class Market:
    """Where time stands at the desk (all UTC).

    Args:
        now: the desk's clock.
        bar: open of the bar that is advised on.
        bar_end: its close.
    """

    now: dt.datetime
    bar: dt.datetime
    bar_end: dt.datetime


@dataclass(frozen=True)
class Slice:
    """A slice that the desk advised.

    Args:
        order_id: of the order.
        asset: canonical name.
        side: buy or sell.
        target: the unit of amounts: quantity or notional.
        bar: open of its bar (UTC).
        bar_end: close of its bar (UTC).
        number: of the bar in the order, from 1.
        seconds_left: of the bar, when this was answered.
        amount: to trade.
        mode: what counts as filled while nothing is told: assume or confirm.
        limit_price: worst price; None for any.
        is_told: whether something was told of its fills.
    """

    order_id: str
    asset: str
    side: str
    target: str
    bar: dt.datetime
    bar_end: dt.datetime
    number: int
    seconds_left: float
    amount: Decimal
    mode: str
    limit_price: Decimal | None
    is_told: bool


@dataclass(frozen=True)
class Given:
    """The desk's advice of a bar.

    Args:
        slices: of the orders that have one.
        refused: why others have none, by id.
    """

    slices: list[Slice]
    refused: dict[str, str]


@dataclass(frozen=True)
class OrderTerms:
    """What a venue needs to know of an order.

    Args:
        size: in its unit.
        rules: what the venue takes.
        is_open: whether more slices may come.
    """

    size: Decimal
    rules: VenueRules
    is_open: bool


class Client(Protocol):
    """The desk. Every method raises UnavailableError where it does not answer."""

    def market(self) -> Market:
        """Where time stands."""
        ...

    def advise(self) -> Given:
        """The slices of the bar that is next."""
        ...

    def order(self, order_id: str) -> OrderTerms:
        """The terms of an order.

        Raises:
            RefusedError: there is no such order.
        """
        ...

    def slices(self, order_id: str) -> Sequence[Slice]:
        """Every slice of an order.

        Raises:
            RefusedError: there is no such order.
        """
        ...

    def tell(self, message: Message) -> None:
        """Tell what was filled, or that nothing was.

        Raises:
            RefusedError: the desk does not take it.
        """
        ...

    def ended_orders(self, since: dt.datetime) -> list[str]:
        """Ids of the last 1000 orders that have ended and are not closed, of those sent at or after a time (UTC)."""
        ...

    def has_open_orders(self) -> bool:
        """Whether any order is open."""
        ...

    def wait(self, now: dt.datetime, until: dt.datetime) -> None:
        """Wait, for no longer than until a time of the desk's clock.

        Args:
            now: the desk's clock, UTC.
            until: likewise.
        """
        ...
