"""Limits and backoff, on a clock that does not wait."""

from __future__ import annotations

import datetime as dt
import gc
import threading
import weakref
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lem.errors import SourceError
from lem.sources.limits import (
    BACKOFF_SECONDS,
    CLOCK,
    LONGEST_BACKOFF_SECONDS,
    LONGEST_RETRY_AFTER_SECONDS,
    Limiter,
    backoff,
    limiter,
    retry_after,
)
from tests.exchange.clock import FakeClock


@given(
    interval=st.floats(0.001, 10),
    steps=st.lists(st.tuples(st.floats(0, 20), st.floats(0.1, 20)), min_size=2, max_size=30),
)
def test_no_request_comes_before_the_cost_of_the_one_before_it_is_over(interval, steps):
    clock = FakeClock()
    venue = Limiter("venue", interval, clock)
    free = 0.0
    for idle, cost in steps:
        clock.elapsed += idle
        asked = clock.elapsed
        venue.wait(cost)
        assert clock.elapsed >= free - 1e-9
        assert clock.elapsed <= max(asked, free) + 1e-9, "no wait is longer than it has to be"
        free = clock.elapsed + interval * cost


class Hesitant(float):
    """A cost that takes a moment to be counted: what other threads do between the look and the entry is seen."""

    def __rmul__(self, other):
        CLOCK.sleep(0.002)
        return other * float(self)


def test_threads_share_the_turns():
    venue, interval, times = Limiter("venue", 0.01, CLOCK), 0.01, []
    start = CLOCK.monotonic()

    def ask():
        for _ in range(4):
            venue.wait(Hesitant(1))
            times.append(CLOCK.monotonic())

    threads = [threading.Thread(target=ask) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(times) == 20
    assert max(times) - start >= 19 * interval


def test_a_pause_holds_for_everyone_and_is_never_made_shorter():
    clock = FakeClock()
    venue = Limiter("venue", 0.1, clock)
    venue.pause(30)
    venue.pause(1)
    venue.wait()
    assert clock.elapsed == 30


def test_a_ban_refuses_at_once_says_until_when_and_ends():
    clock = FakeClock(dt.datetime(2024, 5, 6, 7, 8, 9, tzinfo=dt.UTC))
    venue = Limiter("venue", 0.1, clock)
    venue.ban(120)
    venue.ban(60)
    with pytest.raises(SourceError, match=r"^venue: .*HTTP 418.*before 2024-05-06 07:10:09 UTC"):
        venue.wait()
    assert clock.slept == []
    clock.elapsed += 120
    venue.wait()


def test_one_limiter_a_venue_and_url_and_the_slowest_wish_counts():
    clock = FakeClock()
    first = limiter("venue", "http://a", 0.1, clock)
    assert limiter("venue", "http://a", 1.0, clock) is first
    assert limiter("venue", "http://a", 0.2, clock) is first
    assert limiter("venue", "http://b", 0.1, clock) is not first
    assert limiter("other", "http://a", 0.1, clock) is not first
    first.wait()
    first.wait()
    assert clock.elapsed == 1.0


def test_a_limiter_belongs_to_one_clock_for_as_long_as_the_process_lives():
    """A clock that came later, in the memory of one that is gone, would take over the turns of that one."""
    clock = FakeClock()
    first, kept = limiter("venue", "http://c", 0.1, clock), weakref.ref(clock)
    assert limiter("venue", "http://c", 0.1, FakeClock()) is not first
    del clock, first
    gc.collect()
    assert kept() is not None


def test_the_machines_clock_is_in_utc_waits_and_draws_from_all_of_the_range():
    assert CLOCK.now().utcoffset() == dt.timedelta(0)
    before = CLOCK.monotonic()
    CLOCK.sleep(0.02)
    assert CLOCK.monotonic() - before >= 0.02
    drawn = [CLOCK.draw(2.0) for _ in range(500)]
    assert 0 <= min(drawn) < 0.2 < 1.8 < max(drawn) <= 2


@pytest.mark.parametrize(
    ("attempt", "upper"), [(0, 0.5), (1, 1), (2, 2), (3, 4), (6, 32), (7, 60), (8, 60), (10_000, 60)]
)
def test_backoff_doubles_from_half_a_second_to_a_minute(attempt, upper):
    assert backoff(attempt, FakeClock()) == upper


def test_backoff_is_drawn_and_not_always_the_bound():
    class Half(FakeClock):
        def draw(self, upper):
            return upper / 2

    assert backoff(3, Half()) == 2.0


@given(attempt=st.integers(0, 10_000))
def test_any_backoff_is_within_its_bound(attempt):
    upper = min(LONGEST_BACKOFF_SECONDS, BACKOFF_SECONDS * 2.0 ** min(attempt, 100))
    assert backoff(attempt, FakeClock()) == upper
    assert 0 <= backoff(attempt, CLOCK) <= upper


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        ("1.5", 1.5),
        ("-3", 0.0),
        ("", None),
        (None, None),
        ("soon", None),
        ("nan", None),
        ("inf", None),
        ("1e300", LONGEST_RETRY_AFTER_SECONDS),
    ],
)
def test_retry_after_is_read_as_seconds(value, seconds):
    assert retry_after(value, FakeClock()) == seconds


def test_retry_after_is_read_as_a_date():
    clock = FakeClock(dt.datetime(2024, 1, 1, tzinfo=dt.UTC))
    assert retry_after(format_datetime(clock.now() + dt.timedelta(seconds=90), usegmt=True), clock) == 90
    assert retry_after(format_datetime(clock.now() - dt.timedelta(days=1), usegmt=True), clock) == 0
    assert retry_after("Mon, 01 Jan 2024 01:01:30 +0100", clock) == 90
    assert retry_after("Mon, 01 Jan 2024 00:01:30 -0000", clock) == 90, "a date without a time zone is in UTC"
    assert retry_after("Fri, 01 Jan 2044 00:00:00 GMT", clock) == LONGEST_RETRY_AFTER_SECONDS


@given(text=st.text(max_size=40))
def test_any_retry_after_is_seconds_or_nothing(text):
    seconds = retry_after(text, FakeClock())
    assert seconds is None or 0 <= seconds <= LONGEST_RETRY_AFTER_SECONDS
