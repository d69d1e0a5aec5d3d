"""Lots, ticks and least amounts as ccxt's market data have them."""

from __future__ import annotations

from decimal import Decimal

import ccxt
import pytest

from lem.sources.base import rules_from
from lem.sources.ccxt_rules import rules_of
from lem.sources.expected import OnlyExpected
from lem.sources.neighbours import WithNeighbours

SPOT = {
    "precision": {"amount": 1e-05, "price": 0.01},
    "limits": {"amount": {"min": 1e-05}, "cost": {"min": 5.0}, "price": {"min": None}},
}
KNOWN = {
    "lot": Decimal("0.00001"),
    "tick": Decimal("0.01"),
    "min_amount": Decimal("0.00001"),
    "min_notional": Decimal(5),
}


def test_steps_and_limits_of_a_spot_market():
    assert rules_of(SPOT, ccxt.TICK_SIZE) == KNOWN
    places = {**SPOT, "precision": {"amount": 5, "price": 2}}
    assert rules_of(places, ccxt.DECIMAL_PLACES) == KNOWN


def test_amounts_of_a_contract_are_told_in_base_currency():
    contract = {**SPOT, "contract": True, "contractSize": 0.1, "precision": {"amount": 1, "price": 0.01}}
    assert rules_of(contract, ccxt.TICK_SIZE) == {**KNOWN, "lot": Decimal("0.1"), "min_amount": Decimal("0.000001")}


@pytest.mark.parametrize(
    "market", [{}, {"precision": None, "limits": {"amount": None}}, {"limits": {"cost": {"min": 0}}}]
)
def test_what_is_not_known_is_left_out(market):
    assert rules_of(market, ccxt.TICK_SIZE) == {}
    assert "lot" not in rules_of(SPOT, ccxt.SIGNIFICANT_DIGITS)


def test_sources_around_a_venue_hand_its_rules_on_and_a_file_has_none(make_universe):
    class Venue:
        def trading_rules(self, symbol):
            return KNOWN

    universe = make_universe()
    assert rules_from(OnlyExpected(universe, WithNeighbours(universe, Venue())), "AAA-USD") == KNOWN
    assert rules_from(OnlyExpected(universe, object()), "AAA-USD") == {}
