"""One step of an order: what it gets of what it asks for, whether it ends with the bar, and what is then booked.

Whoever executes orders does it here. The backtest (`lem.backtest.simulator`) and live orders (`lem.advice.live_orders`)
decide a bar with `step` and book it with `book`. In training (`lem.training.objective`) the end is a probability:
`allowed_end` keeps it to what the order may do, and `fork` books both that the order ends and that it goes on.

Shapes: every tensor has the shape of the batch of orders, written O, or one that is broadcastable to it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from lem.execution.fills import Ledger, advance, limits, may_finish, must_finish
from lem.execution.orders import TOLERANCE
from lem.execution.terms import Terms

FINISH_AT = 0.5
"""An order ends where its probability to finish is at least this. Training averages over ending and going on; whoever
trades must choose, and from one half on ending is at least as likely as going on."""


@dataclass(frozen=True)
class Step:
    """What becomes of an order in a bar that trades.

    Args:
        slice_O: share of the order to trade.
        ends_O: bool, the order ends with the bar.
    """

    slice_O: Tensor
    ends_O: Tensor


def allowed_end(wish_O: Tensor, ledger: Ledger, terms: Terms, k: int | Tensor) -> Tensor:
    """The wish to end in bar k, kept to what the order may do: 0 before it may end, 1 where it must.

    Args:
        wish_O: bool, or a probability.
        ledger: of the bars before k.
        terms: of the orders.
        k: the bar (0-based) of all orders, or of each.
    """
    may_O, must_O = may_finish(ledger, terms, k), must_finish(ledger, terms, k)
    if wish_O.dtype is torch.bool:
        return (wish_O & may_O) | must_O
    return torch.where(must_O, 1.0, torch.where(may_O, wish_O, 0.0))


def over(remaining_O: Tensor, terms: Terms, bars: int | Tensor) -> Tensor:
    """Bool: after so many bars the order is over: it may end and nothing is left, or its time is up."""
    return ((terms.m_O <= bars) & (remaining_O <= TOLERANCE)) | (terms.n_O <= bars)


def step(ledger: Ledger, terms: Terms, k: int | Tensor, asked_O: Tensor, finish_O: Tensor) -> Step:
    """Decide bar k: a slice is cut to its limits, an order that ends trades all that remains.

    Limits, end times and the budget hold whatever is asked for. An order that may end and has nothing left after the
    bar ends with it, also without a wish; its benchmark stops there too.

    Args:
        ledger: of the bars before k.
        terms: of the orders.
        k: the bar (0-based) of all orders, or of each.
        asked_O: share to trade if the order goes on.
        finish_O: bool, the wish to trade all that remains and to end.
    """
    low_O, high_O = limits(ledger, terms, k)
    within_O = torch.minimum(torch.maximum(asked_O, low_O), high_O)
    # Where less was filled than asked for, the last bar may hold more than its cap: the cap stands.
    whole_O = torch.where(ledger.remaining_O <= terms.max_rate_O + TOLERANCE, ledger.remaining_O, high_O)
    slice_O = torch.where(allowed_end(finish_O, ledger, terms, k), whole_O, within_O)
    return Step(slice_O, over(ledger.remaining_O - slice_O, terms, k + 1))


def book(
    ledger: Ledger,
    terms: Terms,
    slice_O: Tensor,
    price_O: Tensor,
    volume_O: Tensor,
    counts_O: Tensor,
    fill_O: Tensor | None = None,
) -> Ledger:
    """The ledger after a bar that need not count for every order: an order may be over, or nobody may have traded.

    Args:
        ledger: before the bar.
        terms: of the orders.
        slice_O: share that traded, booked also where `counts_O` is False; 0 of an order that is over.
        price_O: the bar's volume-weighted price.
        volume_O: the bar's volume, relative to the mean at arrival.
        counts_O: bool, the bar is one of the order's bars and enters its benchmark.
        fill_O: price of our own trade; `price_O` where there are no costs.
    """
    after = advance(ledger, terms, slice_O, price_O, volume_O, fill_O)
    traded_O = slice_O != 0  # a bar without trades may have no price: it must not touch what did not trade in it
    return Ledger(
        remaining_O=after.remaining_O,
        units_O=torch.where(traded_O, after.units_O, ledger.units_O),
        cash_O=torch.where(traded_O, after.cash_O, ledger.cash_O),
        weight_O=torch.where(counts_O, after.weight_O, ledger.weight_O),
        weighted_O=torch.where(counts_O, after.weighted_O, ledger.weighted_O),
    )


def fork(
    ledger: Ledger,
    terms: Terms,
    slice_O: Tensor,
    price_O: Tensor,
    volume_O: Tensor,
    fill: Callable[[Tensor], Tensor] | None = None,
) -> tuple[Ledger, Ledger]:
    """Two ledgers after a bar: the order ended with all that remained; it traded a slice and goes on.

    Args:
        ledger: before the bar.
        terms: of the orders.
        slice_O: share that trades if the order goes on.
        price_O: the bar's volume-weighted price.
        volume_O: the bar's volume, relative to the mean at arrival.
        fill: from a slice to the price that it gets; `price_O` if left out.
    """

    def after(share_O: Tensor) -> Ledger:
        return advance(ledger, terms, share_O, price_O, volume_O, None if fill is None else fill(share_O))

    return after(ledger.remaining_O), after(slice_O)
