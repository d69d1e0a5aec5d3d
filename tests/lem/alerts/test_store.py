"""What was told: once, by one of several processes, until it is over."""

from __future__ import annotations

import datetime as dt
from concurrent.futures import ThreadPoolExecutor

import pytest

from lem.alerts.problem import NIGHT, Findings, Problem
from lem.alerts.store import CLAIM, AlertStore

NOW = dt.datetime(2024, 1, 21, 1, tzinfo=dt.UTC)
FAILED = Problem("tiny", NIGHT, "2024-01-21", "The night of 2024-01-21 has failed.", "lem night -u tiny")
FOUND, NOTHING = {NIGHT: Findings([FAILED])}, {NIGHT: Findings([])}


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path}/registry.sqlite"


def test_a_problem_is_told_once_and_that_it_is_over_once_across_restarts(url):
    assert AlertStore(url).claim("tiny", FOUND, NOW).new == [FAILED]
    AlertStore(url).told([FAILED], NOW)
    assert AlertStore(url).claim("tiny", FOUND, NOW).new == []
    over = AlertStore(url).claim("tiny", NOTHING, NOW).over
    assert over == [FAILED]
    AlertStore(url).cleared(over)
    assert AlertStore(url).claim("tiny", NOTHING, NOW).over == []
    assert AlertStore(url).claim("tiny", FOUND, NOW).new == [FAILED]


def test_of_many_that_find_it_at_once_one_tells_it(url):
    stores = [AlertStore(url) for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        claimed = list(pool.map(lambda store: store.claim("tiny", FOUND, NOW).new, stores))
    assert sorted(map(len, claimed)) == [0] * 7 + [1]


def test_what_could_not_be_told_is_told_by_the_next_look_and_forgotten_if_it_is_over(url):
    store = AlertStore(url)
    store.give_back(store.claim("tiny", FOUND, NOW).new)
    assert store.claim("tiny", FOUND, NOW).new == [FAILED]
    store.give_back([FAILED])
    assert store.claim("tiny", NOTHING, NOW).over == []
    assert store.claim("tiny", NOTHING, NOW).over == []


def test_a_claim_of_a_killed_process_ends_by_itself(url):
    store = AlertStore(url)
    assert store.claim("tiny", FOUND, NOW).new == [FAILED]
    assert store.claim("tiny", FOUND, NOW + CLAIM / 2).new == []
    assert store.claim("tiny", FOUND, NOW + 2 * CLAIM).new == [FAILED]


def test_what_lasts_and_other_kinds_are_not_over(url):
    store = AlertStore(url)
    store.told(store.claim("tiny", FOUND, NOW).new, NOW)
    assert store.claim("tiny", {NIGHT: Findings([], lambda subject: subject == FAILED.subject)}, NOW).over == []
    assert store.claim("tiny", {"drift": Findings([])}, NOW).over == []
    assert store.claim("other", NOTHING, NOW).over == []


def test_the_heartbeat_of_a_night_is_sent_once(url):
    store, date = AlertStore(url), dt.date(2024, 1, 21)
    assert store.claim_heartbeat("tiny", date, NOW)
    assert not store.claim_heartbeat("tiny", date, NOW)
    store.heartbeat("tiny", date, NOW, sent=False)
    assert store.claim_heartbeat("tiny", date, NOW)
    store.heartbeat("tiny", date, NOW, sent=True)
    assert not store.claim_heartbeat("tiny", date, NOW)
    assert store.claim_heartbeat("tiny", date + dt.timedelta(days=1), NOW)
    assert store.claim("tiny", NOTHING, NOW).over == []
