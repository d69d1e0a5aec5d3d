from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks import slices
from benchmarks.evaluate import Gains, arrivals, gains
from benchmarks.marks import MARK_OUTS, Marks
from lem.backtest.market import market_of
from lem.backtest.simulator import simulate
from lem.execution.costs import BPS
from lem.execution.costs_config import CostsConfig
from lem.execution.orders import SCENARIOS, Side
from lem.execution.terms import terms_for
from lem.strategies.bang_bang import BangBang
from lem.strategies.rules import RULES_WITH_COSTS
from tests.lem.builders import brownian_panel

HORIZON, MIN_BARS = 12, (1, 3, 6, 9, 11, 12)
MODEL = "lem, lambda 1"
PANEL = brownian_panel(30, assets=2)
DATES = np.unique(PANEL.date_T)
ORDERS = arrivals(PANEL, DATES[10].item(), DATES[-1].item(), HORIZON, every=3)


def made(values: np.ndarray, shortfall: float = 0.0, markout: float = 0.0) -> Gains:
    """Gains of every arrival as given, in all scenarios, with marks that are the same everywhere."""
    wide = np.broadcast_to(values[:, None, None], (len(values), len(MIN_BARS), 8)).astype(np.float32)
    flat = np.full((len(values), len(slices.MARKED)), shortfall, dtype=np.float32)
    outs = np.full((*flat.shape, len(MARK_OUTS)), markout, dtype=np.float32)
    return Gains(None, wide, Marks(flat, flat**2, outs))


def test_marks_are_those_of_each_order_by_hand():
    costs = CostsConfig()
    found = gains(PANEL, ORDERS, BangBang(), MIN_BARS, HORIZON, 1.0, costs, before_costs=False, marked=slices.MARKED)
    assert found.marks is not None
    for i, m in enumerate(slices.MARKED):
        done = simulate(
            BangBang(), market_of(PANEL, ORDERS.asset_A, ORDERS.bar_A, HORIZON), terms_for((m,), HORIZON, 1.0), costs
        )
        for a in (0, 7, len(ORDERS.bar_A) // 2):
            paid, outs = [], []
            close = PANEL.close_NT[ORDERS.asset_A[a]]
            for s, scenario in enumerate(SCENARIOS):
                sign = 1.0 if scenario.side is Side.BUY else -1.0
                benchmark, net = float(done.benchmark_O[a, 0, s]), float(done.net_gain_O[a, 0, s])
                average = benchmark - sign * net * benchmark
                paid.append(BPS * sign * (average - 1.0))
                last = ORDERS.bar_A[a] + int(done.end_bar_O[a, 0, s]) - 1
                outs.append([BPS * sign * (close[last + bars] / close[last] - 1.0) for bars in MARK_OUTS])
            assert found.marks.shortfall_AM[a, i] == pytest.approx(np.mean(paid), rel=1e-4, abs=1e-3)
            assert found.marks.square_AM[a, i] == pytest.approx(np.mean(np.square(paid)), rel=1e-4)
            np.testing.assert_allclose(found.marks.markout_AMJ[a, i], np.mean(outs, axis=0), rtol=1e-4, atol=1e-3)


def test_a_mark_out_beyond_the_last_bar_or_over_a_gap_is_left_out():
    last = replace(ORDERS, asset_A=np.array([0]), bar_A=np.array([PANEL.bars - HORIZON]))
    found = gains(PANEL, last, BangBang(), MIN_BARS, HORIZON, 1.0, CostsConfig(), False, marked=(9,))
    assert found.marks is not None
    assert np.isnan(found.marks.markout_AMJ[0, 0, -1])
    assert np.isfinite(found.marks.shortfall_AM).all()


def test_slices_of_volatility_and_trend_are_thirds_and_weekends_are_told_from_weekdays():
    found = slices.market_slices(PANEL, ORDERS)
    for kind, names in slices.TERCILES.items():
        shares = [(found[kind] == name).mean() for name in names]
        assert shares == pytest.approx([1 / 3] * 3, abs=0.01)
    assert ORDERS.sigma_A[found["volatility"] == "low"].max() <= ORDERS.sigma_A[found["volatility"] == "middle"].min()
    before, early = PANEL.close_NT[ORDERS.asset_A, ORDERS.bar_A - 1], ORDERS.bar_A - 1 - slices.TREND_BARS
    move = np.log(before / PANEL.close_NT[ORDERS.asset_A, early]) / ORDERS.sigma_A
    assert move[found["trend"] == "falling"].max() <= move[found["trend"] == "rising"].min()
    weekend = np.array([day.item().weekday() >= 5 for day in ORDERS.day_A])
    assert (found["day"][weekend] == "weekend").all()
    assert (found["day"][~weekend] == "weekday").all()


def test_an_arrival_without_bars_before_it_has_no_trend():
    early = replace(ORDERS, bar_A=np.where(np.arange(len(ORDERS.bar_A)) == 0, 3, ORDERS.bar_A))
    assert slices.market_slices(PANEL, early)["trend"][0] == ""


def test_the_model_is_compared_in_each_slice_with_the_rule_that_keeps_most_of_all():
    rng = np.random.default_rng(0)
    values = rng.normal(10.0, 4.0, len(ORDERS.bar_A))
    of_A = slices.market_slices(PANEL, ORDERS)
    better = np.where(of_A["volatility"] == "high", 3.0, 0.0)
    low, high = RULES_WITH_COSTS
    by_seed = {low: [made(values - 5)], high: [made(values)], MODEL: [made(values + better), made(values + better + 2)]}
    rows = slices.slice_rows("here", of_A, ORDERS, by_seed, MODEL, MIN_BARS, 1)
    assert len(rows) == len(slices.MARKED) * 8
    assert {row["rule"] for row in rows} == {high}
    assert {row["comparisons"] for row in rows} == {24}
    for row in rows:
        inside = of_A[row["kind"]] == row["slice"]
        assert row["arrivals"] == inside.sum()
        assert row["difference"] == pytest.approx(1.0 + better[inside].mean(), abs=1e-5)
        assert row["difference"] == pytest.approx(row["net_bps"] - row["rule_net_bps"], abs=1e-5)
        assert row["low"] <= row["difference"] <= row["high"]


def test_a_market_without_weekends_has_no_slices_of_days():
    rng = np.random.default_rng(0)
    values = rng.normal(10.0, 4.0, len(ORDERS.bar_A))
    by_seed = {name: [made(values)] for name in (*RULES_WITH_COSTS, MODEL)}
    of_A = slices.market_slices(PANEL, ORDERS) | {"day": np.full(len(values), "weekday")}
    rows = slices.slice_rows("here", of_A, ORDERS, by_seed, MODEL, MIN_BARS, 1)
    assert {row["kind"] for row in rows} == {"volatility", "trend"}


def test_shortfalls_have_rows_for_the_model_the_rule_and_twap_and_mark_outs_for_the_first_two():
    rng = np.random.default_rng(0)
    values = rng.normal(10.0, 4.0, len(ORDERS.bar_A))
    low, high = RULES_WITH_COSTS
    by_seed = {
        low: [made(values - 5)],
        high: [made(values, shortfall=4.0, markout=1.0)],
        "twap": [made(values - 20, shortfall=9.0)],
        MODEL: [made(values, shortfall=2.0, markout=3.0), made(values, shortfall=4.0, markout=5.0)],
    }
    marks = by_seed[MODEL][0].marks
    assert marks is not None
    marks.markout_AMJ[:10, 0, 0] = np.nan
    paid, outs = slices.marked_rows("here", ORDERS, by_seed, MODEL, MIN_BARS, 1)
    first = {row["strategy"]: row["shortfall_bps"] for row in paid if row["m"] == 1}
    assert first == {
        MODEL: pytest.approx(3.0),
        high: pytest.approx(4.0),
        "twap": pytest.approx(9.0),
        f"{MODEL} minus {high}": pytest.approx(-1.0),
        f"{MODEL} minus twap": pytest.approx(-6.0),
    }
    assert paid[0]["sd_bps"] == pytest.approx(1.0), "of 2 and 4 about 3"
    assert len(outs) == len(slices.MARKED) * 2 * len(MARK_OUTS)
    found = {(row["m"], row["strategy"], row["bars"]): row for row in outs}
    assert found[1, MODEL, 1]["markout_bps"] == pytest.approx(4.0)
    assert found[1, MODEL, 1]["arrivals"] == len(values) - 10
    assert found[9, high, 12]["markout_bps"] == pytest.approx(1.0)
