"""Ledgers of stored orders as tensors, and back.

Shapes: O = orders.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lem.advice.records import LedgerRecord
from lem.execution.fills import Ledger


def ledger_of(records: Sequence[LedgerRecord]) -> Ledger:
    """The ledger (float64) of one order a record."""
    columns = [
        [record.remaining for record in records],
        [record.units for record in records],
        [record.cash for record in records],
        [record.weight for record in records],
        [record.weighted for record in records],
    ]
    return Ledger(*torch.tensor(columns, dtype=torch.float64))


def ledger_rows(ledger: Ledger, bars_done_O: Tensor) -> list[tuple[int, float, float, float, float, float]]:
    """The fields of one record an order."""
    tensors = (ledger.remaining_O, ledger.units_O, ledger.cash_O, ledger.weight_O, ledger.weighted_O)
    return list(zip(bars_done_O.long().tolist(), *(x_O.tolist() for x_O in tensors), strict=True))


def ledger_records(ledger: Ledger, bars_done_O: Tensor) -> list[LedgerRecord]:
    """One record an order; `ledger_of` is the way back."""
    return [LedgerRecord(*row) for row in ledger_rows(ledger, bars_done_O)]
