"""A paper venue beside a desk: orders end as its fills say; what is told twice, late or after a crash counts once."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from decimal import Decimal

import pytest

from lem.advice.amounts import total
from lem.advice.fills import newest
from lem.errors import PaperError
from lem.paper.book import Book
from lem.paper.client import NoAnswerError, RefusedError, UnavailableError
from lem.paper.own_desk import OwnDesk
from lem.paper.venue import Turn
from tests.lem.advice.desk import NOON, buy

HOUR = dt.timedelta(hours=1)
WILD = {
    "partial": 0.4,
    "parts": 3,
    "delay": 5400.0,
    "duplicates": 0.3,
    "corrections": 0.4,
    "participation": 1.0,
    "seed": 5,
}


def send(advisor, desk, count=3, mode="confirm", **changes):
    for n in range(count):
        advisor.submit(replace(buy(desk.universe, f"o{n}", size=10.0, min_bars=1, **changes), mode=mode))


def check_books(advisor, venue, count=3):
    """Every fill of the venue's counts at the desk, once and as it was, and nothing else does."""
    for n in range(count):
        told = [fill for fill in newest(advisor.fills(f"o{n}")) if fill.amount and not fill.is_total]
        content = {(f.fill_id, f.amount, f.price, f.fee, f.traded_at) for f in told}
        own = venue.book.fills(f"o{n}")
        assert content == {(f.fill_id, f.amount, f.price, f.fee, f.traded_at) for f in own}
        state = advisor.order(f"o{n}")
        if state.order.mode == "confirm":
            assert state.filled == total([fill.amount for fill in own])
        assert state.left + state.filled == Decimal(10)


@pytest.mark.parametrize("mode", ["assume", "confirm"])
def test_orders_end_with_every_slice_filled_where_the_venue_fills_all(mode, desk, clock, venue_of):
    advisor = desk.advisor(clock)
    send(advisor, desk, mode=mode)
    venue = venue_of(desk, OwnDesk(advisor), participation=1.0)
    turns = list(venue.follow())
    assert all(isinstance(turn, Turn) and not turn.refused for turn in turns)
    assert [advisor.order(f"o{n}").status for n in range(3)] == ["finished"] * 3
    check_books(advisor, venue)
    assert all(total([f.amount for f in venue.book.fills(f"o{n}")]) == 10 for n in range(3))


@pytest.mark.parametrize("mode", ["assume", "confirm"])
def test_what_is_partial_late_told_twice_corrected_or_broken_counts_once_and_as_it_was(mode, desk, clock, venue_of):
    advisor = desk.advisor(clock)
    send(advisor, desk, mode=mode)
    venue = venue_of(desk, OwnDesk(advisor), **WILD)
    told = [turn for turn in venue.follow() if isinstance(turn, Turn)]
    assert not [turn.refused for turn in told if turn.refused]
    assert sum(len(turn.told) for turn in told) > sum(len(fills) for turn in told for _, fills in turn.settled)
    check_books(advisor, venue)
    assert all(advisor.order(f"o{n}").left >= 0 for n in range(3)), (
        "never more than was ordered, however late it is told"
    )


class Killed(BaseException):
    """The process ends here."""


class Breaking(OwnDesk):
    """A desk at which the venue dies: before something is told, or after it was told and before that is written."""

    def __init__(self, advisor, after, when):
        super().__init__(advisor)
        self.after, self.when = after, when

    def tell(self, message):
        self.after -= 1
        if self.after == 0 and self.when == "before":
            raise Killed
        super().tell(message)
        if self.after == 0:
            raise Killed


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("mode", ["assume", "confirm"])
def test_a_venue_that_dies_while_it_tells_goes_on_and_nothing_is_lost_or_counted_twice(
    when, mode, desk, clock, venue_of, tmp_path
):
    advisor, deaths = desk.advisor(clock), 0
    send(advisor, desk, mode=mode)
    for after in (1, 2, 3, 5, 8, 1000):
        venue = venue_of(desk, Breaking(desk.advisor(clock), after, when), **WILD)
        try:
            for turn in venue.follow():
                assert not turn.refused
        except Killed:
            deaths += 1
            # What a process that is killed has not committed is rolled back.
            venue.book.close()
    assert deaths >= 4
    check_books(advisor, venue)


def test_a_slice_that_the_venue_never_got_counts_as_not_traded_where_it_would_be_assumed(desk, clock, venue_of):
    advisor = desk.advisor(clock)
    send(advisor, desk, 1, mode="assume")
    venue = venue_of(desk, OwnDesk(advisor), participation=1.0)
    assert len(venue.turn().accepted) == 1
    for _ in range(2):
        clock.sleep(3600)
        missed = advisor.advise("o0").slices[0]
        clock.sleep(0)
    assert missed.amount > 0
    clock.sleep(3600)
    venue.turn()
    venue.turn()
    filled = [advice.exact_filled for advice in advisor.history("o0")]
    assert filled[0] > 0
    assert filled[1:3] == [0, 0]
    assert filled[3] is None, "its own bar is not over"


def test_an_order_that_ended_with_a_slice_that_the_venue_never_got_goes_on_with_it(desk, clock, venue_of):
    advisor = desk.advisor(clock)
    send(advisor, desk, 1, mode="assume")
    venue = venue_of(desk, OwnDesk(advisor), participation=1.0)
    venue.turn()
    clock.sleep(3600)
    venue.turn()
    while advisor.order("o0").status == "live":
        clock.sleep(3600)
        advisor.advise()
    assert advisor.order("o0").left == 0, "as far as the desk knows"
    told = [turn for turn in venue.follow() if isinstance(turn, Turn) and turn.told]
    assert told
    state, own = advisor.order("o0"), total([fill.amount for fill in venue.book.fills("o0")])
    assert (state.filled, state.left) == (own, 10 - own)
    assert not venue.book.open_orders()


def test_an_order_that_ended_before_the_venue_heard_of_it_was_not_traded(desk, clock, venue_of):
    advisor = desk.advisor(clock)
    venue = venue_of(desk, OwnDesk(advisor), participation=1.0)
    venue.turn()
    send(advisor, desk, 1, mode="assume", max_bars=2)
    for _ in range(3):
        advisor.advise()
        clock.sleep(3600)
    assert advisor.order("o0").status == "finished"
    list(venue.follow())
    assert (advisor.order("o0").status, advisor.order("o0").filled) == ("expired", 0)


class HangsUp(OwnDesk):
    """A desk that is gone as soon as all is told, if so wanted: the venue then misses the bar."""

    hangs_up = False

    def advise(self):
        if self.hangs_up:
            raise NoAnswerError("gone")
        return super().advise()


def test_an_order_that_goes_on_after_the_venue_saw_it_end_is_heard_of_again(desk, clock, venue_of):
    advisor = desk.advisor(clock)
    send(advisor, desk, 1, mode="assume", side="sell")  # the model finishes it before its last bar
    client = HangsUp(advisor)
    venue = venue_of(desk, client, participation=1.0)
    venue.turn()
    clock.sleep(3600)
    client.hangs_up = True
    with pytest.raises(NoAnswerError):
        venue.turn()
    while advisor.order("o0").status == "live":
        advisor.advise()
        clock.sleep(3600)
    client.hangs_up = False
    venue.turn()
    assert advisor.order("o0").status == "finished"
    assert not venue.book.open_orders()

    client.hangs_up = True
    clock.sleep(1)
    with pytest.raises(NoAnswerError):
        venue.turn()
    assert advisor.order("o0").status == "live", "it was told that the missed slices were not filled"
    missed = [advice.amount for advice in advisor.advise().slices]
    while advisor.order("o0").status == "live":
        clock.sleep(3600)
        missed += [advice.amount for advice in advisor.advise().slices]
    assert sum(missed) > 0
    clock.sleep(3600)
    client.hangs_up = False
    list(venue.follow())
    own = total([fill.amount for fill in venue.book.fills("o0")])
    assert (advisor.order("o0").filled, advisor.order("o0").left) == (own, 10 - own)


def test_slices_of_before_the_books_began_are_not_touched(desk, clock, venue_of):
    advisor = desk.advisor(clock)
    send(advisor, desk, 1, mode="assume")
    advisor.advise()
    clock.sleep(3600)
    venue_of(desk, OwnDesk(advisor)).turn()
    assert advisor.history("o0")[0].exact_filled is None


def test_a_slice_of_the_bar_in_which_the_books_began_that_was_never_taken_was_not_traded(desk, clock, venue_of):
    advisor = desk.advisor(clock)
    send(advisor, desk, 1, mode="assume")
    advisor.advise()
    venue = venue_of(desk, OwnDesk(advisor))
    clock.sleep(600)
    venue.book.since(clock.now())  # and there it died, before it took the slice
    clock.sleep(3000)
    for _ in range(2):
        venue.turn()
    assert advisor.history("o0")[0].exact_filled == 0


def test_fills_of_an_order_that_was_closed_meanwhile_are_refused_by_the_desk_and_kept_by_the_venue(
    desk, clock, venue_of
):
    advisor = desk.advisor(clock)
    send(advisor, desk, 1)
    venue = venue_of(desk, OwnDesk(advisor), participation=1.0)
    venue.turn()
    advisor.cancel("o0")
    advisor.close("o0")
    clock.sleep(3600)
    turn = venue.turn()
    assert "was closed" in turn.refused[0][1]
    assert [reason for _, reason in venue.book.refused()] == [turn.refused[0][1]]
    assert venue.turn().is_over


def test_nothing_is_filled_before_its_bar_has_closed_and_a_bar_that_is_not_there_waits(desk, clock, venue_of):
    advisor = desk.advisor(clock)
    send(advisor, desk, 1)
    venue = venue_of(desk, OwnDesk(advisor), participation=1.0)
    venue.turn()
    clock.sleep(3599)
    assert venue.turn().settled == []
    clock.sleep(1)
    bars, venue._bars = venue._bars, _Absent()
    turn = venue.turn()
    assert (turn.settled, "not there yet" in turn.problems[0]) == ([], True)
    venue._bars = bars
    assert len(venue.turn().settled) == 1


class _Absent:
    def of(self, child, now):
        from lem.errors import AdviceError

        raise AdviceError(f"{child.asset}: not there yet")


class Silent(OwnDesk):
    """A desk that answers every other time only, and refuses one order's fills for now."""

    def __init__(self, advisor):
        super().__init__(advisor)
        self.asked = 0

    def market(self):
        self.asked += 1
        if self.asked % 2:
            raise NoAnswerError("nobody is there")
        return super().market()

    def tell(self, message):
        if message.order_id == "o1" and self.asked < 12:
            raise UnavailableError("503: its row cannot be read")
        super().tell(message)


def test_while_the_desk_does_not_answer_the_venue_waits_and_nothing_is_lost(desk, clock, venue_of):
    advisor = desk.advisor(clock)
    send(advisor, desk)
    venue = venue_of(desk, Silent(advisor), **WILD | {"delay": 0.0})
    turns = list(venue.follow())
    assert {str(turn) for turn in turns if not isinstance(turn, Turn)} == {"nobody is there"}
    assert any("503" in problem for turn in turns if isinstance(turn, Turn) for problem in turn.problems)
    assert not [turn.refused for turn in turns if isinstance(turn, Turn) and turn.refused]
    check_books(advisor, venue)


def test_books_are_of_one_venue_and_one_universe(tmp_path):
    path = tmp_path / "books" / "paper.sqlite"
    book = Book(path, "tiny")
    with pytest.raises(PaperError, match="locked; it is open elsewhere: one venue a file"):
        Book(path, "tiny")
    assert book.since(NOON) == NOON
    book.close()
    assert Book(path, "tiny").since(NOON + HOUR) == NOON


def test_books_of_another_universe_or_no_books_are_refused(tmp_path):
    Book(tmp_path / "one.sqlite", "tiny").close()
    with pytest.raises(PaperError, match="the books are of universe tiny; allowed: those of other"):
        Book(tmp_path / "one.sqlite", "other")
    (tmp_path / "two.sqlite").write_text("no database, and long enough to be told from one")
    with pytest.raises(PaperError, match=r"two\.sqlite: file is not a database"):
        Book(tmp_path / "two.sqlite", "tiny")


def test_what_the_desk_refuses_is_an_error_of_its_own(desk, clock):
    client = OwnDesk(desk.advisor(clock))
    with pytest.raises(RefusedError, match="there is no order"):
        client.order("nothing")
