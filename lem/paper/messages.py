"""What a venue tells of its fills, and when: late, twice, or wrong at first. A pure function of the fills.

A fill that is corrected is told with another amount or price first, and then as it was; one that is broken is told as
it was, and then with an amount of 0. What is told of one fill stays in its order.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Context, Decimal

from lem.advice.amounts import ZERO, plus
from lem.paper.behaviour import Behaviour
from lem.paper.filling import Child, VenueFill, step_of


@dataclass(frozen=True)
class Message:
    """Something that is to be told.

    Args:
        order_id: of the parent order.
        bar: open of the bar (UTC).
        due: when it is to be told (UTC).
        fill: what is told; None to tell that nothing was filled in the bar.
        corrects: it replaces what was told of the fill before.
    """

    order_id: str
    bar: dt.datetime
    due: dt.datetime
    fill: VenueFill | None
    corrects: bool = False


@dataclass(frozen=True)
class Account:
    """What a slice came to.

    Args:
        fills: that hold, in the order of their times; broken ones are not among them.
        messages: what is told of them, in its order.
    """

    fills: list[VenueFill]
    messages: list[Message]


def nothing_filled(order_id: str, bar: dt.datetime, due: dt.datetime) -> Message:
    """The message that a slice was not filled."""
    return Message(order_id, bar, due, None)


def account_of(child: Child, fills: Sequence[VenueFill], behaviour: Behaviour) -> Account:
    """What is told of the fills of a slice, and which of them hold.

    Nothing is told of a slice without fills whose order counts only what was confirmed.

    Args:
        child: the slice.
        fills: of its bar.
        behaviour: of the venue.
    """
    if not fills:
        told = [] if child.mode == "confirm" else [nothing_filled(child.order_id, child.bar, child.bar_end)]
        return Account([], told)
    chance = behaviour.chance("tell", child.order_id, child.bar.isoformat())
    step, holding, messages = step_of(child, behaviour.lot), list[VenueFill](), list[Message]()
    for fill in fills:
        versions, holds = [fill], True
        if chance.random() < behaviour.corrections:
            versions, holds = _told_wrongly(fill, step, chance.choice(("amount", "price", "broken")))
        if holds:
            holding.append(fill)
        due = max(child.bar_end, fill.traded_at + dt.timedelta(seconds=behaviour.delay * chance.random()))
        for number, version in enumerate(versions):
            message = Message(child.order_id, child.bar, due, version, corrects=number > 0)
            messages += [message] * (2 if chance.random() < behaviour.duplicates else 1)
            due += dt.timedelta(seconds=behaviour.delay * chance.random())
    return Account(holding, sorted(messages, key=lambda message: message.due))


def _told_wrongly(fill: VenueFill, step: Decimal, how: str) -> tuple[list[VenueFill], bool]:
    """What is told of a fill, one after the other, and whether it holds."""
    if how == "broken":
        return [fill, replace(fill, amount=ZERO, fee=ZERO)], False
    if how == "amount":
        return [replace(fill, amount=plus(fill.amount, step)), fill], True
    return [replace(fill, price=Context(prec=10).multiply(fill.price, Decimal("1.001"))), fill], True
