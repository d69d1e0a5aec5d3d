"""Advice is what the backtest did on the same bars."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from lem.advice.order import ParentOrder
from lem.backtest.market import market_of
from lem.backtest.simulator import simulate
from lem.data.panel import Panel
from lem.execution.costs import largest_size
from lem.execution.orders import SCENARIOS, Order, Target
from lem.execution.terms import Terms, terms_of_orders
from lem.strategies.learned import Learned
from tests.lem.advice.desk import NOON, Desk, StoppedClock, make_desk, panel_of
from tests.lem.builders import random_order

HOUR = dt.timedelta(hours=1)


def first_bar(panel: Panel, start: dt.datetime) -> int:
    return int(np.searchsorted(panel.ts_T, np.datetime64(start.replace(tzinfo=None))))


def sized(desk: Desk, key: str, asset: str, order: Order, start: dt.datetime, bars: float) -> ParentOrder:
    """An order of so many trailing mean bar volumes at its arrival, in its own unit."""
    panel = panel_of(desk, asset)
    at = 0, first_bar(panel, start) - 1
    price = panel.close_NT[at] if order.scenario.target is Target.NOTIONAL else 1.0
    return ParentOrder(key, desk.universe.name, asset, order, float(bars * panel.mean_volume_NT[at] * price), start)


def backtest(desk: Desk, order: ParentOrder, bars: float) -> tuple[list[float], int, float]:
    """Slices, bars used and gain (bps) of the simulator with the strategy `lem`, for an order of so many mean bars."""
    panel = panel_of(desk, order.asset)
    bar = first_bar(panel, order.start)
    terms, head = terms_of_orders([order.order])
    columns = {name: getattr(terms, name)[:, None, None] for name in Terms.__dataclass_fields__}
    every, _ = terms_of_orders([replace(order.order, scenario=scenario) for scenario in SCENARIOS])
    columns |= {name: getattr(every, name) for name in ("sign_O", "vwap_O", "notional_O")}
    market = market_of(panel, np.array([0]), np.array([bar]), desk.universe.horizon, desk.model)
    costs = desk.universe.costs.model_copy(update={"order_size": bars})
    done = simulate(Learned(desk.model), market, Terms(**columns), costs)
    place = 0, 0, int(head[0])
    used = int(done.end_bar_O[place])
    return done.slices_KO[:used, *place].tolist(), used, 1e4 * float(done.gain_O[place])


def run_to_the_end(desk: Desk, clock: StoppedClock, restart_every: int = 0) -> dict[str, list[float]]:
    """Advise bar by bar until no order is open; the shares that were advised for each."""
    advisor, shares, bars = desk.advisor(clock), dict[str, list[float]](), 0
    while advisor.store.booked(desk.universe.name):
        if restart_every and bars % restart_every == 0:
            advisor = desk.advisor(clock)
        advised = advisor.advise()
        assert advised.refused == {}
        for advice in advised.slices:
            shares.setdefault(advice.order_id, []).append(advice.share)
        clock.sleep(3600)
        bars += 1
    return shares


@settings(deadline=None, max_examples=3, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**32 - 1))
def test_advice_is_what_the_backtest_did_on_the_same_bars_and_over_midnight(seed, desk, tmp_path_factory):
    desk = make_desk(tmp_path_factory.mktemp("desk"), desk.universe, seed=seed % 997)
    rng, clock = np.random.default_rng(seed), StoppedClock(NOON + 5 * HOUR)
    orders, bars, advisor = [], [], desk.advisor(clock)
    for n in range(12):
        start = NOON + int(rng.integers(5, 12)) * HOUR
        asset = desk.universe.symbols[rng.integers(2)]
        terms = random_order(rng, desk.universe.horizon)
        bars.append(float(rng.random() * min(1.0, largest_size(terms_of_orders([terms])[0], desk.universe.costs))))
        orders.append(sized(desk, f"o{n}", asset, terms, start, bars[-1]))
        advisor.submit(orders[-1])
    shares = run_to_the_end(desk, clock, restart_every=int(rng.choice([0, 5])))
    for order, size in zip(orders, bars, strict=True):
        slices, used, gain = backtest(desk, order, size)
        state = advisor.order(order.id)
        assert state.status == "finished"
        assert state.result.bars_used == used == len(shares[order.id])
        assert shares[order.id] == pytest.approx(slices, abs=1e-5)
        assert max(shares[order.id]) * size <= desk.universe.costs.participation_cap * (1 + 1e-6), "under the cap"
        assert state.result.gain_bps == pytest.approx(gain, abs=0.05)
