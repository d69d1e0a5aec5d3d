"""What the store writes it reads back, field by field; its records say all that the tables hold."""

from __future__ import annotations

import datetime as dt
from dataclasses import fields, replace
from decimal import Decimal

import pytest

from lem.advice.decided import Decided
from lem.advice.fill_book import FILL_COLUMNS
from lem.advice.order import OrderResult
from lem.advice.order_rows import ORDER_COLUMNS, SLICE_COLUMNS
from lem.advice.records import ArrivalRecord, OpenOrder, OrderRecord, SliceRecord
from lem.errors import OrderStateError
from lem.registry.advice_tables import AdvisedFillRow, AdvisedOrderRow, AdvisedSliceRow
from tests.lem.advice.desk import NOON, Desk, StoppedClock, buy


@pytest.mark.parametrize(
    ("table", "columns"),
    [(AdvisedOrderRow, ORDER_COLUMNS), (AdvisedSliceRow, SLICE_COLUMNS), (AdvisedFillRow, FILL_COLUMNS)],
)
def test_the_records_have_a_field_for_each_column_of_the_tables(table, columns):
    assert sorted(c.name for c in columns) == sorted(c.name for c in table.__table__.columns)


def with_last(order: OrderRecord, last: SliceRecord | None) -> OpenOrder:
    return OpenOrder(**{field.name: getattr(order, field.name) for field in fields(order)}, last=last)


def test_what_is_decided_is_read_back_field_by_field(desk: Desk, clock: StoppedClock):
    store, orders = desk.advisor(clock).store, [buy(desk.universe, key) for key in ("one", "two")]
    for order in orders:
        store.add(order, NOON)
    new = [OrderRecord.of(order, NOON) for order in orders]
    assert store.booked("tiny") == [with_last(record, None) for record in new]
    arrival = ArrivalRecord(desk.model_id, NOON, sigma=0.01, arrival_price=99.0, mean_volume=5.0)
    # A number of its own in every field, so that none can stand in another's place.
    ledger = {"bars_done": 2, "remaining": 0.9, "units": 0.8, "cash": 0.7, "weight": 0.6, "weighted": 0.5}
    later = NOON + dt.timedelta(hours=1)
    advised = SliceRecord(
        **ledger,
        order_id="one",
        bar=NOON,
        as_of=later,
        advised_at=later + dt.timedelta(minutes=1),
        share=0.4,
        finish=True,
        reason="model",
        probability=0.3,
        last_close=98.0,
        filled=None,
        amount=Decimal("40.1"),
        left_before=Decimal("90.000000000000000000000000000001"),
        carry=Decimal("0.2"),
    )
    store.decide("tiny", lambda booked: Decided([advised], begun={"one": arrival}), later)
    assert store.booked("tiny") == [with_last(new[0].begun(arrival), advised), with_last(new[1], None)]
    # What the ledger knew before the first slice, and no fill told, is late.
    late = {"late_amount": Decimal("-9.999999999999999999999999999999"), "late_share": -0.1, "late_units": -0.8}
    begun = replace(new[0].begun(arrival), **late, late_cash=-0.7)
    filled = replace(advised, filled=0.1, filled_amount=Decimal(10))
    order, last = store.total("one", NOON, Decimal(10), later)
    assert (replace(order, late_share=round(order.late_share, 9)), last) == (begun, filled)
    assert [slice_ for _, slice_ in store.slices("one")] == [filled]
    result = OrderResult(
        bars_used=3, filled_share=0.2, achieved=97.0, benchmark_price=96.0, gain_bps=-1.5, last_price=94.0
    )
    store.decide("tiny", lambda booked: Decided(ended={"one": result}), later)
    ended = store.order("one")
    assert (ended.order, ended.status, ended.model_id, ended.result) == (orders[0], "expired", desk.model_id, result)
    assert (ended.arrival_price, ended.left) == (99.0, Decimal(90))


def test_an_order_without_a_slice_has_no_arrival_to_measure_by(desk: Desk):
    with pytest.raises(OrderStateError, match="order one has no arrival; allowed: orders that have a slice"):
        OrderRecord.of(buy(desk.universe), NOON).arrived()


def test_an_order_of_which_nothing_is_left_but_a_rounding_is_finished():
    assert OrderResult(1, 1.0 - 1.9e-9, 1.0, 1.0, 0.0).status == "finished"
    assert OrderResult(1, 1.0 - 1e-8, 1.0, 1.0, 0.0).status == "expired"
