"""Slices that are written column by column are, to the byte, what each record on its own would be."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from decimal import Decimal

import orjson
import pytest

from lem.advice.answers import Advice, advices, columns_of
from lem_pipeline.service.rendering import slices_json
from tests.lem.advice.desk import HOURLY, NOON, StoppedClock, buy, make_desk

AMOUNTS = (("amount", "exact_amount"), ("remaining", "exact_remaining"), ("filled", "exact_filled"))


def one_by_one(told: list[Advice]) -> bytes:
    """The JSON of records, each written by itself."""
    rows = []
    for advice in told:
        row = dict(vars(advice))
        for name, exact in AMOUNTS:
            if row[exact] is not None:
                row[exact] = f"{row[exact]:f}"
                row[name] = orjson.Fragment(row[exact])
        row["limit_price"] = None if advice.limit_price is None else f"{advice.limit_price:f}"
        rows.append(row)
    return orjson.dumps(rows, option=orjson.OPT_UTC_Z)


@pytest.fixture
def told(tmp_path, make_universe, tiny_keys) -> list[Advice]:
    desk, clock = make_desk(tmp_path, make_universe(**tiny_keys(**HOURLY))), StoppedClock(NOON)
    advisor = desk.advisor(clock)
    for number in range(3):
        advisor.submit(buy(advisor.universe, f"o{number}", min_bars=4, size=1.5 + number))
    advisor.advise()
    clock.sleep(3600)
    advised = advisor.advise()
    assert advised.slices == advices(advised.columns)
    return advised.slices


def test_slices_are_written_as_each_of_them_alone_would_be(told):
    assert len(told) == 3
    assert slices_json(columns_of(told)) == one_by_one(told)
    assert slices_json(columns_of(told[:1])) == one_by_one(told[:1])
    assert slices_json(columns_of([])) == b"[]"


@pytest.mark.parametrize(
    "changes",
    [
        {
            "order_id": 'a","b',
            "asset": ",",
            "expected_from": 'größer; "quoted", \\ and\nmore',
            "model_verdict": "%s {}",
        },
        {"share": -0.0, "probability": 1e-7, "last_close": 1e16, "gain_bps": float("nan"), "achieved": None},
        {"benchmark_price": None, "expected_gain_bps": None, "expected_basis": None, "seconds_left": 0.0},
        {"exact_amount": Decimal("0.000000000000000000000000000012"), "exact_remaining": Decimal("1E+3")},
        {"exact_filled": Decimal("1.50"), "filled": 1.5, "limit_price": Decimal("1E-9"), "repeated": True},
        {"exact_filled": Decimal("1.5"), "filled": 1.5, "finish": True, "number": 12, "model_age_days": -1},
        {"bar": NOON + dt.timedelta(microseconds=5), "bar_end": NOON, "advised_at": NOON + dt.timedelta(seconds=1)},
    ],
)
def test_whatever_a_field_has_it_is_written_as_it_would_be_alone(told, changes):
    one, other, third = told
    mixed = [one, replace(other, **changes), replace(third, share=0.0, exact_filled=Decimal("1.500"), filled=1.5)]
    assert slices_json(columns_of(mixed)) == one_by_one(mixed)
    same = [replace(advice, **changes) for advice in told]
    assert slices_json(columns_of(same)) == one_by_one(same)


def test_equal_numbers_keep_each_its_own_digits(told):
    one = replace(told[0], share=0.0, exact_amount=Decimal("1.5"), limit_price=Decimal("2"))
    other = replace(one, share=-0.0, exact_amount=Decimal("1.50"), limit_price=Decimal("2.0"))
    assert slices_json(columns_of([one, other])) == one_by_one([one, other])
