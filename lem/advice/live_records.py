"""Records of live orders: what they trade in a bar, how they ended, where they stand; and how rows of records move.

Shapes: O = live orders.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any, TypeVar

import torch
from numpy.typing import NDArray
from torch import Tensor

from lem.errors import OrderError

Values = float | Sequence[float] | NDArray | Tensor
"""One number for all orders (or markets), or one for each."""


@dataclass(frozen=True)
class Slices:
    """What to trade in the bar that opens, in the order in which the live orders were opened.

    Args:
        id_O: ids, int64.
        slice_O: shares of the parent orders, float64.
        finish_O: whether the order ends with this bar, bool.
        probability_O: pi, float64; 0 where the order may not end yet, 1 where it must.
    """

    id_O: Tensor
    slice_O: Tensor
    finish_O: Tensor
    probability_O: Tensor


@dataclass(frozen=True)
class Finished:
    """Orders that ended with a bar.

    Args:
        id_O: ids, int64.
        end_bar_O: bars used, 1 to N, int64.
        gain_bps_O: gain against the order's own benchmark, float64; positive is good.
        achieved_O: average price of what traded, in currency, float64.
        benchmark_O: price of the benchmark, in currency, float64.
        filled_O: share of the order that traded, float64: 1, unless fills say that its time was over before.
    """

    id_O: Tensor
    end_bar_O: Tensor
    gain_bps_O: Tensor
    achieved_O: Tensor
    benchmark_O: Tensor
    filled_O: Tensor


@dataclass(frozen=True)
class Places:
    """Where each order stands.

    Args:
        id_O: ids, int64.
        head_O: row of the head of its scenario, int64.
        market_O: row of its market, int64.
        k_O: bars done, float64.
        arrival_price_O: what scales its prices, in currency, float64.
        mean_volume_O: what scales its volumes, float64.
    """

    id_O: Tensor
    head_O: Tensor
    market_O: Tensor
    k_O: Tensor
    arrival_price_O: Tensor
    mean_volume_O: Tensor


_Record = TypeVar("_Record")


def each(function: Callable[..., Tensor], *records: _Record) -> _Record:
    """The record of a function of the records' tensors, field by field."""
    columns: Any = records
    names = [field.name for field in fields(columns[0])]
    return type(records[0])(*(function(*(getattr(record, name) for record in columns)) for name in names))


def behind(old: Tensor, new: Tensor) -> Tensor:
    """Rows of the live orders, and behind them those of orders that were opened later."""
    return torch.cat([old, new])


def positive(values: Values, what: str, count: int) -> Tensor:
    """One number for each of `count` orders (float64).

    Args:
        values: one for all, or one for each.
        what: the name that an error gives them.
        count: of the orders.

    Raises:
        OrderError: there are neither one nor `count` numbers, or one of them is not finite and above 0.
    """
    values_O = torch.as_tensor(values, dtype=torch.float64)
    if values_O.shape not in ((), (count,)):
        raise OrderError(f"live: {what} of shape {tuple(values_O.shape)} for {count} orders; allowed: one for each")
    values_O = values_O.expand(count)
    bad_O = ~(torch.isfinite(values_O) & (values_O > 0))
    if bad_O.any():
        place = int(bad_O.nonzero()[0])
        raise OrderError(
            f"live: order {place} of this call has {what} {values_O[place].item():g}; allowed: a positive number"
        )
    return values_O
