"""A venue whose pages, bars, clock or names are not what was asked for: cases in the order of docs/faults.md."""

from __future__ import annotations

import datetime as dt

from lem.sources.limits import BACKOFF_SECONDS
from tests.exchange import faults as wrong
from tests.exchange.faults import Answer
from tests.exchange.venue_cases import END, NONE_LEFT, START, Case, Place, always, ms, now, rows, waited


def repeat(*numbers: int):
    def do(place: Place) -> None:
        place.exchange.faults.repeat = numbers or range(2, 1000)

    return do


def past_the_end(rows):
    """The bar that follows the page, which is not finished yet."""
    last = rows[-1]
    return [*rows, [last[0] + 3_600_000, *last[1:]]]


def renamed(place: Place) -> None:
    place.exchange.rename("AAAUSDT", "NEWUSDT")


CONTENT = [
    Case(
        "an empty page, once",
        rows(wrong.nothing, on=(3,)),
        "asked again after a pause, all bars",
        requests=5,
        check=waited(BACKOFF_SECONDS),
    ),
    Case(
        "an empty page, always",
        rows(wrong.without(*map(ms, range(6, 12)))),
        "asked again, then blocked at validation: the bars that are missing",
        blocked=r"missing bars: 6 from 2024-01-05 06:00 to 2024-01-05 12:00 UTC",
        requests=6,
    ),
    Case("a page that repeats the one before it, once", repeat(2), "asked again, all bars", requests=5),
    Case(
        "a page that repeats the one before it, always",
        repeat(),
        "blocked after the retries",
        blocked=NONE_LEFT + "the answer is the page before this one, again",
        requests=4,
    ),
    Case(
        "pages shorter than the venue says",
        rows(lambda rows: list(rows[:4])),
        "the rest of each page is asked for, all bars",
        requests=8,
    ),
    Case(
        "pages of two bars",
        rows(lambda rows: list(rows[:2])),
        "asked for bar by bar, as long as there are new ones, all bars",
        requests=20,
    ),
    Case(
        "rows out of order",
        rows(wrong.reversed_rows, on=(2,)),
        "blocked at validation: rows and rule",
        blocked=r"time strictly increasing: binance/AAAUSDT/1h:11 \(2024-01-05 10:00 follows a later bar\)",
        requests=4,
    ),
    Case(
        "exclusive `since`",
        rows(wrong.without_first),
        "the first bar of each page is asked for from one bar earlier, all bars",
        requests=8,
    ),
    Case(
        "an unfinished last candle in the window",
        now(now=START + dt.timedelta(hours=20, minutes=30)),
        "blocked before any bar is asked for: until when the venue has closed bars",
        blocked=r"the venue has closed bars only until 2024-01-05 20:00 UTC .*grace_seconds is 60",
        requests=0,
    ),
    Case(
        "a last candle that has ended, but not for source.grace_seconds",
        now(now=END + dt.timedelta(seconds=59)),
        "blocked before any bar is asked for",
        blocked=r"closed bars only until 2024-01-05 23:00 UTC",
        requests=0,
    ),
    Case(
        "an unfinished candle behind the end that was asked for, once",
        rows(past_the_end, on=(4,)),
        "asked again, all bars",
        requests=5,
    ),
    Case(
        "an unfinished candle behind the end that was asked for, always",
        rows(past_the_end),
        "blocked after the retries",
        blocked=r"1 of 7 rows lie outside of the page, the first at 2024-01-05 06:00 UTC",
        requests=3,
    ),
    Case(
        "identical duplicates",
        rows(wrong.twice(ms(8))),
        "they collapse, and are counted",
        requests=4,
        duplicates=1,
    ),
    Case(
        "conflicting duplicates",
        rows(wrong.twice(ms(8), volume="1")),
        "blocked at validation: both rows",
        blocked=r"conflicting duplicates of 2024-01-05 08:00: (binance/AAAUSDT/1h:9) .* and \1 .*volume 1,",
        requests=4,
    ),
    Case("missing bars, once", rows(wrong.without(ms(7), ms(9)), on=(2,)), "asked again, all bars", requests=5),
    Case(
        "the first bar of a page is missing, once",
        rows(wrong.without(ms(6)), on=(2,)),
        "asked again from one bar earlier, which is not taken twice: all bars",
        requests=5,
    ),
    Case(
        "missing bars, always",
        rows(wrong.without(ms(7), ms(9))),
        "asked again, then blocked at validation, with the lines for the table of outages",
        blocked=r"missing bars: 1 from 2024-01-05 07:00 to 2024-01-05 08:00 UTC",
        requests=6,
    ),
    Case(
        "bars that change while the gap is asked for",
        lambda place: (
            place.exchange.faults.rows(wrong.without(ms(7)), on=(2,)),
            place.exchange.faults.rows(wrong.without(ms(9)), on=(2,)),
            place.exchange.faults.rows(wrong.instead(ms(8), volume="1"), on=(3,)),
        ),
        "blocked at validation: both versions of the bar",
        blocked=r"conflicting duplicates of 2024-01-05 08:00",
        requests=5,
    ),
    Case(
        "NaN for a price",
        rows(wrong.instead(ms(8), low="NaN")),
        "blocked at validation: row and rule",
        blocked=r"prices are finite: binance/AAAUSDT/1h:9 \(",
    ),
    Case(
        "a negative price",
        rows(wrong.instead(ms(8), low="-1.5")),
        "blocked at validation: row and rule",
        blocked=r"price > 0: binance/AAAUSDT/1h:9 \(",
    ),
    Case(
        "text for a price",
        rows(wrong.instead(ms(8), low="n/a")),
        "blocked after the retries",
        blocked=NONE_LEFT + "ValueError: could not convert string to float: 'n/a'",
    ),
    Case(
        "quote volume that is missing in one row",
        rows(wrong.instead(ms(8), quote_volume=None)),
        "blocked at validation",
        blocked=r"1h:9",
    ),
    Case(
        "this machine's clock is years ahead",
        now(now=START + dt.timedelta(hours=20, minutes=30)),
        "it is never asked: blocked until the venue's clock says that the bars are closed",
        blocked=r"closed bars only until 2024-01-05 20:00 UTC",
        requests=0,
    ),
    Case(
        "the venue's clock is a day ahead of the Date of its own answers",
        now(now=END + dt.timedelta(days=1), date=START + dt.timedelta(hours=20, minutes=30)),
        "the earlier one counts: blocked",
        blocked=r"closed bars only until 2024-01-05 20:00 UTC",
        requests=0,
    ),
    Case(
        "a symbol that the venue has renamed",
        renamed,
        "blocked: nearest names, and where renames are listed",
        blocked=r"binance has no market 'AAA-USDT': did you mean .*assets\.AAA-USDT\.renames",
        requests=0,
    ),
    Case(
        "a market that is gone after its name was looked up",
        always(Answer(400, body=b'{"code":-1121,"msg":"Invalid symbol."}')),
        "blocked at once, without retries",
        blocked=r"the venue refused: HTTP 400, BadSymbol: .*Invalid symbol",
        requests=1,
    ),
    Case(
        "a refusal with status 200",
        always(Answer(body=b'{"code":-1121,"msg":"Invalid symbol."}')),
        "blocked at once, without retries",
        blocked=r"the venue refused: BadSymbol: .*Invalid symbol",
        requests=1,
    ),
    Case(
        "a country that the venue does not serve (451)",
        always(Answer(451, body=b'{"code":0,"msg":"Service unavailable from a restricted location"}')),
        "blocked at once, without retries, in the venue's words",
        blocked=r"the venue refused: HTTP 451, .*restricted location",
        requests=1,
    ),
]
