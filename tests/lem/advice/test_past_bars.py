"""Orders of the theory are simulated on the weeks before an order and on no later day; real orders are like those."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.markets import real_panel, real_universe
from lem.advice.past_bars import MOST_DAYS, PastBars, read_past_bars
from lem.advice.theory_gain import Kind, TheoryGains
from lem.backtest.market import market_of
from lem.backtest.simulator import simulate
from lem.data.panel import PANEL_SCHEMA, panel_table
from lem.execution.orders import SCENARIOS
from lem.execution.terms import make_terms
from lem.lake import Lake
from lem.model.lem import LEM
from lem.strategies.learned import Learned
from lem.universe import Universe
from lem.universe.calendars import partition_dates
from tests.lem.builders import FEATURE_CONFIG, TINY, brownian_bars, features_of

DATE = dt.date(2024, 1, 22)
KIND = Kind("vwap", 1, 4, 0.0, 1.0, 1.0)


@pytest.fixture(scope="module")
def universe(make_universe) -> Universe:
    return make_universe(horizon=4, backtest={"min_bars": [1, 4]}, features=FEATURE_CONFIG.model_dump())


@pytest.fixture
def lake(tmp_path, universe) -> Lake:
    """A panel of every date up to the end of the universe."""
    lake = Lake(f"memory://{tmp_path.name}")
    days = partition_dates(universe, universe.start, universe.end)
    tables = {symbol: features_of(brownian_bars(len(days), i)) for i, symbol in enumerate(universe.symbols)}
    for date in days:
        write(lake, universe, date, {s: t[t["ts"].dt.date == date] for s, t in tables.items()})
    return lake


def write(lake: Lake, universe: Universe, date: dt.date, rows) -> None:
    lake.write_table(lake.path(universe.name, "panel", date), panel_table(rows), PANEL_SCHEMA)


def test_days_from_the_order_s_week_on_are_never_read(lake, universe):
    before = read_past_bars(lake, universe, DATE)
    assert before.days == "2024-01-01 to 2024-01-21"
    costs = universe.costs
    known = TheoryGains(costs).of(KIND, 0.2, 0.01, before)
    for date in partition_dates(universe, DATE, universe.end):
        path = lake.path(universe.name, "panel", date)
        table = lake.read_table(path)
        lake.write_table(path, table.assign(vwap=table["vwap"] * 7.0, volume=1e-9), PANEL_SCHEMA)
    assert TheoryGains(costs).of(KIND, 0.2, 0.01, read_past_bars(lake, universe, DATE)) == known
    path = lake.path(universe.name, "panel", DATE - dt.timedelta(days=1))
    table = lake.read_table(path)
    lake.write_table(path, table.assign(vwap=table["vwap"] * 1.1), PANEL_SCHEMA)
    assert TheoryGains(costs).of(KIND, 0.2, 0.01, read_past_bars(lake, universe, DATE)) != known


@pytest.mark.parametrize(
    ("date", "days"), [(dt.date(2024, 1, 5), "2024-01-01 to 2024-01-04"), (dt.date(2024, 1, 4), "")]
)
def test_where_there_are_too_few_days_or_they_are_too_old_there_is_none(lake, universe, date, days):
    found = read_past_bars(lake, universe, date)
    assert (found.days if found else "") == days
    assert read_past_bars(lake, universe, universe.end + dt.timedelta(days=MOST_DAYS + 20)) is None


def test_each_stretch_is_bought_and_sold_so_that_the_direction_of_the_past_is_of_no_matter(lake, universe):
    past, gains = read_past_bars(lake, universe, DATE), TheoryGains(universe.costs)
    panel, means = past._panel, {}
    for name, drift in (("rising", 0.004), ("falling", -0.004)):
        up_T = np.exp(drift * np.arange(panel.bars))
        tilted = replace(panel, vwap_NT=panel.vwap_NT * up_T, close_NT=panel.close_NT * up_T)
        means[name] = gains.of(KIND, 0.2, 0.01, PastBars(tilted, name)).mean_bps
    print(means)
    assert means["rising"] == pytest.approx(means["falling"], abs=2.0)
    assert past.orders(4) == 2 * len(past.market(4).sigma_A) <= 2048


def test_on_bars_of_even_volatility_it_is_what_gaussian_bars_say(lake, universe):
    gains = TheoryGains(universe.costs)
    past = read_past_bars(lake, universe, DATE)
    found, even = gains.of(KIND, 0.2, 0.01, past), gains.of(KIND, 0.2, 0.01)
    assert past is not None
    assert found != even
    assert found.mean_bps == pytest.approx(even.mean_bps, abs=6.0)
    assert found.low_bps == pytest.approx(even.low_bps, rel=0.25)
    assert found.high_bps == pytest.approx(even.high_bps, rel=0.25)


@pytest.mark.slow
@pytest.mark.parametrize(("m", "n"), [(1, 12), (6, 12), (1, 6)])
def test_of_real_orders_of_the_months_after_five_in_a_hundred_lie_below_and_above(shared_data, m, n):
    start, middle, end = dt.date(2020, 9, 1), dt.date(2021, 1, 4), dt.date(2021, 3, 31)
    universe = real_universe("crypto", start, end)
    panel, model = real_panel(universe, str(shared_data("crypto_1h").parent)), LEM(TINY).eval()
    past = PastBars(panel.between(start, middle), "before")
    gains, costs = TheoryGains(universe.costs), universe.costs
    asset_A, bar_A = np.nonzero(panel.accepted(n) & (panel.date_T >= np.datetime64(middle)))
    asset_A, bar_A = asset_A[::7], bar_A[::7]
    market = market_of(panel, asset_A, bar_A, n, model)
    terms = make_terms(SCENARIOS, m, n, 0.0, 1.0, 1.0)
    gain_AS = 1e4 * simulate(Learned(model), market, terms, costs).net_gain_O[:, 0].numpy()
    shares = {}
    for name, bars in (("past", past), ("even", None)):
        below, above = [], []
        for place, scenario in enumerate(SCENARIOS):
            kind = Kind(str(scenario.benchmark), m, n, 0.0, 1.0, 1.0)
            found = [gains.of(kind, costs.order_size, sigma, bars) for sigma in market.sigma_A.tolist()]
            below.append(gain_AS[:, place] < [one.low_bps for one in found])
            above.append(gain_AS[:, place] > [one.high_bps for one in found])
        shares[name] = np.mean(below), np.mean(above)
    print(f"m {m}, N {n}: below and above {shares}")
    assert all(0.03 <= share <= 0.08 for share in shares["past"])
    assert shares["even"][0] > 0.08, "what the bars of before are for"
