"""What the heads correct, and what no correction may cost an order."""

from __future__ import annotations

from dataclasses import replace

import torch
from hypothesis import given
from hypothesis import strategies as st

from lem.execution.fills import Ledger, limits
from lem.execution.orders import SCENARIOS
from lem.model.base import EDGE, ProgrammeBase
from tests.lem.builders import PROPERTY, SIGMA, TINY, lively_model, terms_of

S = len(SCENARIOS)
BASE = ProgrammeBase()


def slices_left(remaining_O, terms):
    """Bars that what remains takes, were each bar to trade the largest slice, in whole numbers and a part."""
    return remaining_O / terms.max_rate_O


def orders_at(data, bars=12):
    """One order in each scenario at a random bar, with a random cap, and what remains of it."""
    k = data.draw(st.integers(0, bars - 2))
    m = data.draw(st.integers(1, bars - 1))
    cap = data.draw(st.floats(1 / bars + 0.01, 1.0))
    remaining = data.draw(st.floats(0.02, 1.0).filter(lambda left: left <= cap * (bars - k)))
    terms = replace(terms_of(m, bars, high=cap, risk=0.0), sigma_O=torch.full((1, 1, 1), SIGMA, dtype=torch.float64))
    one = torch.ones(1, 1, S, dtype=torch.float64)
    traded = (1 - remaining) * one
    weight = float(k) * one
    return k, terms, Ledger(remaining * one, traded, traded, weight, weight)


@PROPERTY
@given(st.data(), st.floats(0.97, 1.03), st.integers(0, 50))
def test_no_correction_leaves_more_bars_to_trade_than_the_theory_does(data, last_close, seed):
    k, terms, ledger = orders_at(data)
    last = torch.full((1, 1, 1), last_close, dtype=torch.float64)
    low, high = limits(ledger, terms, k)
    base = BASE(ledger, terms, last, k)
    theory = low + (high - low) * torch.sigmoid(base.advised_O)
    heads = lively_model(TINY, seed=seed, scale=3.0).double().heads
    read = heads.read_context(torch.randn(1, TINY.hidden, dtype=torch.float64)).unsqueeze(2)
    asked, _ = heads.decide(read, ledger, terms, last, k)
    assert (asked >= low - 1e-12).all()
    assert (asked <= high + 1e-12).all()
    # The advice is kept a hair off the limits (EDGE), which may be on the other side of a whole slice.
    left_by_theory = torch.ceil(slices_left(ledger.remaining_O - theory, terms) - 0.03).clamp(min=1)
    edge = EDGE * (high - low) * (1 + 1e-9)  # the rounding of an advice that was put on the edge
    sure = (theory > low + edge) & (theory < high - edge)
    assert (slices_left(ledger.remaining_O - asked, terms) <= left_by_theory + 1e-9)[sure].all()


def test_an_order_that_the_theory_would_bring_within_one_bar_may_end_after_it_whatever_is_corrected():
    """Two slices are left and the cap is half of the order: after a bar that is whole, one is."""
    one = torch.ones(1, 1, 1, dtype=torch.float64)
    terms = replace(terms_of(1, 12, high=0.5, risk=0.0), sigma_O=SIGMA * one)
    zero = torch.zeros(1, 1, S, dtype=torch.float64)
    ledger = Ledger(zero + 0.8, zero + 0.2, zero + 0.2, zero + 2, zero + 2)
    base = BASE(ledger, terms, one, 2)
    assert base.least_O is not None
    assert (base.least_O >= 0.3).all()
    assert (base.least_O < 0.3 + 1e-5).all()
