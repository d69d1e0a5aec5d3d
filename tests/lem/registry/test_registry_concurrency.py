"""Two processes on one SQLite file; on a server see test_registry_postgresql.py."""

from __future__ import annotations

from tests.lem.registry.promoters import decide_at_once, promote_at_once


def test_two_processes_that_promote_at_once_lose_no_decision_and_leave_one_a_date(url, make_model):
    promote_at_once(url, (make_model(10), make_model(11)))


def test_two_processes_that_decide_at_once_each_know_what_the_other_decided(url, make_model):
    decide_at_once(url, (make_model(10), make_model(11)))
