"""Faults of what is asked before any bar, the venue's markets and its clock: cases in the order of docs/faults.md."""

from __future__ import annotations

from collections.abc import Callable

from tests.exchange import faults as wrong
from tests.exchange.faults import Answer
from tests.exchange.transport_cases import FIVE, banned, short_timeout
from tests.exchange.venue_cases import Case, Place, waited


def at(ending: str, *answers: Answer, quick: bool = False) -> Callable[[Place], None]:
    """The first answers at a path; quick: with a short timeout."""

    def do(place: Place) -> None:
        for number, one in enumerate(answers, start=1):
            place.exchange.faults.elsewhere(ending, one, on=(number,))
        if quick:
            short_timeout(place)

    return do


def asked(path: str, times: int, *more: Callable[[Place], None]) -> Callable[[Place], None]:
    """How often this was asked for; and what else must be true."""

    def check(place: Place) -> None:
        assert place.exchange.counts[path] == times
        for one in more:
            one(place)

    return check


def cases(what: str, name: str, path: str) -> list[Case]:
    """Each fault of one endpoint: `what` in the docs, `name` in errors."""
    hang, half, reset = Answer(delay=30), Answer(cut=5), Answer(cut=5, reset=True)
    none_left = rf"binance: {name}: no answer in 3 attempt\(s\); the last: "
    again, given_up = "asked again, all bars", "blocked after the retries, before any bar is asked for"

    def once(
        fault: str, answer: Answer, told: str = again, *more: Callable[[Place], None], quick: bool = False
    ) -> Case:
        return Case(f"{what}: {fault}", at(path, answer, quick=quick), told, requests=4, check=asked(path, 2, *more))

    def always(fault: str, answer: Answer, cause: str, quick: bool = False) -> Case:
        do, check = at(path, answer, answer, answer, quick=quick), asked(path, 3)
        return Case(f"{what}: {fault}", do, given_up, blocked=none_left + cause, requests=0, check=check)

    return [
        once(
            "429 with Retry-After",
            wrong.status(429, 17),
            "nobody asks the venue for as long as it says, then all bars",
            waited(17),
        ),
        Case(
            f"{what}: 429 with a Retry-After of hours",
            at(path, wrong.status(429, 7200)),
            "blocked: the error says until when the venue wants to be left alone",
            blocked=rf"binance: {name}: the venue asks to wait until 2030-01-01 02:\d\d:\d\d UTC, longer than",
            requests=0,
            check=asked(path, 1),
        ),
        Case(
            f"{what}: 418 with Retry-After",
            at(path, wrong.status(418, 300)),
            "blocked: nothing more is asked of the venue by any partition; the error says from when on one may",
            blocked=r"binance: the venue has banned this address \(HTTP 418\).* before 2030-01-01 00:05:\d\d UTC",
            requests=0,
            check=asked(path, 1, banned),
        ),
        once("5xx, once", FIVE),
        always("5xx in every attempt", FIVE, "HTTP 503, .*upstream is away"),
        once("an answer that hangs, once", hang, quick=True),
        always("answers that hang, always", hang, "RequestTimeout", quick=True),
        once("truncated JSON, once", half),
        always("truncated JSON, always", half, r"the answer is truncated, or no JSON: \d+ characters"),
        once("connection reset in the middle, once", reset),
        always("connection reset in the middle, always", reset, "NetworkError"),
        once("a web page with status 200, once", Answer(body=b"<html>try later</html>")),
    ]


ENDPOINTS = [
    *cases("exchange information", "its markets", "/api/v3/exchangeInfo"),
    *cases("server time", "its clock", "/api/v3/time"),
    Case(
        "exchange information: no markets",
        lambda place: [
            place.exchange.faults.elsewhere(f"/{api}/exchangeInfo", Answer(body=b'{"symbols":[]}'), on=None)
            for api in ("api/v3", "fapi/v1", "dapi/v1")
        ],
        "blocked after the retries, before any bar is asked for",
        blocked=r"binance: its markets: no answer in 3 attempt\(s\); the last: the venue lists no markets",
        requests=0,
        check=asked("/api/v3/exchangeInfo", 3),
    ),
    Case(
        "server time: no time in the answer",
        lambda place: place.exchange.faults.elsewhere("/time", Answer(body=b'{"serverTime":"soon"}'), on=None),
        "blocked after the retries, before any bar is asked for",
        blocked=r"binance: its clock: no answer in 3 attempt\(s\); the last: ",
        requests=0,
        check=asked("/api/v3/time", 3),
    ),
]
