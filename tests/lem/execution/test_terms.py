"""Terms: what a batch of orders is, and the one place where it is made."""

from __future__ import annotations

import ast
from dataclasses import replace

import pytest
import torch

from lem.execution.orders import SCENARIOS, Benchmark, Order, Side, Target
from lem.execution.terms import make_terms, terms_for, terms_of_orders
from tests.conftest import ROOT


def test_terms_say_of_each_scenario_what_it_is():
    terms = make_terms(SCENARIOS, 1, 4)
    for s, scenario in enumerate(SCENARIOS):
        assert float(terms.sign_O[s]) == (1.0 if scenario.side is Side.BUY else -1.0)
        assert bool(terms.vwap_O[s]) == (scenario.benchmark is Benchmark.VWAP)
        assert bool(terms.notional_O[s]) == (scenario.target is Target.NOTIONAL)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_terms_have_one_type_and_the_limits_that_they_were_given(dtype):
    rate_A11 = torch.tensor([0.1, 0.2])[:, None, None]
    terms = make_terms(SCENARIOS, [[1], [2], [3]], 4, rate_A11, 0.5, 2.0, dtype=dtype)
    shape = torch.broadcast_shapes(*(column.shape for column in vars(terms).values()))
    assert shape == (2, 3, 8)
    assert {x_O.dtype for x_O in vars(terms).values()} == {dtype, torch.bool}
    assert terms.m_O.flatten().tolist() == [1, 2, 3]
    assert terms.min_rate_O.flatten().tolist() == pytest.approx([0.1, 0.2])
    assert [float(x) for x in (terms.n_O, terms.max_rate_O, terms.risk_aversion_O)] == [4, 0.5, 2]


def test_orders_that_share_an_object_have_the_terms_that_copies_of_it_have():
    one, other = Order(SCENARIOS[5], 1, 4, 0.1, 0.5, 2.0), Order(SCENARIOS[0], 3, 3)
    shared, shared_head_O = terms_of_orders([other, one, one, other, one])
    copies, copied_head_O = terms_of_orders([replace(order) for order in (other, one, one, other, one)])
    assert shared_head_O.tolist() == copied_head_O.tolist() == [0, 5, 5, 0, 5]
    for name, x_O in vars(shared).items():
        assert x_O.dtype == vars(copies)[name].dtype
        assert torch.equal(x_O.expand(5), vars(copies)[name].expand(5)), name


def test_a_mix_of_orders_has_the_terms_of_each_and_its_head():
    orders = [Order(SCENARIOS[5], 1, 4, 0.1, 0.5, 2.0), Order(SCENARIOS[0], 3, 3)]
    terms, head_O = terms_of_orders(orders)
    assert head_O.tolist() == [5, 0]
    for o, order in enumerate(orders):
        alone = make_terms([order.scenario], order.min_bars, order.max_bars, order.min_rate, order.max_rate)
        for name in ("sign_O", "vwap_O", "notional_O", "m_O", "n_O", "min_rate_O", "max_rate_O"):
            assert float(getattr(terms, name)[o]) == float(getattr(alone, name))
        assert float(terms.risk_aversion_O[o]) == order.risk_aversion
    nothing, head_O = terms_of_orders([])
    assert {x_O.shape for x_O in vars(nothing).values()} == {head_O.shape} == {torch.Size([0])}


def test_orders_of_a_backtest_are_free_of_rates_and_have_every_m():
    terms = terms_for((1, 6), 12, 0.5)
    assert terms.m_O.tolist() == [[1.0], [6.0]]
    assert [float(x) for x in (terms.n_O, terms.min_rate_O, terms.max_rate_O)] == [12.0, 0.0, 1.0]
    assert {x_O.dtype for x_O in vars(terms).values()} == {torch.float64, torch.bool}


def test_terms_are_made_in_one_place():
    makers = set()
    for package in ("lem", "resources", "assets", "lem_pipeline", "benchmarks"):
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Terms":
                    makers.add(str(path.relative_to(ROOT)))
    # A graph that leaves the house gets its terms as tensors, which terms.py has made and checked.
    assert makers == {"lem/execution/terms.py", "lem/export/graphs.py"}
