"""How an order was executed on its bars, by the desk or by a rule in its place: one definition for both.

Nothing here reads bars or orders from anywhere. A bar in which the market did not trade counts for nothing: it is not
in the benchmark, and no rule trades in it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from lem.advice.fills import average_price
from lem.advice.records import OrderRecord
from lem.backtest.simulator import Market, simulate
from lem.data.panel import Panel
from lem.errors import AdviceError, OrderError
from lem.execution.costs import BPS, charged_price, with_costs
from lem.execution.costs_config import CostsConfig
from lem.execution.orders import Side
from lem.execution.terms import terms_of_orders
from lem.strategies.base import Strategy


@dataclass(frozen=True)
class TapeBar:
    """A closed bar of an order's asset.

    Args:
        bar: its open, UTC.
        price: volume-weighted, in quote currency; the last known price where nothing traded.
        volume: in base currency; 0 where nothing traded.
        last_close: close of the bar before, in quote currency.
        close: its own, likewise.
    """

    bar: dt.datetime
    price: float
    volume: float
    last_close: float
    close: float


@dataclass(frozen=True)
class Execution:
    """What an execution came to. Prices are in quote currency, gains and shortfalls in bps; of what was filled alone.

    Args:
        name: `desk` of the real fills, else the rule's.
        bars: bars that it used, those without trades not counted.
        filled_share: of the order.
        average_price: of what was filled, before fees; None where nothing was.
        benchmark_price: VWAP or TWAP of its bars, as the order says; None without bars.
        gain_bps: against the benchmark; positive is good.
        net_gain_bps: after fees; of a rule, after all costs that `[costs]` of the universe file assumes.
        shortfall_bps: what was paid above the arrival price, or received below it; negative is good.
        net_shortfall_bps: with the same fees and costs.
    """

    name: str
    bars: int
    filled_share: float
    average_price: float | None
    benchmark_price: float | None
    gain_bps: float | None
    net_gain_bps: float | None
    shortfall_bps: float | None
    net_shortfall_bps: float | None


def tape_of(panel: Panel, first: dt.datetime) -> list[TapeBar]:
    """The bars of a panel's only asset, from the one that opened at `first` on.

    Args:
        panel: begins with a price that is known before `first`.
        first: UTC.

    Raises:
        AdviceError: no price is known before `first`.
    """
    low = int(np.searchsorted(panel.ts_T, np.datetime64(first.replace(tzinfo=None), "us")))
    before = panel.close_NT[0, :low]
    before = before[np.isfinite(before)]
    if not len(before):
        raise AdviceError(f"{panel.assets[0]}: no close is known before {first:%Y-%m-%d %H:%M} UTC")
    last, tape = float(before[-1]), []
    for t in range(low, panel.bars):
        vwap, volume, close = (float(x_NT[0, t]) for x_NT in (panel.vwap_NT, panel.volume_NT, panel.close_NT))
        traded = np.isfinite(vwap) and volume > 0
        close = close if np.isfinite(close) else last
        opened = panel.ts_T[t].astype("datetime64[us]").item().replace(tzinfo=dt.UTC)
        tape.append(TapeBar(opened, vwap if traded else close, volume if traded else 0.0, last, close))
        last = close
    return tape


def benchmark_of(order: OrderRecord, tape: Sequence[TapeBar]) -> float | None:
    """Price of the order's benchmark over bars; None where nothing traded in any of them."""
    traded = [bar for bar in tape if bar.volume > 0]
    weights = [bar.volume if order.benchmark == "vwap" else 1.0 for bar in traded]
    if not traded:
        return None
    return sum(weight * bar.price for weight, bar in zip(weights, traded, strict=True)) / sum(weights)


def measured(
    name: str,
    order: OrderRecord,
    tape: Sequence[TapeBar],
    filled_share: float,
    average: float | None,
    net_average: float | None,
) -> Execution:
    """An execution from its average prices before and after costs.

    Args:
        name: of who executed.
        order: that arrived.
        tape: the bars of the execution, from the order's first to its own last.
        filled_share: of the order.
        average: price, in quote currency; None where nothing was filled.
        net_average: likewise, after costs.

    Raises:
        OrderStateError: the order has not begun.
    """
    against, arrival, sign = benchmark_of(order, tape), order.arrived().arrival_price, Side(order.side).sign

    def gain(price: float | None) -> float | None:
        return None if price is None or against is None else BPS * sign * (against - price) / against

    def shortfall(price: float | None) -> float | None:
        return None if price is None else BPS * sign * (price - arrival) / arrival

    bars = sum(bar.volume > 0 for bar in tape)
    gains = gain(average), gain(net_average), shortfall(average), shortfall(net_average)
    return Execution(name, bars, filled_share, average, against, *gains)


def replayed(
    strategy: Strategy, order: OrderRecord, tape: Sequence[TapeBar], costs: CostsConfig, cut: int | None = None
) -> Execution:
    """What a rule would have done in the place of an order, on its bars, at their volume-weighted prices.

    It trades as in a backtest, under the same limits and cap, to its own end. A cancelled order would have been
    cancelled for it, too.

    Args:
        strategy: the rule.
        order: with its arrival.
        tape: the order's bars, from its first on.
        costs: what slices are assumed to cost, with the cap.
        cut: bars of the tape after which the order was cancelled; None of one that was not.

    Raises:
        OrderError: the tape has too few bars in which the market traded, or the order is too large for the cap.
    """
    limit = len(tape) if cut is None else cut
    own = [bar for bar in tape[:limit] if bar.volume > 0][: order.max_bars]
    if cut is None and len(own) < order.max_bars:
        raise OrderError(
            f"the market traded in {len(own)} of the {order.max_bars} bars that the order might have used; allowed: "
            "all of them, once they are over"
        )
    if not own:
        return measured(strategy.name, order, [], 0.0, None, None)
    # A rule knows nothing of bars that come later: those after the cut change nothing before it.
    bars = [*own, *[own[-1]] * (order.max_bars - len(own))]
    arrival = order.arrived()
    price_K = torch.tensor([bar.price for bar in bars], dtype=torch.float64) / arrival.arrival_price
    volume_K = torch.tensor([bar.volume for bar in bars], dtype=torch.float64) / arrival.mean_volume
    close_K = torch.tensor([bar.last_close for bar in bars], dtype=torch.float64) / arrival.arrival_price
    sigma_A = torch.tensor([arrival.sigma], dtype=torch.float64)
    market = Market(price_K[None], volume_K[None], close_K[None], sigma_A, torch.ones(1, dtype=torch.bool))
    worth = arrival.arrival_price if order.target == "notional" else 1.0
    costs = costs.model_copy(update={"order_size": order.size / (arrival.mean_volume * worth)})
    terms, _ = terms_of_orders([order.terms])
    done = simulate(strategy, market, terms, costs)
    used = min(int(done.end_bar_O), len(own))
    slices_K = done.slices_KO.flatten()[:used]
    charged = replace(with_costs(terms, costs), sigma_O=sigma_A)
    paid_K = charged_price(charged, slices_K, price_K[:used], volume_K[:used]) * arrival.arrival_price
    shares, prices, paid = slices_K.tolist(), [bar.price for bar in own[:used]], paid_K.tolist()
    fills = [(share, price) for share, price in zip(shares, prices, strict=True) if share > 0]
    net = [(share, price) for share, price in zip(shares, paid, strict=True) if share > 0]
    averages = average_price(order, fills), average_price(order, net)
    return measured(strategy.name, order, own[:used], min(1.0, sum(shares)), *averages)
