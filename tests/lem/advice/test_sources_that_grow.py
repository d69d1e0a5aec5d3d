"""A process that follows the market sees what its source has had since it was asked last."""

from __future__ import annotations

import datetime as dt

import pytest

from lem.errors import AdviceError
from lem.sources import open_source
from tests.lem.advice.desk import NOON, buy

HOUR = dt.timedelta(hours=1)


@pytest.fixture
def growing(desk_of, make_universe):
    """A desk whose bars are in files, and `write(until)`, which writes the bars that open before."""
    desk = desk_of(source={"kind": "files", "url": "{data}/{symbol}.csv"})
    market = open_source(make_universe(), "")
    bars = market.fetch("AAA-USD", NOON - dt.timedelta(days=16), NOON + 6 * HOUR).table

    def write(until: dt.datetime) -> None:
        there = bars[bars["ts"] < until].drop(columns=["source", "source_row", "adjustment"])
        there.to_csv(desk.folder / "AAA-USD.csv", index=False)

    return desk, write


def test_a_file_that_grows_is_read_again_for_each_bar(growing, clock):
    desk, write = growing
    write(NOON)
    advisor = desk.advisor(clock, open_source(desk.universe, str(desk.folder)))
    advisor.submit(buy(desk.universe, min_bars=6))
    assert advisor.advise("one").slices[0].number == 1
    for number in (2, 3):
        clock.sleep(3600)
        with pytest.raises(AdviceError, match=rf"the bars from 2024-01-18 1{number}:00 to .* yet"):
            advisor.advise("one")
        write(NOON + (number - 1) * HOUR)
        assert advisor.advise("one").slices[0].number == number
