"""A venue that does not answer, or not with what can be read: cases in the order of docs/faults.md."""

from __future__ import annotations

import pytest

from lem.errors import SourceError
from lem.sources.ccxt_venue import Ccxt
from tests.exchange import faults as wrong
from tests.exchange.faults import Answer
from tests.exchange.venue_cases import END, NONE_LEFT, START, Case, Place, always, answer, backed_off, waited


def banned(place: Place) -> None:
    """Nothing more is asked of the venue, by nobody."""
    asked = place.exchange.counts.total()
    universe = place.source["universe"]
    with pytest.raises(SourceError, match="banned this address"):
        Ccxt(universe, {}, place.clock).fetch("BBB-USDT", START, END)
    assert place.exchange.counts.total() == asked


def short_timeout(place: Place) -> None:
    place.source["timeout_seconds"] = 0.5


def hang(*numbers: int):
    def do(place: Place) -> None:
        short_timeout(place)
        place.exchange.faults.answer(Answer(delay=30), on=numbers or None)
        place.source["retries"] = 1

    return do


def slow(place: Place) -> None:
    place.exchange.faults.answer(Answer(delay=0.3), on=None)


FIVE = Answer(503, body=b"<html>upstream is away</html>")
HALF = Answer(cut=200)
RESET = Answer(cut=200, reset=True)
TRANSPORT = [
    Case("nothing at all", lambda place: None, "all bars, one request a page", requests=4),
    Case(
        "429 with Retry-After",
        answer(wrong.status(429, 17)),
        "nobody asks the venue for as long as it says, then all bars",
        requests=5,
        check=waited(17),
    ),
    Case(
        "429 with a Retry-After of hours",
        always(wrong.status(429, 7200)),
        "blocked: the error says until when the venue wants to be left alone",
        blocked=r"the venue asks to wait until 2030-01-01 02:\d\d:\d\d UTC, longer than the 600 s",
        requests=1,
    ),
    Case(
        "418 with Retry-After",
        answer(wrong.status(418, 300), first=1),
        "blocked: nothing more is asked of the venue by any partition; the error says from when on one may",
        blocked=r"binance: the venue has banned this address \(HTTP 418\).* before 2030-01-01 00:0[56]:\d\d UTC",
        requests=1,
        check=banned,
    ),
    Case(
        "418 without Retry-After",
        answer(wrong.status(418), first=1),
        "blocked: nothing more is asked of the venue for two minutes",
        blocked=r"has banned this address \(HTTP 418\).* before 2030-01-01 00:02:\d\d UTC",
        requests=1,
        check=banned,
    ),
    Case("5xx, then an answer", answer(FIVE, wrong.status(500)), "asked again with backoff, all bars", requests=6),
    Case(
        "5xx in every attempt",
        always(FIVE),
        "blocked after the retries: venue, symbol, window, attempts and last cause",
        blocked=r"binance: AAA-USDT \[2024-01-05 00:00, 2024-01-05 06:00\) UTC: no answer in 3 attempt\(s\); "
        "the last: HTTP 503, .*upstream is away",
        requests=3,
        check=backed_off(2),
    ),
    Case("a slow venue", slow, "all bars", requests=4),
    Case(
        "an answer that hangs, once",
        hang(2),
        "given up after source.timeout_seconds, asked again, all bars",
        requests=5,
    ),
    Case(
        "answers that hang, always",
        hang(),
        "blocked after the retries",
        blocked=r"no answer in 2 attempt\(s\); the last: RequestTimeout",
        requests=2,
    ),
    Case(
        "an answer that comes in drops, once",
        lambda place: (short_timeout(place), place.exchange.faults.answer(Answer(drops=0.2), on=(2,))),
        "given up after source.timeout_seconds, asked again, all bars",
        requests=5,
    ),
    Case("truncated JSON, once", answer(HALF), "asked again, all bars", requests=5),
    Case(
        "truncated JSON, always",
        answer(HALF, HALF, HALF),
        "blocked after the retries",
        blocked=NONE_LEFT + r"the answer is truncated, or no JSON: \d+ characters",
        requests=4,
    ),
    Case("connection reset in the middle of a page, once", answer(RESET), "asked again, all bars", requests=5),
    Case(
        "connection reset in the middle of a page, always",
        answer(RESET, RESET, RESET),
        "blocked after the retries",
        blocked=NONE_LEFT + "NetworkError",
        requests=4,
    ),
]
