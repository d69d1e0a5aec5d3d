"""What is done once a bar, not once an order, and what is made a quicker way, is the same as before."""

from __future__ import annotations

import datetime as dt
from dataclasses import fields, replace
from decimal import Decimal

import pytest

from lem.advice.amounts import SMALLEST, as_told
from lem.advice.clock import moment
from lem.advice.records import ArrivalRecord
from lem.errors import RegistryError
from lem.registry import Registry
from tests.lem.advice.desk import NOON, buy


def test_records_compare_and_hash_by_their_fields():
    one = ArrivalRecord("model", NOON, 0.01, 100.0, 50.0)
    assert (one, hash(one)) == (replace(one), hash(replace(one)))
    assert one != replace(one, sigma=0.02)
    assert len(fields(one)) == len(ArrivalRecord.__slots__) == 5


@pytest.mark.parametrize("number", [0.0, -0.0, 0.1, 1 / 3, 1.0, 1e-4, 1.2345678901234567e-4, 1e15, 1e16, 1e-5, 3e-30])
def test_a_float_is_the_decimal_that_it_is_written_as(number):
    assert str(as_told(number)) == str(Decimal(repr(number + 0.0)))


def test_what_lies_below_the_smallest_place_is_cut_off():
    assert as_told(1.23456789e-29) == 12 * SMALLEST


@pytest.mark.parametrize("number", [float("inf"), float("nan")])
def test_what_is_no_number_has_no_decimals(number):
    with pytest.raises(TypeError):
        as_told(number)


def test_which_bar_is_next_follows_the_clock_forward_and_back(desk, clock):
    advisor = desk.advisor(clock)
    for seconds in (0, 1, 3599.9, 3600, 43_199, 43_200, 86_400, 1800, 0, -0.5):
        clock.set(NOON + dt.timedelta(seconds=seconds))
        assert advisor.now() == moment(desk.universe, clock.now())


def test_what_answers_say_of_a_model_is_read_while_the_market_is_brought_up(desk, clock, monkeypatch):
    advisor, asked, whole = desk.advisor(clock), [], Registry.judged
    advisor.submit(buy(desk.universe, min_bars=6))
    advisor.advise()
    monkeypatch.setattr(Registry, "judged", lambda *given: asked.append(given[1:]) or whole(*given))
    clock.sleep(3600)
    advisor.refresh()
    assert len(asked) == 1
    assert len(advisor.advise().slices) == 1
    assert len(asked) == 1


def test_a_market_is_brought_up_though_what_is_said_of_a_model_cannot_be_read(desk, clock, monkeypatch):
    advisor = desk.advisor(clock)
    advisor.submit(buy(desk.universe, min_bars=6))
    advisor.advise()
    clock.sleep(3600)

    def broken(*given: object) -> None:
        raise RegistryError("cannot be read")

    with monkeypatch.context() as patch:
        patch.setattr(Registry, "judged", broken)
        assert advisor.refresh()[1] == {}
    assert len(advisor.advise().slices) == 1
