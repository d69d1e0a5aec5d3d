"""How a fault of a venue is told: what is done to the exchange, what must come of it, and what the docs say."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, field

from lem.sources.limits import BACKOFF_SECONDS
from lem.universe.calendars import partition_window
from tests.exchange.clock import FakeClock
from tests.exchange.faults import Answer
from tests.exchange.server import Exchange

DATE = dt.date(2024, 1, 5)
START, END = partition_window(DATE)


def ms(hour: int) -> int:
    return int(START.timestamp() * 1000) + hour * 3_600_000


@dataclass
class Place:
    """What a case may change before the day is fetched."""

    exchange: Exchange
    clock: FakeClock
    source: dict
    asset: dict = field(default_factory=dict)


@dataclass(frozen=True)
class Case:
    """A fault. `blocked` is the error's text, without one all bars arrive; `told` stands in the docs.

    requests: for bars, in all of the fetch. check: what else must be true.
    """

    fault: str
    do: Callable[[Place], object]
    told: str
    blocked: str = ""
    requests: int | None = None
    check: Callable[[Place], object] = lambda place: None
    duplicates: int = 0


def answer(*answers: Answer, first: int = 2):
    """Answers to the requests number `first`, `first` + 1, ..."""

    def do(place: Place) -> None:
        for number, one in enumerate(answers, start=first):
            place.exchange.faults.answer(one, on=(number,))

    return do


def always(one: Answer):
    return lambda place: place.exchange.faults.answer(one, on=None)


def rows(change, on=None):
    return lambda place: place.exchange.faults.rows(change, on=on)


def now(**keys):
    """The exchange's clock, on or after the day. `date`: only the Date of its answers."""

    def do(place: Place) -> None:
        for name, value in keys.items():
            setattr(place.exchange, name, value)

    return do


def waited(seconds: float):
    """Somebody waited for as long."""

    def check(place: Place) -> None:
        assert max(place.clock.slept) >= seconds

    return check


def backed_off(times: int):
    """So often was waited for longer than for a turn: not behind the last attempt too."""

    def check(place: Place) -> None:
        assert sum(seconds >= BACKOFF_SECONDS for seconds in place.clock.slept) == times

    return check


NONE_LEFT = r"AAA-USDT \[2024-01-05 06:00, 2024-01-05 12:00\) UTC: no answer in 3 attempt\(s\); the last: "
