"""A paper venue at work: it takes the slices of a desk, fills them when their bars have closed, and tells the fills."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

from lem.advice.amounts import ZERO
from lem.errors import AdviceError
from lem.paper.behaviour import Behaviour
from lem.paper.book import Book
from lem.paper.client import Client, Market, NoAnswerError, RefusedError, Slice, UnavailableError
from lem.paper.filling import Child, TradedBar, VenueFill, fill_child
from lem.paper.messages import Message, account_of, nothing_filled

RETRY = dt.timedelta(seconds=15)
"""Between two looks within a bar, of the desk's clock, while something is missing."""
_EVER = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)
"""Any time: while the desk does not answer its clock is not known."""
_AT_ONCE = 100
"""Messages after which it is written that they were told."""


class Bars(Protocol):
    """Where closed bars come from."""

    def of(self, child: Child, now: dt.datetime) -> TradedBar:
        """The bar in which a slice trades.

        Raises:
            AdviceError: it is not there yet.
        """
        ...


@dataclass
class Turn:
    """What a look at the desk came to.

    Args:
        market: where time stands there.
        accepted: slices that were taken on.
        settled: slices whose bars are over, with their fills.
        told: messages that the desk took.
        refused: messages that it did not take, with its reason.
        problems: what cannot go on for now, such as an order without advice, or a bar that is not there.
        is_over: no order is open, nothing is worked, and all is told.
    """

    market: Market
    accepted: list[Child] = field(default_factory=list)
    settled: list[tuple[Child, list[VenueFill]]] = field(default_factory=list)
    told: list[Message] = field(default_factory=list)
    refused: list[tuple[Message, str]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    is_over: bool = False


class PaperVenue:
    """Works the orders of a desk whose slices it is given.

    Args:
        client: the desk.
        bars: closed bars of its assets.
        book: the venue's own books.
        behaviour: how it fills and tells.
        grace: how long after a bar's close the source needs to have it.
    """

    def __init__(
        self, client: Client, bars: Bars, book: Book, behaviour: Behaviour, grace: dt.timedelta = dt.timedelta(0)
    ) -> None:
        self.client, self.book, self.behaviour = client, book, behaviour
        self._bars, self._grace = bars, grace
        self._since = self._bar = _EVER

    def turn(self) -> Turn:
        """Settle the bars that are over, tell what is due, and take on the slices of the bar that is next.

        In this order: the next slices then rest on the fills of the bar before.

        Raises:
            UnavailableError: the desk does not answer; nothing is lost.
            PaperError: the books cannot be read or written, or the desk does not let the venue in.
        """
        turn = Turn(self.client.market())
        self._since = self.book.since(turn.market.now)
        self._settle(turn)
        self._tell(turn)
        self._accept(turn)
        turn.is_over = self.book.is_idle() and not self.client.has_open_orders()
        return turn

    def follow(self, stay: bool = False) -> Iterator[Turn | UnavailableError]:
        """Turn after turn, until no order is open and all is told; an outage of the desk is yielded once.

        Args:
            stay: go on then, and wait for orders that come.

        Raises:
            PaperError: as `turn`.
        """
        failed = ""
        while True:
            try:
                turn = self.turn()
            except UnavailableError as error:
                if str(error) != failed:
                    yield error
                failed = str(error)
                self.client.wait(_EVER, _EVER + RETRY)
                continue
            failed = ""
            yield turn
            if turn.is_over and not stay:
                return
            self.client.wait(turn.market.now, self._next_look(turn))

    def _next_look(self, turn: Turn) -> dt.datetime:
        now, times = turn.market.now, [turn.market.bar_end + self._grace]
        if turn.problems:
            times.append(now + RETRY)
        due = self.book.next_due()
        if due is not None:
            times.append(max(due, now + dt.timedelta(seconds=1)))
        return min(times)

    def _settle(self, turn: Turn) -> None:
        accounts = []
        for child in self.book.working(turn.market.now):
            try:
                fills = fill_child(child, self._bars.of(child, turn.market.now), self.behaviour)
            except AdviceError as error:
                turn.problems.append(str(error))
                continue
            accounts.append((child, account_of(child, fills, self.behaviour)))
        if accounts:
            self.book.settle(accounts)
        turn.settled = [(child, account.fills) for child, account in accounts]

    def _tell(self, turn: Turn) -> None:
        done: list[tuple[int, str]] = []
        held: set[str] = set()
        try:
            for place, message in self.book.to_tell(turn.market.now):
                if message.order_id in held:
                    continue
                try:
                    self.client.tell(message)
                except RefusedError as error:
                    turn.refused.append((message, str(error)))
                    done.append((place, str(error)))
                except NoAnswerError:
                    raise
                except UnavailableError as error:
                    # What is told of one order stays in its order; others may be told meanwhile.
                    held.add(message.order_id)
                    turn.problems.append(str(error))
                else:
                    turn.told.append(message)
                    done.append((place, ""))
                if len(done) >= _AT_ONCE:
                    self.book.told(done)
                    done = []
        finally:
            self.book.told(done)

    def _accept(self, turn: Turn) -> None:
        given = self.client.advise()
        turn.problems += given.refused.values()
        slices = []
        for slice_ in given.slices:
            if self.book.has(slice_.order_id, slice_.bar):
                continue
            try:
                child = self._child(slice_)
                if slice_.number > self.book.last_number(slice_.order_id) + 1:
                    self._note_missed(slice_.order_id, slice_.bar, turn.market.now)
            except RefusedError as error:
                turn.problems.append(str(error))
                continue
            slices.append((slice_.number, child))
        if slices:
            self.book.accept(slices)
        turn.accepted = [child for _, child in slices]
        gone = set(self.book.open_orders())
        if turn.market.bar != self._bar:
            # Once a bar: others may have ended while the venue was away, and it never heard of them.
            gone |= {key for key in self.client.ended_orders(self._since) if not self.book.knows(key)}
        self._end(gone - {slice_.order_id for slice_ in given.slices} - set(given.refused), turn)
        self._bar = turn.market.bar

    def _end(self, order_ids: set[str], turn: Turn) -> None:
        """Let go of the orders among these that have ended, perhaps with a slice that never came here."""
        for order_id in sorted(order_ids):
            try:
                if self.client.order(order_id).is_open:
                    continue
                self._note_missed(order_id, None, turn.market.now)
            except RefusedError as error:
                turn.problems.append(str(error))
            self.book.end(order_id)

    def _child(self, slice_: Slice) -> Child:
        """The slice as it is worked: never more than what is left of the order by the venue's own books.

        The desk may not know of a fill yet when it advises the next slice.
        """
        terms = self.client.order(slice_.order_id)
        left = max(self.book.left(slice_.order_id, terms.size), ZERO)
        return Child(
            order_id=slice_.order_id,
            asset=slice_.asset,
            side=slice_.side,
            target=slice_.target,
            bar=slice_.bar,
            bar_end=slice_.bar_end,
            accepted_at=slice_.bar_end - dt.timedelta(seconds=slice_.seconds_left),
            amount=min(slice_.amount, left),
            size=terms.size,
            mode=slice_.mode,
            limit_price=slice_.limit_price,
            rules=terms.rules,
        )

    def _note_missed(self, order_id: str, before: dt.datetime | None, now: dt.datetime) -> None:
        """Tell that nothing was filled of slices that never came here, where the desk counts them as filled.

        So it is after the venue was down for a bar. What was advised in bars that were over when the books began is not
        its matter.
        """
        for past in self.client.slices(order_id):
            known = past.is_told or past.amount == ZERO or self.book.has(order_id, past.bar)
            is_past = self._since < past.bar_end and (before is None or past.bar < before)
            if past.mode == "assume" and is_past and not known:
                nothing = nothing_filled(order_id, past.bar, now)
                self.book.miss(past.number, self._child(past), nothing)
