"""What becomes of open orders when a bar opens: the bars before it settled, and its slices, for all of them at once.

Orders of one model whose last slices were for the same bar go together through `lem.advice.live_orders.LiveOrders`:
usually that is one call for all. Nothing here reads or writes a database; the store does both in one transaction.
Shapes: O = orders of a group, P = pairs of an asset and the date on which orders of it arrived, H = context.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, partial

import torch

from lem.advice.clock import Moment
from lem.advice.live_orders import LiveOrders
from lem.advice.market import Arrival, Market
from lem.advice.store import Booked, Decided, Values, terms_of_row
from lem.errors import AdviceError, OrderError
from lem.execution.fills import Ledger
from lem.execution.orders import TOLERANCE
from lem.execution.step import FINISH_AT
from lem.model.contender import Contender

LEDGER = ("remaining", "units", "cash", "weight", "weighted")
REASONS = {
    "pace": "the order goes on",
    "model": "the model finishes here: its probability to finish is one half or more",
    "last_bar": "the last bar that the order may use",
    "remainder": "the order may end, and no more is left than its smallest slice",
    "spent": "the slice is all that is left, and the order may end",
    "missed": "nobody asked for this bar's slice: nothing was advised, and unless a fill says otherwise nothing traded",
}
"""Why a slice is what it is."""


@dataclass(frozen=True)
class Outcome:
    """What was decided.

    decided: what is to be written. repeated: ids of orders that have this bar's slice already. refused: why there is
    none, by id. waiting: the start of orders whose time has not come, by id.
    """

    decided: Decided = field(default_factory=Decided)
    repeated: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    waiting: dict[str, dt.datetime] = field(default_factory=dict)


def decide_bar(booked: list[Booked], market: Market, at: Moment, problems: Mapping[str, str], horizon: int) -> Outcome:
    """Decide the bar `at.bar` for every open order that has no slice for it.

    Args:
        problems: why there is no advice on an asset. horizon: longest order of the universe.
    """
    out, groups = Outcome(), dict[tuple[str, dt.datetime | None], list[Booked]]()
    arrivals: dict[str, Arrival] = {}
    champion = cache(partial(market.champion, at.bar.date()))  # asks the registry: once a bar, not once an order
    for order in booked:
        row, last = order.row, order.last
        if last is not None and last["bar"] == at.bar:
            out.repeated.append(row["id"])
        elif last is not None and last["bar"] > at.bar:
            out.refused[row["id"]] = (
                f"order {row['id']} has a slice for the bar of {last['bar']:%Y-%m-%d %H:%M} UTC, which is later than "
                f"{at.bar:%Y-%m-%d %H:%M}: a clock went back; no advice until it has caught up"
            )
        elif row["start"] > at.bar:
            out.waiting[row["id"]] = row["start"]
        elif row["asset"] in problems:
            out.refused[row["id"]] = problems[row["asset"]]
        elif row["max_bars"] > horizon:
            out.refused[row["id"]] = (
                f"order {row['id']} has max_bars {row['max_bars']}; allowed: at most {horizon}, the horizon in the "
                "universe file by now; no advice on it: put the horizon back, or cancel the order"
            )
        else:
            try:
                if last is None:
                    arrivals[row["asset"]] = market.arrival(row["asset"])
                    model = champion()
                else:
                    model = market.model(row["model_id"])
            except AdviceError as error:
                out.refused[row["id"]] = str(error)
                continue
            groups.setdefault((model.model_id, last["bar"] if last else None), []).append(order)
    for (model_id, since), orders in groups.items():
        model = market.model(model_id)
        group = partial(_Group, market=market, at=at, model=model, since=since, arrivals=arrivals, horizon=horizon)
        _decide(orders, group, out)
    return out


def _decide(orders: list[Booked], group: Callable[[list[Booked]], _Group], out: Outcome) -> None:
    """Decide orders together; where that fails, in halves, so that in the end only the orders at fault are refused."""
    decided = Decided()
    try:
        group(orders).decide(decided)
    except (AdviceError, OrderError) as error:
        if len(orders) == 1:
            out.refused[orders[0].row["id"]] = f"order {orders[0].row['id']}: {error}; no advice on it"
            return
        half = len(orders) // 2
        _decide(orders[:half], group, out)
        _decide(orders[half:], group, out)
        return
    out.decided.slices.extend(decided.slices)
    out.decided.orders.update(decided.orders)


class _Group:
    """Open orders of one model whose last slices were for the same bar (`since`), or that have none yet."""

    def __init__(
        self,
        orders: list[Booked],
        market: Market,
        at: Moment,
        model: Contender,
        since: dt.datetime | None,
        arrivals: Mapping[str, Arrival],
        horizon: int,
    ) -> None:
        self.orders, self.market, self.at, self.model, self.since = orders, market, at, model, since
        self.pairs: dict[tuple[str, dt.date], int] = {}
        arrived = [(order.row["first_bar"] or at.bar).date() for order in orders]
        places = [
            self.pairs.setdefault((order.row["asset"], date), len(self.pairs))
            for order, date in zip(orders, arrived, strict=True)
        ]
        self.live = LiveOrders(model.model, len(self.pairs), horizon)
        self.starts = [_start(order, arrivals) for order in orders]
        ledger, bars_done_O = None, torch.zeros(len(orders), dtype=torch.float64)
        if since is not None:
            states = [order.last for order in orders if order.last is not None]
            columns = [[state[name] for state in states] for name in LEDGER]
            ledger = Ledger(*torch.tensor(columns, dtype=torch.float64))
            bars_done_O = torch.tensor([state["bars_done"] for state in states], dtype=torch.float64)
        self.live.open(
            [terms_of_row(order.row) for order in orders],
            places,
            sigma_O=[start["sigma"] for start in self.starts],
            arrival_price_O=[start["arrival_price"] for start in self.starts],
            mean_volume_O=[start["mean_volume"] for start in self.starts],
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
        places, before = self._state()
        asked = [x_O.tolist() for x_O in (slices.slice_O, slices.finish_O, slices.probability_O)]
        for place, state, share, finish, probability in zip(places, before, *asked, strict=True):
            row = self.orders[place].row
            must = row["max_bars"] <= state["bars_done"] + 1
            reason = _reason(finish, must, probability)
            decided.slices.append(
                {
                    **state,
                    "order_id": row["id"],
                    "bar": self.at.bar,
                    "as_of": self.at.as_of,
                    "advised_at": self.at.now,
                    "share": share,
                    "finish": finish,
                    "reason": reason,
                    "probability": probability,
                    "last_close": self.market.last_close(row["asset"]),
                    "filled": None,
                }
            )
            if self.since is None:
                begun = {"status": "live", "model_id": self.model.model_id, "first_bar": self.at.bar}
                decided.orders[row["id"]] = {**begun, **self.starts[place]}

    def _settle(self, since: dt.datetime, decided: Decided) -> None:
        bars = [self.market.bars_since(symbol, since) for symbol, _ in self.pairs]
        filled: float | list[float] = [
            order.last["share"] if order.last["filled"] is None else order.last["filled"]
            for order in self.orders
            if order.last is not None
        ]
        for opened in sorted(set().union(*bars)):
            if opened > since:
                self._miss(opened, decided)
                filled = 0.0
            finished = self.live.settle(
                [own[opened].vwap for own in bars], [own[opened].volume for own in bars], filled
            )
            results = (
                finished.id_O,
                finished.end_bar_O,
                finished.filled_O,
                finished.achieved_O,
                finished.benchmark_O,
                finished.gain_bps_O,
            )
            for place, used, share, price, against, gained in zip(*(x_O.tolist() for x_O in results), strict=True):
                decided.orders[self.orders[place].row["id"]] = {
                    "status": "finished" if share >= 1.0 - 2 * TOLERANCE else "expired",
                    "bars_used": used,
                    "filled_share": share,
                    "achieved": price,
                    "benchmark_price": against,
                    "gain_bps": gained,
                }

    def _miss(self, opened: dt.datetime, decided: Decided) -> None:
        """Note that nothing was advised for a bar that has passed."""
        for place, state in zip(*self._state(), strict=True):
            row = self.orders[place].row
            decided.slices.append(
                {
                    **state,
                    "order_id": row["id"],
                    "bar": opened,
                    "as_of": opened,
                    "advised_at": self.at.now,
                    "share": 0.0,
                    "finish": False,
                    "reason": "missed",
                    "probability": 0.0,
                    "last_close": self.market.last_close(row["asset"]),
                    "filled": None,
                }
            )

    def _state(self) -> tuple[list[int], list[Values]]:
        """Places of the live orders in the group, and their ledgers as columns of a slice."""
        id_O, ledger, bars_done_O = self.live.running()
        columns = [getattr(ledger, f"{name}_O").tolist() for name in LEDGER]
        rows = zip(bars_done_O.to(torch.int64).tolist(), *columns, strict=True)
        return id_O.tolist(), [dict(zip(("bars_done", *LEDGER), row, strict=True)) for row in rows]


def _start(order: Booked, arrivals: Mapping[str, Arrival]) -> Values:
    if order.last is not None:
        return {name: order.row[name] for name in ("sigma", "arrival_price", "mean_volume")}
    arrival = arrivals[order.row["asset"]]
    return {"sigma": arrival.sigma, "arrival_price": arrival.price, "mean_volume": arrival.mean_volume}


def _reason(finish: bool, last_bar: bool, probability: float) -> str:
    if not finish:
        return "pace"
    if last_bar:
        return "last_bar"
    if probability >= 1.0:
        return "remainder"
    return "model" if probability >= FINISH_AT else "spent"
