"""What the exchange can be told to do wrong, and on which requests for bars.

A fault of the transport changes the answer, a fault of the data its rows; both are picked by the number of the request
for bars, counted from 1. What is no request for bars has faults of the transport only, picked by path.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

Row = list[Any]
"""A kline as Binance has it: open time in ms, decimal strings, close time, quote volume, trades, ..."""


@dataclass(frozen=True)
class Answer:
    """What goes back instead of the bars.

    Args:
        status, headers, body: of the answer. delay: seconds before it. cut: bytes that the body lacks at its end.
        reset: the connection is reset there, in the middle of what was announced. drops: seconds between two bytes.
    """

    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None
    delay: float = 0.0
    cut: int = 0
    reset: bool = False
    drops: float = 0.0


@dataclass
class Faults:
    """A script of faults; `exchange.faults` is one, empty at first."""

    _answers: list[tuple[Collection[int] | None, Answer]] = field(default_factory=list)
    _rows: list[tuple[Collection[int] | None, Callable[[Sequence[Row]], list[Row]]]] = field(default_factory=list)
    _elsewhere: list[tuple[str, Collection[int] | None, Answer]] = field(default_factory=list)
    repeat: Collection[int] = ()

    def answer(self, answer: Answer, on: Collection[int] | None = (1,)) -> None:
        """Answer the requests number `on` (all: None) with this."""
        self._answers.append((on, answer))

    def elsewhere(self, ending: str, answer: Answer, on: Collection[int] | None = (1,)) -> None:
        """Answer the requests number `on` (all: None) for a path with this ending, not one for bars, with this."""
        self._elsewhere.append((ending, on, answer))

    def rows(self, change: Callable[[Sequence[Row]], list[Row]], on: Collection[int] | None = None) -> None:
        """Change the rows of the requests number `on` (all: None)."""
        self._rows.append((on, change))

    def answer_for(self, number: int) -> Answer:
        """How request `number` is answered."""
        return next((answer for on, answer in self._answers if on is None or number in on), Answer())

    def answer_at(self, path: str, number: int) -> Answer:
        """How request `number` for a path that is none for bars is answered."""
        found = (a for ending, on, a in self._elsewhere if path.endswith(ending) and (on is None or number in on))
        return next(found, Answer())

    def rows_for(self, number: int, rows: list[Row]) -> list[Row]:
        """What request `number` makes of the rows."""
        for on, change in self._rows:
            if on is None or number in on:
                rows = change(rows)
        return rows


def status(code: int, retry_after: int | str | None = None) -> Answer:
    """An error of the venue, with its kind of body."""
    headers = () if retry_after is None else (("Retry-After", str(retry_after)),)
    return Answer(code, headers, b'{"code":-1003,"msg":"Too many requests."}' if code in (418, 429) else b"upstream")


def without_first(rows: Sequence[Row]) -> list[Row]:
    """A venue whose start is exclusive."""
    return list(rows[1:])


def nothing(rows: Sequence[Row]) -> list[Row]:
    """An empty page."""
    return []


def reversed_rows(rows: Sequence[Row]) -> list[Row]:
    """Rows out of order."""
    return list(reversed(rows))


def without(*opens: int) -> Callable[[Sequence[Row]], list[Row]]:
    """Bars (open in ms) that are not there."""
    return lambda rows: [row for row in rows if row[0] not in opens]


def twice(open_ms: int, **changes: str) -> Callable[[Sequence[Row]], list[Row]]:
    """A bar that is there twice, the second time with other numbers where some are given."""
    return lambda rows: [new for row in rows for new in ([row, _with(row, changes)] if row[0] == open_ms else [row])]


def instead(open_ms: int, **changes: str) -> Callable[[Sequence[Row]], list[Row]]:
    """A bar with other numbers."""
    return lambda rows: [_with(row, changes) if row[0] == open_ms else row for row in rows]


_PLACES = {"open": 1, "high": 2, "low": 3, "close": 4, "volume": 5, "quote_volume": 7}


def _with(row: Row, changes: dict[str, str]) -> Row:
    row = list(row)
    for name, value in changes.items():
        row[_PLACES[name]] = value
    return row
