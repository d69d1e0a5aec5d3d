"""What becomes of open orders when a bar opens: the bars before it settled, and its slices, for all of them at once.

Orders of one model whose last slices were for the same bar go together through `lem.advice.live_orders.LiveOrders`:
usually that is one call for all. Nothing here reads or writes a database; the store does both in one transaction.
Shapes: O = orders of a group, P = pairs of an asset and the date on which orders of it arrived, H = context.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache, partial
from typing import Any

import torch

from lem.advice.amounts import ZERO
from lem.advice.clock import Moment
from lem.advice.decided import Decided
from lem.advice.exact import exact, is_free, wished
from lem.advice.fallback import FALLBACK, fallback_slice, in_gap, relaid
from lem.advice.ledgers import ledger_of, ledger_records, ledger_rows
from lem.advice.live_orders import LiveOrders
from lem.advice.market import Arrival, LiveMarket
from lem.advice.order import OrderResult
from lem.advice.records import ArrivalRecord, LedgerRecord, OpenOrder, SliceRecord
from lem.errors import AdviceError, OrderError
from lem.execution.costs_config import CostsConfig
from lem.execution.step import FINISH_AT
from lem.model.contender import Contender

REASONS = {
    "pace": "the order goes on",
    "model": "the model finishes here: its probability to finish is one half or more",
    "last_bar": "the last bar that the order may use",
    "remainder": "the order may end, and no more is left than its smallest slice",
    "spent": "the slice is all that is left, and the order may end",
    "too_small": "the venue takes no slice as small as this: it is joined to the next one, or is left over at the end",
    "limit": "the last close is worse than the order's limit price: nothing is to be traded in this bar",
    FALLBACK: "bars are missing: what is left is spread evenly up to the last bar, until they are there",
    "missed": (
        "nothing was advised: nobody asked for this bar's slice, or the order was paused as the bar went by; nothing "
        "traded, unless a fill says otherwise"
    ),
}
"""Why a slice is what it is."""
_UNFILLED = (None, None, None)


@dataclass(frozen=True)
class BarOutcome:
    """What came of a bar.

    Args:
        decided: what is to be written.
        repeated: this bar's slices of orders that had one already, by id.
        refused: why there is none, by id.
        waiting: the start of orders whose time has not come, by id.
    """

    decided: Decided = field(default_factory=Decided)
    repeated: dict[str, SliceRecord] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    waiting: dict[str, dt.datetime] = field(default_factory=dict)


def decide_bar(
    booked: list[OpenOrder],
    market: LiveMarket,
    at: Moment,
    problems: Mapping[str, str],
    horizon: int,
    costs: CostsConfig,
) -> BarOutcome:
    """Decide the bar `at.bar` for every open order that has no slice for it.

    Args:
        booked: the open orders.
        market: what decisions see.
        at: the bar that is next, and the present.
        problems: why there is no advice on an asset.
        horizon: longest order of the universe, in bars.
        costs: impact and participation cap of the universe.
    """
    out, groups = BarOutcome(), dict[tuple[str, dt.datetime | None], list[OpenOrder]]()
    arrivals: dict[str, Arrival] = {}
    models = set[str]()
    champion = cache(partial(market.champion, at.bar.date()))  # asks the registry: once a bar, not once an order
    for order in booked:
        last = order.last
        if order.fault:
            out.refused[order.id] = order.fault
        elif last is not None and last.bar == at.bar:
            out.repeated[order.id] = last
        elif last is not None and last.bar > at.bar:
            out.refused[order.id] = (
                f"order {order.id} has a slice for the bar of {last.bar:%Y-%m-%d %H:%M} UTC, which is later than "
                f"{at.bar:%Y-%m-%d %H:%M}: a clock went back; no advice until it has caught up"
            )
        elif order.start > at.bar:
            out.waiting[order.id] = order.start
        elif order.paused_at is not None:
            out.refused[order.id] = (
                f"order {order.id} is paused since {order.paused_at:%Y-%m-%d %H:%M} UTC; no advice on it: resume "
                "or cancel it"
            )
        elif order.asset in problems:
            _without_bars(order, market, at, problems[order.asset], costs, out)
        elif order.max_bars > horizon:
            out.refused[order.id] = (
                f"order {order.id} has max_bars {order.max_bars}; allowed: at most {horizon}, the horizon in the "
                "universe file by now; no advice on it: put the horizon back, or cancel the order"
            )
        else:
            try:
                if last is None:
                    arrivals[order.asset] = market.arrival(order.asset)
                    model_id = champion().model_id
                elif (model_id := order.arrived().model_id) not in models:
                    models.add(market.model(model_id).model_id)
            except AdviceError as error:
                out.refused[order.id] = str(error)
                continue
            since = (order.before_gap or order).last
            groups.setdefault((model_id, since.bar if since else None), []).append(order)
    for (model_id, opened), orders in groups.items():
        model = market.model(model_id)
        group = partial(
            _Group, market=market, at=at, model=model, since=opened, arrivals=arrivals, horizon=horizon, costs=costs
        )
        _decide(orders, group, out)
    return out


def _without_bars(
    order: OpenOrder, market: LiveMarket, at: Moment, problem: str, costs: CostsConfig, out: BarOutcome
) -> None:
    """Refuse an order whose asset has no bars, or go on at a plain pace where it asks for that."""
    if not order.fallback:
        out.refused[order.id] = problem
        return
    elapsed = market.bars_between(order.last.bar, at.bar) if order.last is not None else 0
    try:
        out.decided.slices.append(fallback_slice(order, at, elapsed, problem, costs))
    except AdviceError as error:
        out.refused[order.id] = str(error)


def _decide(orders: list[OpenOrder], group: Callable[[list[OpenOrder]], _Group], out: BarOutcome) -> None:
    """Decide orders together; where that fails, in halves, so that in the end only the orders at fault are refused."""
    decided = Decided()
    try:
        group(orders).decide(decided)
    except (AdviceError, OrderError) as error:
        if len(orders) == 1:
            key = orders[0].id
            out.refused[key] = f"order {key}: {error}; no advice on it"
            return
        half = len(orders) // 2
        _decide(orders[:half], group, out)
        _decide(orders[half:], group, out)
        return
    out.decided.extend(decided)


class _Group:
    """Open orders of one model whose last slices were for the same bar (`since`), or that have none yet."""

    def __init__(
        self,
        orders: list[OpenOrder],
        market: LiveMarket,
        at: Moment,
        model: Contender,
        since: dt.datetime | None,
        arrivals: Mapping[str, Arrival],
        horizon: int,
        costs: CostsConfig,
    ) -> None:
        self.market, self.at, self.model, self.since = market, at, model, since
        # Orders that went on at a plain pace are settled from before it.
        self.orders, before_gap = orders, [order.before_gap or order for order in orders]
        self.last = [order.last for order in before_gap if order.last is not None]
        self.before = [before for order in before_gap if (before := order.ledger()) is not None]
        self.pairs: dict[tuple[str, dt.date], int] = {}
        self.arrived = [
            order.arrival or _arrival(model.model_id, at.bar, arrivals[order.asset]) for order in self.orders
        ]
        places = [
            self.pairs.setdefault((order.asset, arrived.first_bar.date()), len(self.pairs))
            for order, arrived in zip(self.orders, self.arrived, strict=True)
        ]
        self.live = LiveOrders(model.model, len(self.pairs), horizon, costs)
        ledger, bars_done_O = None, torch.zeros(len(orders), dtype=torch.float64)
        if since is not None:
            ledger = ledger_of(self.before)
            bars_done_O = torch.tensor([last.bars_done for last in self.last], dtype=torch.float64)
        self.live.open(
            [order.terms for order in self.orders],
            places,
            sigma_O=[arrived.sigma for arrived in self.arrived],
            arrival_price_O=[arrived.arrival_price for arrived in self.arrived],
            mean_volume_O=[arrived.mean_volume for arrived in self.arrived],
            size_O=[order.size for order in self.orders],
            ledger=ledger,
            bars_done_O=bars_done_O,
        )

    def decide(self, decided: Decided) -> None:
        """Settle what has closed, decide the bar, and add both to what is to be written."""
        if self.since is not None:
            self._settle(self.since, decided)
        if not len(self.live):
            return
        contexts = [self.market.context(self.model.model_id, date, symbol) for symbol, date in self.pairs]
        close_P = [self.market.last_close(symbol) for symbol, _ in self.pairs]
        slices = self.live.decide(torch.stack(contexts), close_P)
        id_O, ledger, bars_done_O = self.live.running()
        asked = [x_O.tolist() for x_O in (slices.slice_O, slices.finish_O, slices.probability_O)]
        asked.append(self.live.largest_rate())
        rows = zip(id_O.tolist(), ledger_rows(ledger, bars_done_O), *asked, strict=True)
        bar = (self.at.bar, self.at.as_of, self.at.now)
        closes = {symbol: self.market.last_close(symbol) for symbol, _ in self.pairs}
        for place, before, share, finish, probability, cap in rows:
            order = self.orders[place]
            reason = _reason(finish, order.max_bars <= before[0] + 1, probability)
            # By place: thousands are made every bar.
            asset = (closes[order.asset], *_UNFILLED)
            told: tuple[Any, ...] = (*before, order.id, *bar, share, finish, reason, probability, *asset)
            if is_free(order):
                record = SliceRecord(*(*told, *wished(order, share, before[1]), ZERO, order.size))
            else:
                record = exact(order, SliceRecord(*(*told, None, None, None, order.size)), cap)
            decided.slices.append(record)
            if self.since is None:
                decided.begun[order.id] = self.arrived[place]

    def _settle(self, since: dt.datetime, decided: Decided) -> None:
        bars = [self.market.bars_since(symbol, since) for symbol, _ in self.pairs]
        rows = zip(self.orders, self.last, self.before, strict=True)
        filled: float | list[float] = [min(last.traded(order), before.remaining) for order, last, before in rows]
        paid = [float("nan") if last.paid is None else last.paid for last in self.last]
        known = paid if any(last.paid is not None for last in self.last) else None
        for opened in sorted(set().union(*bars)):
            if opened > since:
                filled, known = self._later(opened, decided)
            finished = self.live.settle(
                [own[opened].vwap for own in bars], [own[opened].volume for own in bars], filled, known
            )
            columns = (
                finished.end_bar_O,
                finished.filled_O,
                finished.achieved_O,
                finished.benchmark_O,
                finished.gain_bps_O,
            )
            ends = zip(finished.id_O.tolist(), *(x_O.tolist() for x_O in columns), strict=True)
            for place, used, share, price, against, gained in ends:
                pair = self.pairs[(self.orders[place].asset, self.arrived[place].first_bar.date())]
                result = OrderResult(used, share, price, against, gained, last_price=bars[pair][opened].vwap)
                decided.ended[self.orders[place].id] = result

    def _later(self, opened: dt.datetime, decided: Decided) -> tuple[list[float], list[float] | None]:
        """What was filled at a plain pace, and its price, in a bar that the model has not decided; else nothing."""
        filled, paid = list[float](), list[float]()
        for place, ledger in zip(*self._state(), strict=True):
            order = self.orders[place]
            given = in_gap(order, opened)
            if given is not None:
                decided.relaid.append(relaid(given, ledger))
            else:
                later = next((one for one in order.gap if one.bar > opened), None)
                left = order.left() if later is None else later.before(order)
                decided.slices.append(self._missed(order, ledger, opened, left))
            filled.append(0.0 if given is None else min(given.traded(order), ledger.remaining))
            paid.append(float("nan") if given is None or given.paid is None else given.paid)
        return filled, paid if any(price == price for price in paid) else None

    def _missed(self, order: OpenOrder, ledger: LedgerRecord, opened: dt.datetime, left: Decimal) -> SliceRecord:
        return SliceRecord(
            bars_done=ledger.bars_done,
            remaining=ledger.remaining,
            units=ledger.units,
            cash=ledger.cash,
            weight=ledger.weight,
            weighted=ledger.weighted,
            order_id=order.id,
            bar=opened,
            as_of=opened,
            advised_at=self.at.now,
            share=0.0,
            finish=False,
            reason="missed",
            probability=0.0,
            last_close=self.market.last_close(order.asset),
            filled=None,
            amount=ZERO,
            left_before=left,
            size=order.size,
        )

    def _state(self) -> tuple[list[int], list[LedgerRecord]]:
        """Places of the live orders in the group, and their ledgers."""
        id_O, ledger, bars_done_O = self.live.running()
        return id_O.tolist(), ledger_records(ledger, bars_done_O)


def _arrival(model_id: str, first_bar: dt.datetime, arrival: Arrival) -> ArrivalRecord:
    return ArrivalRecord(model_id, first_bar, arrival.sigma, arrival.price, arrival.mean_volume)


def _reason(finish: bool, last_bar: bool, probability: float) -> str:
    if not finish:
        return "pace"
    if last_bar:
        return "last_bar"
    if probability >= 1.0:
        return "remainder"
    return "model" if probability >= FINISH_AT else "spent"
