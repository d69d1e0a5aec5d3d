"""Rows of the registry's database as records of live orders, and records as rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from lem.advice.order import OrderResult
from lem.advice.records import ArrivalRecord, LedgerRecord, OpenOrder, OrderRecord, SliceRecord
from lem.advice.soundness import check_order, check_slice
from lem.advice.venue_rules import NO_RULES, VenueRules
from lem.registry.advice_tables import AdvisedOrderRow, AdvisedSliceRow

ORDERS: Any = AdvisedOrderRow.__table__
SLICES: Any = AdvisedSliceRow.__table__


def _names(record: type[Any], *records_within: str) -> tuple[str, ...]:
    return tuple(field.name for field in fields(record) if field.name not in records_within)


ARRIVAL, RESULT, SLICE, RULES = (_names(record) for record in (ArrivalRecord, OrderResult, SliceRecord, VenueRules))
LEDGER = _names(LedgerRecord)
ORDER = _names(OrderRecord, "rules", "arrival", "result")
"""Names of the columns of each record, in the order of its fields."""
ORDER_COLUMNS = tuple(ORDERS.c[name] for name in (*ORDER, *RULES, *ARRIVAL, *RESULT))
SLICE_COLUMNS = tuple(SLICES.c[name] for name in SLICE)
"""In the order of the fields of the records."""
# Where the fields of the rules, of an arrival and of a result begin in a row.
_AT_RULES, _AT_ARRIVAL = len(ORDER), len(ORDER) + len(RULES)
_AT_RESULT = _AT_ARRIVAL + len(ARRIVAL)


def order_of(row: Sequence[Any]) -> OrderRecord:
    """The order of a row of `ORDER_COLUMNS`.

    Raises:
        AdviceError: the row is not what was written.
    """
    order = OrderRecord(*_fields_of(row))
    check_order(order)
    return order


def open_order_of(row: Sequence[Any]) -> OpenOrder:
    """The order of a row of `ORDER_COLUMNS` and, behind them, the `SLICE_COLUMNS` of its last slice.

    Raises:
        AdviceError: the row is not what was written.
    """
    last = row[len(ORDER_COLUMNS) :]
    order = OpenOrder(*(*_fields_of(row), None if last[0] is None else SliceRecord(*last)))
    check_order(order)
    if order.last is not None:
        check_slice(order, order.last)
    return order


def columns(record: Any, names: Sequence[str]) -> dict[str, Any]:
    """A record's fields by the names of their columns."""
    return {name: getattr(record, name) for name in names}


# By place: thousands of rows are read every bar, and looking up each column by its name takes twice as long.
def _fields_of(row: Sequence[Any]) -> tuple[Any, ...]:
    """The fields of an `OrderRecord`, in order."""
    rules = row[_AT_RULES:_AT_ARRIVAL]
    arrival, result = row[_AT_ARRIVAL:_AT_RESULT], row[_AT_RESULT : len(ORDER_COLUMNS)]
    return (
        *row[:_AT_RULES],
        NO_RULES if all(rule is None for rule in rules) else VenueRules(*rules),
        None if arrival[0] is None else ArrivalRecord(*arrival),
        None if result[0] is None else OrderResult(*result),
    )
