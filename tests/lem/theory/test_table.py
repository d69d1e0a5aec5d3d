"""The table says what each order's own programme says, and a model that has learnt nothing trades by it."""

from __future__ import annotations

import math

import pytest
import torch

from lem.backtest.simulator import Market, simulate
from lem.execution.costs_config import CostsConfig
from lem.execution.orders import SCENARIOS, Benchmark, Side, Target
from lem.execution.terms import make_terms, terms_for
from lem.model.lem import LEM
from lem.strategies.base import Decision
from lem.theory.programme import WIDTH, solve
from lem.theory.reader import Reader
from lem.theory.table import BARS, SHAPES, C, D, P, U, V, programme_table
from tests.lem.builders import TINY

SIGMA, ARRIVALS = 1e-4, 6000
BUY_TWAP = next(
    i for i, s in enumerate(SCENARIOS) if (s.side, s.benchmark, s.target) == (Side.BUY, Benchmark.TWAP, Target.QUANTITY)
)


def reader(m: float, n: float, impact: float, cap: float, risk: float, orders: int) -> Reader:
    terms = make_terms(SCENARIOS[:1] * orders, m, n, max_rate=cap)
    costs = {name: torch.full((orders,), value).double() for name, value in (("size_O", 1.0), ("impact_O", impact))}
    terms = type(terms)(**vars(terms) | costs)
    table = programme_table()
    return Reader(table["margin"], table["pace"], terms, torch.tensor(risk).double())


@pytest.mark.parametrize(("m", "n"), [(1, 12), (6, 12), (9, 12), (1, 6), (2, 3), (4, 8)])
@pytest.mark.parametrize(("impact", "cap", "risk"), [(0.2236, 0.5, 0.0), (0.5, 1.0, 0.15), (0.1, 0.25, 1.0)])
def test_on_its_points_the_table_says_what_the_programme_says(m, n, impact, cap, risk):
    cap = cap if cap * n >= 1 else 1.0
    solved = solve(m, n, impact, cap, risk, points=193, shares=240)
    d_X = torch.tensor([-2.0, -1.0, -0.5, 0.0, 0.5, 1.25], dtype=torch.float64)
    table = reader(m, n, impact, cap, risk, len(d_X))
    row_X = ((d_X + WIDTH) / (2 * WIDTH) * 192).round().long()
    apart: list[float] = []
    for k in range(n - 1):
        for share in (1.0, 0.6, 0.2):
            left = cap * share if k + 1 >= m else min(1.0, cap * (n - k)) * share
            column = round(left * 240)
            left = column / 240
            advice = table.read(torch.full_like(d_X, left), d_X, k)
            pace_X = torch.from_numpy(solved.pace_KDR[k, row_X, column])
            end_X = (
                -k * d_X / (k + 1) - impact * left**1.5 if k + 1 >= m and left <= cap else torch.full_like(d_X, -9.0)
            )
            low, high = max(0.0, left - cap * (n - 1 - k)), min(left, cap)
            if high - low > 0.02:
                found_X = low + advice.place_O * (high - low)
                on_X = torch.from_numpy(solved.go_KDR[k, row_X, column]) > end_X - 0.02
                apart += (found_X - pace_X).abs()[on_X].tolist()
            if k + 1 >= m and left < cap - 1e-6:
                go_X = torch.from_numpy(solved.go_KDR[k, row_X, column])
                margin_X = -k * d_X / (k + 1) - impact * left**1.5 - go_X
                near_X = margin_X.abs() < 0.4
                assert ((advice.margin_O - margin_X).abs() * near_X).max() < 0.03
    # Near to whole slices the best pace jumps, and what lies on either side of a jump is worth the same.
    assert sorted(apart)[int(0.9 * len(apart))] < 0.05


def test_between_its_points_the_table_is_read_along_straight_lines():
    """A table that is linear along each axis is read exactly, wherever an order lies."""
    axes = [C.sqrt(), U.log(), P.sqrt(), V, D]
    spread = torch.meshgrid(*axes, indexing="ij")
    linear = sum((i + 1.0) * axis for i, axis in enumerate(spread))
    table = linear.expand(SHAPES["pace"])
    generator = torch.Generator().manual_seed(0)
    c, u, p = (axis[0] + (axis[-1] - axis[0]) * torch.rand(200, generator=generator) for axis in axes[:3])
    v, d = (axis[0] + (axis[-1] - axis[0]) * torch.rand(200, generator=generator) for axis in axes[3:])
    cap = u.double().exp()
    terms = make_terms(SCENARIOS[:1] * 200, 3, 12, max_rate=cap)
    terms = type(terms)(**vars(terms) | {"size_O": torch.ones(200).double(), "impact_O": c.double() ** 2})
    read = Reader(table[: SHAPES["margin"][0]], table, terms, p.double() ** 2)
    advice = read.read(v * cap, d.double(), 2)
    expected = sum((i + 1.0) * axis for i, axis in enumerate((c, u, p, v, d))).double()
    torch.testing.assert_close(advice.margin_O * 254.0, expected, rtol=0, atol=1e-4)
    torch.testing.assert_close(advice.place_O * 255.0, expected, rtol=0, atol=1e-4)


def walk(bars: int) -> Market:
    """A driftless market with the joint law of a bar's mean and close that the programme assumes, and even volume."""
    generator = torch.Generator().manual_seed(5)
    close_AK, own_AK = (torch.randn(ARRIVALS, bars, generator=generator, dtype=torch.float64) for _ in range(2))
    last_AK = 1 + SIGMA * torch.cat([torch.zeros(ARRIVALS, 1), close_AK.cumsum(1)[:, :-1]], dim=1)
    price_AK = last_AK + SIGMA * (close_AK / 2 + own_AK * math.sqrt(1 / 3 - 1 / 4))
    sigma_A = torch.full((ARRIVALS,), SIGMA, dtype=torch.float64)
    return Market(price_AK, torch.ones_like(price_AK), last_AK, sigma_A, torch.ones(ARRIVALS, dtype=torch.bool))


class Untrained:
    """A model before its first step."""

    name = "untrained"

    def __init__(self) -> None:
        self.heads = LEM(TINY).eval().heads

    @torch.no_grad()
    def decide(self, view) -> Decision:
        orders = len(view.last_close_A11)
        read = self.heads.read_context(torch.zeros(orders, TINY.hidden)).unsqueeze(2)
        slice_O, finish_O = self.heads.decide(read, view.ledger, view.terms, view.last_close_A11, view.k)
        return Decision(slice_O, finish_O >= 0.5)


@pytest.mark.parametrize(("size", "cap"), [(0.2, 0.1), (0.05, 0.1), (1.0, 0.25)])
@pytest.mark.parametrize(
    "bars",
    [
        pytest.param(12, marks=pytest.mark.thorough),
        5,
        *(pytest.param(n, marks=pytest.mark.slow) for n in (7, 9, 10, 11, 24)),
    ],
)
def test_a_model_that_has_learnt_nothing_earns_what_the_programme_promises(size, cap, bars):
    """At lambda 0; where N is longer than those that are solved, most of it."""
    costs = CostsConfig(fee_bps=0, half_spread_bps=0, impact=0.5, order_size=size, participation_cap=cap)
    limits = sorted({1, bars // 4 + 1, bars // 2, 3 * bars // 4})
    done = simulate(Untrained(), walk(bars), terms_for(limits, bars, 0.0), costs)
    gain_AM = done.net_gain_O[:, :, BUY_TWAP] / SIGMA
    values = [solve(m, bars, 0.5 * math.sqrt(size), min(1.0, cap / size)).value for m in limits]
    for mean, error, value in zip(gain_AM.mean(0), gain_AM.std(0) / math.sqrt(ARRIVALS), values, strict=True):
        # Where N is longer than those it is a start that has to be learnt from.
        lost = 0.02 * max(abs(value), 0.1) if bars in BARS else 0.05 + 0.25 * abs(value)
        assert float(mean) >= value - lost - 2 * float(error)
        assert float(mean) <= value + 3 * float(error) + 1e-3


@pytest.mark.parametrize(
    ("size", "cap"),
    [
        (0.5, 0.1),
        (1.0, 0.1),
        *(pytest.param(*one, marks=pytest.mark.slow) for one in ((0.5, 0.15), (0.75, 0.1), (1.0, 0.11))),
    ],
)
def test_between_the_caps_that_are_solved_the_start_earns_nearly_what_the_programme_promises(size, cap):
    """Orders of many largest slices: a slice too few by then, and they cannot end before the last bars."""
    costs = CostsConfig(fee_bps=0, half_spread_bps=0, impact=0.5, order_size=size, participation_cap=cap)
    limits = [1, 3, 6, 9]
    done = simulate(Untrained(), walk(12), terms_for(limits, 12, 0.0), costs)
    gain_AM = done.net_gain_O[:, :, BUY_TWAP] / SIGMA
    for m, mean, error in zip(limits, gain_AM.mean(0), gain_AM.std(0) / math.sqrt(ARRIVALS), strict=True):
        value = solve(m, 12, 0.5 * math.sqrt(size), cap / size).value
        assert float(mean) >= value - 0.04 * max(abs(value), 0.1) - 2 * float(error), (m, float(mean), value)
