"""Live parent orders: any number of them, in any mix, decided together once a bar.

A bar of trading has three calls. `decide` says, when a bar opens, what share of each order to trade in it; `settle`
books the bar when it has closed, at its volume-weighted price, and hands back what has finished; `MarketStream.advance`
makes the context that the next bar is decided on. A bar is decided and booked by `lem.execution.step`, so a live order
does what the simulator did with the strategy `lem`. New orders are opened between two bars. With `costs` the size of
an order decides its impact, which the model is told, and how much the participation cap lets it trade in a bar.

An untrained model trades by its base: the dynamic programme, or, as here, an even pace up to the last bar:

>>> import torch
>>> from lem.data.features import FEATURES
>>> from lem.universe.model_config import ModelConfig
>>> from lem.model.lem import LEM
>>> from lem.model.streaming import MarketStream
>>> from lem.execution.costs_config import CostsConfig
>>> from lem.execution.orders import SCENARIOS, Order
>>> model = LEM(ModelConfig(base="even"))
>>> stream, live = MarketStream(model, markets=2), LiveOrders(model, markets=2, horizon=12, costs=CostsConfig())
>>> history_NTF, valid_NT = torch.zeros(2, 100, len(FEATURES)), torch.ones(2, 100, dtype=torch.bool)
>>> context_NH = stream.warm(history_NTF, valid_NT)[:, -1]
>>> orders = [Order(SCENARIOS[0], min_bars=1, max_bars=2), Order(SCENARIOS[7], min_bars=4, max_bars=4)]
>>> arrival = {"sigma_O": 0.01, "arrival_price_O": [100.0, 20.0], "mean_volume_O": [500.0, 80.0]}
>>> live.open(orders, market_O=[0, 1], **arrival, size_O=[60.0, 480.0])  # 60 of the first, for 480 of the second
tensor([0, 1])
>>> close_N = torch.tensor([100.0, 20.0])
>>> for vwap_N in torch.tensor([[101.0, 20.0], [102.0, 20.0]]):
...     bar = live.decide(context_NH, close_N)
...     finished = live.settle(vwap_N, volume_N=torch.tensor([500.0, 80.0]))
...     close_N, context_NH = vwap_N, stream.advance(history_NTF[:, 0], valid_NT[:, 0])
>>> bar.slice_O.tolist(), bar.finish_O.tolist()
([0.5, 0.25], [True, False])
>>> finished.id_O.tolist(), finished.end_bar_O.tolist(), finished.achieved_O.round(decimals=4).tolist(), len(live)
([0], [2], [101.5], 1)

The slice of an order depends on nothing but that order, its market and the model, bit for bit: a matrix product or a
logarithm of another number of rows may round differently, so that rows go through the model in blocks of one size.

Shapes: O = live orders, N = markets, H = context, J = order state, D = head width, G = blocks, K = rows of a block.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import ROUND_DOWN, Context

import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.func import functional_call

from lem.advice.live_records import Finished, Places, Slices, Values, behind, each, positive
from lem.errors import OrderError
from lem.execution.costs import largest_size, with_costs
from lem.execution.costs_config import CostsConfig
from lem.execution.fills import Ledger, achieved, benchmark, gain, open_ledger
from lem.execution.orders import SCENARIOS, TOLERANCE, Order
from lem.execution.step import FINISH_AT, book, over, step
from lem.execution.terms import Terms, terms_of_orders
from lem.model.allocation import order_state, within_limits
from lem.model.lem import LEM
from lem.numerics import reproducible

BLOCK = 64
"""Rows that go through the model together."""


class LiveOrders:
    """The live parent orders of N markets under one model.

    Args:
        model: put into evaluation mode.
        markets: N.
        horizon: longest max_bars that is accepted, that of the training.
        costs: impact and participation cap of the orders; without them they trade as if they were too small to matter.
    """

    def __init__(self, model: LEM, markets: int, horizon: int, costs: CostsConfig | None = None) -> None:
        self.model, self.markets, self.horizon, self.costs = model.eval(), markets, horizon, costs
        rows = {**dict(model.heads.named_parameters()), **dict(model.heads.named_buffers(recurse=False))}
        self._weights = {name: row.detach() for name, row in rows.items()}
        self._opened = 0
        self._decided: Slices | None = None
        self._terms, head_O = terms_of_orders([])
        self._ledger = open_ledger(self._terms, head_O.shape)
        none_O = self._terms.sigma_O
        self._at = Places(head_O, head_O, head_O, none_O, none_O, none_O)

    def __len__(self) -> int:
        return len(self._at.id_O)

    def open(
        self,
        orders: Sequence[Order],
        market_O: Sequence[int] | NDArray | Tensor,
        sigma_O: Values,
        arrival_price_O: Values,
        mean_volume_O: Values,
        size_O: Values = 0.0,
        ledger: Ledger | None = None,
        bars_done_O: Values = 0.0,
    ) -> Tensor:
        """Take orders on; the bar that opens next is their first. Returns their ids, int64, counted from 0.

        Orders that have traded already are taken on with `ledger` and `bars_done_O`, and go on where `running` stood.

        Args:
            orders: in shares of themselves.
            market_O: row of each order's market.
            sigma_O: per-bar volatility known at arrival (column `sigma` of the features).
            arrival_price_O: last close, in currency.
            mean_volume_O: trailing mean volume of a bar at arrival, in the unit of `settle`'s volumes
                (`Panel.mean_volume_NT`).
            size_O: base quantity of a quantity order, notional in currency of a notional order; with costs it decides
                impact and cap, and without them nothing.
            ledger: what the orders have traded; None for new orders. Those that have traded are not refused for their
                size: the cap stands, and what it does not let trade in their bars is left over.
            bars_done_O: bars that they have had.

        Raises:
            OrderError: an order is longer than the horizon or too large for the participation cap, a market or a number
                is impossible, or a bar has been decided and not settled. Nothing is opened then.
        """
        if self._decided is not None:
            raise OrderError("live: orders opened within a bar; allowed: before decide, or after settle")
        for place, order in enumerate(orders):
            if order.max_bars > self.horizon:
                raise OrderError(
                    f"live: order {place} of this call has max_bars {order.max_bars}; allowed: at most {self.horizon}, "
                    "the model's horizon"
                )
        terms, head_O = terms_of_orders(orders)
        market_O = torch.as_tensor(market_O, dtype=torch.int64)
        if market_O.shape != head_O.shape:
            raise OrderError(f"live: {len(market_O)} markets for {len(orders)} orders; allowed: one for each")
        for place, market in enumerate(market_O.tolist()):
            if not 0 <= market < self.markets:
                raise OrderError(
                    f"live: order {place} of this call is in market {market}; allowed: 0 to {self.markets - 1}"
                )
        terms = replace(terms, sigma_O=positive(sigma_O, "sigma", len(orders)))
        places = Places(
            id_O=self._opened + torch.arange(len(orders)),
            head_O=head_O,
            market_O=market_O,
            k_O=torch.as_tensor(bars_done_O, dtype=torch.float64).expand(len(orders)).clone(),
            arrival_price_O=positive(arrival_price_O, "arrival price", len(orders)),
            mean_volume_O=positive(mean_volume_O, "mean volume", len(orders)),
        )
        if self.costs is not None:
            size_O = positive(size_O, "size", len(orders))
            terms = _with_size(terms, self.costs, size_O, places, begun=ledger is not None)
        ledger = ledger or open_ledger(terms, head_O.shape)
        self._opened += len(orders)
        self._terms = each(behind, self._terms, terms)
        self._ledger = each(behind, self._ledger, ledger)
        self._at = each(behind, self._at, places)
        return places.id_O

    def running(self) -> tuple[Tensor, Ledger, Tensor]:
        """Ids (int64), ledger and bars done (float64) of the live orders, in the order in which they were opened."""
        return self._at.id_O, self._ledger, self._at.k_O

    def largest_rate(self) -> list[float]:
        """Largest share of each live order in one bar, its own limit and the participation cap taken together."""
        return self._terms.max_rate_O.expand(len(self)).tolist()

    @torch.no_grad()
    def decide(self, context_NH: Tensor, last_close_N: Values) -> Slices:
        """What each order trades in the bar that now opens; asked again before `settle`, it answers the same.

        Args:
            context_NH: context of the bar that has just closed (`MarketStream.advance`).
            last_close_N: its close in currency; for a bar without trades the last one known.

        Raises:
            OrderError: a market with live orders has no usable context or close, or the model's answer is not finite.
        """
        at, terms, ledger = self._at, self._terms, self._ledger
        if context_NH.shape != (self.markets, self.model.config.hidden):
            raise OrderError(
                f"live: context of shape {tuple(context_NH.shape)}; allowed: {self.markets} markets, "
                f"{self.model.config.hidden} numbers each"
            )
        self._refuse(~torch.isfinite(context_NH).all(dim=1), "a context that is not finite")
        last_close_N = self._by_market(last_close_N, "closes")
        self._refuse(~(torch.isfinite(last_close_N) & (last_close_N > 0)), "a last close that is not a positive number")
        if len(self):
            with reproducible():
                asked_O, probability_O = self._asked(context_NH, last_close_N)
        else:
            asked_O, probability_O = at.k_O, at.k_O
        if not torch.isfinite(asked_O + probability_O).all():
            order = int(at.id_O[~torch.isfinite(asked_O + probability_O)][0])
            raise OrderError(f"live: the model's slice of order {order} is not finite; its weights are not usable")
        taken = step(ledger, terms, at.k_O, asked_O, probability_O >= FINISH_AT)
        self._decided = Slices(at.id_O, taken.slice_O, taken.ends_O, probability_O)
        return self._decided

    def settle(
        self,
        vwap_N: Values,
        volume_N: Values,
        filled_O: Values | None = None,
        paid_O: Values | None = None,
    ) -> Finished:
        """Book the bar that has closed, and let go of the orders that ended with it.

        A market with volume 0 did not trade: the bar fills none of its orders and counts for none of them.

        Args:
            vwap_N: volume-weighted price in currency.
            volume_N: volume, in the unit of `open`'s mean volume.
            filled_O: share of each order that was filled, where that is known. It is booked in place of the slice that
                was decided, and nothing need have been decided. An order then ends when nothing is left of it after m
                bars, and with bar N whatever is left. What was filled in a bar with volume 0 is booked at `vwap_N`, and
                the bar counts for nothing else.
            paid_O: price of what was filled, in currency; NaN for the bar's own.

        Raises:
            OrderError: there is neither a decision nor fills, a fill is negative or more than what remained, or a
                market with live orders has no usable price or volume. Nothing is booked then.
        """
        if self._decided is None and filled_O is None:
            raise OrderError("live: settle without decide; allowed: decide, then settle, once each bar")
        at = self._at
        slice_O = self._decided.slice_O if self._decided and filled_O is None else self._filled(filled_O)
        vwap_N, volume_N = self._by_market(vwap_N, "prices"), self._by_market(volume_N, "volumes")
        self._refuse(~(torch.isfinite(volume_N) & (volume_N >= 0)), "a volume that is not a number of 0 or more")
        priced_N = torch.isfinite(vwap_N) & (vwap_N > 0)
        self._refuse((volume_N > 0) & ~priced_N, "a volume, and a price that is not a positive number")
        traded_O = volume_N[at.market_O] > 0
        if filled_O is None:
            slice_O = torch.where(traded_O, slice_O, 0.0)
        if ((slice_O > 0) & ~priced_N[at.market_O]).any():
            self._refuse(~priced_N, "a fill in a bar without trades, and a price that is not a positive number")
        price_O = vwap_N[at.market_O] / at.arrival_price_O
        volume_O = volume_N[at.market_O] / at.mean_volume_O
        fill_O = None
        if paid_O is not None:
            paid_O = torch.as_tensor(paid_O, dtype=torch.float64) / at.arrival_price_O
            fill_O = torch.where(torch.isnan(paid_O), price_O, paid_O)
        ledger = book(self._ledger, self._terms, slice_O, price_O, volume_O, traded_O, fill_O)
        places = replace(at, k_O=at.k_O + traded_O)
        ended_O = over(ledger.remaining_O, self._terms, places.k_O)

        def only(rows_R: Tensor) -> tuple[Terms, Ledger, Places]:
            def rows(x_O: Tensor) -> Tensor:
                return x_O[rows_R]

            return each(rows, self._terms), each(rows, ledger), each(rows, places)

        terms, last, where = only(ended_O.nonzero().squeeze(1))
        self._terms, self._ledger, self._at = only((~ended_O).nonzero().squeeze(1))
        self._decided = None
        return Finished(
            id_O=where.id_O,
            end_bar_O=where.k_O.to(torch.int64),
            gain_bps_O=1e4 * gain(last, terms),
            achieved_O=achieved(last) * where.arrival_price_O,
            benchmark_O=benchmark(last) * where.arrival_price_O,
            filled_O=1.0 - last.remaining_O,
        )

    def _asked(self, context_NH: Tensor, last_close_N: Tensor) -> tuple[Tensor, Tensor]:
        """What the model asks for and its probability to finish, each (O,)."""
        count = len(self)
        rows_O = _whole_blocks(count)

        def rows(x_O: Tensor) -> Tensor:
            return x_O[rows_O]

        terms, ledger, at = each(rows, self._terms), each(rows, self._ledger), each(rows, self._at)
        last_close_O = last_close_N[at.market_O] / at.arrival_price_O
        base = self.model.heads.base(ledger, terms, last_close_O, at.k_O)
        state_OJ = order_state(ledger, terms, last_close_O, at.k_O, base)
        pace_O, finish_O = self._logits(context_NH, state_OJ[:count])
        asked_O, probability_O = within_limits(pace_O[rows_O], finish_O[rows_O], ledger, terms, at.k_O, base)
        return asked_O[:count], probability_O[:count]

    def _logits(self, context_NH: Tensor, state_OJ: Tensor) -> tuple[Tensor, Tensor]:
        """Pace and finish logits, each (O,): every order through the head of its own scenario alone."""
        heads, at = self.model.heads, self._at
        dtype = heads.out_bias_S2.dtype
        read_SND = self._read_context(context_NH.to(dtype))
        parts = [(at.head_O == s).nonzero().squeeze(1) for s in range(len(SCENARIOS))]
        rows_GK = torch.cat([rows_R[_whole_blocks(len(rows_R))] for rows_R in parts]).view(-1, BLOCK)
        head_G = at.head_O[rows_GK[:, 0]]
        # Of each tensor the row of the block's scenario; one network for all scenarios has one row, which all share.
        weights = {name: row if len(row) == 1 else row[head_G] for name, row in self._weights.items()}
        inputs = read_SND[head_G[:, None], at.market_O[rows_GK]], state_OJ.to(dtype)[rows_GK]
        out_2O = torch.empty(2, len(self), dtype=dtype)
        for out_O, out_KG in zip(out_2O, functional_call(heads, weights, inputs), strict=True):
            out_O[rows_GK.flatten()] = out_KG.t().flatten()
        return out_2O[0], out_2O[1]

    def _read_context(self, context_NH: Tensor) -> Tensor:
        """The contexts' part of the heads' first layer, (S, N, D)."""
        blocks = context_NH[_whole_blocks(self.markets)].split(BLOCK)
        read = [self.model.heads.read_context(block_KH) for block_KH in blocks]
        return torch.cat(read, dim=1)

    def _filled(self, values: Values | None) -> Tensor:
        filled_O = torch.as_tensor(values, dtype=torch.float64)
        if filled_O.shape not in ((), (len(self),)):
            raise OrderError(
                f"live: fills of shape {tuple(filled_O.shape)}; allowed: one for each of {len(self)} orders"
            )
        filled_O = filled_O.expand(len(self))
        bad_O = ~((filled_O >= 0) & (filled_O <= self._ledger.remaining_O + TOLERANCE))
        if bad_O.any():
            order, share, left = (float(x_O[bad_O][0]) for x_O in (self._at.id_O, filled_O, self._ledger.remaining_O))
            raise OrderError(
                f"live: order {order:g} has a fill of {share:g} of it; allowed: 0 to {left:g}, what remains"
            )
        return filled_O

    def _by_market(self, values: Values, what: str) -> Tensor:
        values_N = torch.as_tensor(values, dtype=torch.float64)
        if values_N.shape not in ((), (self.markets,)):
            raise OrderError(f"live: {what} of shape {tuple(values_N.shape)}; allowed: one for {self.markets} markets")
        return values_N.expand(self.markets)

    def _refuse(self, bad_N: Tensor, what: str) -> None:
        """Refuse what is wrong in a market with live orders; what is wrong in the others does not matter."""
        bad_O = bad_N[self._at.market_O]
        if bad_O.any():
            order, market = (int(x_O[bad_O][0]) for x_O in (self._at.id_O, self._at.market_O))
            raise OrderError(f"live: market {market} has {what}, and live orders (the first is {order})")


def _whole_blocks(count: int) -> Tensor:
    """Places of so many rows, the last one repeated until they fill whole blocks."""
    return torch.arange(-(-count // BLOCK) * BLOCK).clamp(max=max(count - 1, 0))


def check_largest(
    order: Order, size: float, costs: CostsConfig, sigma: float, arrival_price: float, mean_volume: float
) -> None:
    """Refuse an order that is too large for the participation cap, as `LiveOrders.open` does.

    Args:
        order: in shares of itself.
        size: base quantity, or notional in currency.
        costs: with the cap.
        sigma: per-bar volatility.
        arrival_price: last close, in currency.
        mean_volume: trailing mean volume of a bar.

    Raises:
        OrderError: says how large an order may be, in its own unit.
    """
    terms, head_O = terms_of_orders([order])
    one_O = torch.ones(1, dtype=torch.float64)
    places = Places(head_O, head_O, head_O, 0.0 * one_O, arrival_price * one_O, mean_volume * one_O)
    _with_size(replace(terms, sigma_O=sigma * one_O), costs, size * one_O, places, begun=False, named="size")


def _with_size(terms: Terms, costs: CostsConfig, size_O: Tensor, places: Places, begun: bool, named: str = "") -> Terms:
    """The orders with their costs; a new one that is too large is refused in its own unit."""
    bar_O = places.mean_volume_O * torch.where(terms.notional_O, places.arrival_price_O, 1.0)
    most_O = largest_size(terms, costs) * bar_O
    wrong_O = size_O > most_O * (1.0 + TOLERANCE)
    if wrong_O.any() and not begun:
        place = int(wrong_O.nonzero()[0])
        size, bar, most, low, n = (float(x_O[place]) for x_O in (size_O, bar_O, most_O, terms.min_rate_O, terms.n_O))
        unit = "notional" if terms.notional_O[place] else "base quantity"
        why = f"in {n:g} bars" if low * n <= 1.0 else f"at its min_rate of {low:g}"
        # Rounded down: what the message allows is allowed.
        allowed = float(Context(prec=6, rounding=ROUND_DOWN).create_decimal_from_float(most))
        said = named or f"live: order {place} of this call has a size of"
        raise OrderError(
            f"{said} {size:.10g} ({unit}), {size / bar:.4g} mean bar volumes; "
            f"allowed: at most {allowed:g}, what the participation_cap of {costs.participation_cap:g} mean bar volumes "
            f"lets it trade {why}"
        )
    return with_costs(terms, costs, size_O / bar_O, begun)
