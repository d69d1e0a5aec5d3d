"""How a slice is filled in its bar: within its volume and range, in lots, at its limit, the same every time."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lem.advice.amounts import as_told, down_to, total
from lem.advice.venue_rules import NO_RULES, VenueRules
from lem.errors import PaperError
from lem.paper.behaviour import Behaviour
from lem.paper.filling import Child, TradedBar, fill_child, step_of

TEN = dt.datetime(2024, 3, 30, 10, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)
BAR = TradedBar(high=102.0, low=99.0, vwap=100.0, volume=1000.0)
FREE = Behaviour(fee_bps=0.0, half_spread_bps=0.0, participation=1.0)


def child(amount="12.5", side="buy", target="quantity", **changes):
    own = {"accepted_at": TEN, "size": Decimal(100), "mode": "confirm", "limit_price": None, "rules": NO_RULES}
    own |= changes
    return Child("one", "BTC-USDT", side, target, TEN, TEN + HOUR, amount=Decimal(amount), **own)


BEHAVIOURS = st.builds(
    Behaviour,
    seed=st.integers(0, 99),
    participation=st.floats(0.001, 1),
    partial=st.floats(0, 1),
    parts=st.integers(1, 7),
    fee_bps=st.floats(-5, 50),
    half_spread_bps=st.floats(0, 20),
)


@settings(max_examples=300, deadline=None, database=None)
@given(
    behaviour=BEHAVIOURS,
    side=st.sampled_from(["buy", "sell"]),
    target=st.sampled_from(["quantity", "notional"]),
    lot=st.sampled_from([None, Decimal("0.001"), Decimal("0.5"), Decimal(7)]),
    tick=st.sampled_from([None, Decimal("0.01")]),
    limit=st.sampled_from([None, Decimal("99.6"), Decimal("100.4")]),
    amount=st.floats(0.001, 5000),
    late=st.floats(0, 1),
)
def test_fills_lie_within_slice_volume_range_lot_limit_and_time(
    behaviour, side, target, lot, tick, limit, amount, late
):
    came = TEN + HOUR * late
    slice_ = child(
        as_told(amount), side, target, accepted_at=came, limit_price=limit, rules=VenueRules(lot=lot, tick=tick)
    )
    fills = fill_child(slice_, BAR, behaviour)
    assert fills == fill_child(slice_, BAR, behaviour)
    assert total([fill.amount for fill in fills]) <= slice_.amount
    units = [f.amount / f.price if target == "notional" else f.amount for f in fills]
    most = BAR.volume * behaviour.participation * ((slice_.bar_end - came) / HOUR)
    assert float(sum(units)) <= most * (1 + 1e-9)
    assert len({fill.fill_id for fill in fills}) == len(fills) <= behaviour.parts
    spread = behaviour.half_spread_bps / 1e4
    for fill, own in zip(fills, units, strict=True):
        assert fill.amount > 0
        assert 99 * (1 - spread) - 0.011 <= fill.price <= Decimal(102 * (1 + spread) + 0.011)
        assert came - dt.timedelta(milliseconds=1) <= fill.traded_at < slice_.bar_end
        paid = float(fill.amount * (1 if target == "notional" else fill.price))
        assert float(fill.fee) == pytest.approx(paid * behaviour.fee_bps / 1e4, abs=1e-8)
        for number in (fill.amount, fill.price, fill.fee):
            assert Decimal(repr(float(number))) == number, "JSON does not change it"
        if lot is not None:
            assert target == "notional" or down_to(own, lot) == own
            assert target == "quantity" or float(own / lot) == pytest.approx(round(own / lot))
        if tick is not None:
            assert down_to(fill.price, tick) == fill.price
        if limit is not None:
            assert fill.price <= limit if side == "buy" else fill.price >= limit
    times = [fill.traded_at for fill in fills]
    assert times == sorted(times)


def test_a_slice_is_filled_in_full_where_nothing_hinders_it():
    for parts in (1, 3, 8):
        fills = fill_child(child("12.3456"), BAR, replace(FREE, parts=parts))
        assert total([fill.amount for fill in fills]) == Decimal("12.3456")


@pytest.mark.parametrize(
    ("changes", "bar", "filled"),
    [
        ({}, replace(BAR, volume=4.0), "4"),
        ({"accepted_at": TEN + HOUR / 2}, replace(BAR, volume=4.0), "2"),
        ({"accepted_at": TEN + HOUR}, BAR, "0"),
        ({}, replace(BAR, volume=0.0), "0"),
        ({"amount": "0"}, BAR, "0"),
        ({"amount": "12.57", "rules": VenueRules(lot=Decimal("0.1"))}, BAR, "12.5"),
        ({"amount": "1.5", "rules": VenueRules(lot=Decimal("0.1"), min_amount=Decimal(2))}, BAR, "0"),
        ({"amount": "0.5", "rules": VenueRules(min_notional=Decimal(100))}, BAR, "0"),
        ({"limit_price": Decimal(98)}, BAR, "0"),
        ({"limit_price": Decimal(103)}, BAR, "12.5"),
        ({"side": "sell", "limit_price": Decimal(103)}, BAR, "0"),
        ({"target": "notional", "amount": "1250"}, BAR, "1250"),
    ],
)
def test_what_a_venue_does_not_trade_is_not_filled(changes, bar, filled):
    assert total([fill.amount for fill in fill_child(child(**changes), bar, FREE)]) == Decimal(filled)


def test_the_seed_the_order_and_the_bar_decide_and_nothing_else():
    wild = Behaviour(seed=3, partial=0.5, parts=5, participation=1.0)
    fills = fill_child(child(), BAR, wild)
    assert fills != fill_child(child(), BAR, replace(wild, seed=4))
    other = fill_child(replace(child(), order_id="two"), BAR, wild)
    assert not {fill.fill_id for fill in fills} & {fill.fill_id for fill in other}
    later = replace(child(), bar=TEN + HOUR, bar_end=TEN + 2 * HOUR)
    assert not {fill.fill_id for fill in fills} & {fill.fill_id for fill in fill_child(later, BAR, wild)}


def test_a_buy_pays_more_and_a_sale_gets_less_by_half_of_the_spread():
    at = replace(FREE, half_spread_bps=10.0)
    still = replace(BAR, high=100.0, low=100.0)
    (bought,), (sold,) = (fill_child(child(side=side), still, at) for side in ("buy", "sell"))
    assert (bought.price, sold.price) == (Decimal("100.1"), Decimal("99.9"))


@pytest.mark.parametrize(
    ("size", "step"), [("100", "0.0001"), ("12.3456789012", "1e-10"), ("1e-9", "1e-15"), ("2500000", "1")]
)
def test_without_a_lot_amounts_are_multiples_of_the_size_s_last_digit_or_a_millionth(size, step):
    assert step_of(child(size=Decimal(size))) == Decimal(step)
    assert step_of(child(size=Decimal(size)), Decimal("0.5")) == Decimal("0.5")


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("participation", 0.0),
        ("participation", 1.1),
        ("partial", -0.1),
        ("parts", 0),
        ("delay", float("nan")),
        ("duplicates", 2.0),
        ("corrections", float("inf")),
        ("half_spread_bps", -1.0),
        ("lot", Decimal(0)),
        ("lot", Decimal("nan")),
    ],
)
def test_a_setting_out_of_range_is_refused_by_name(setting, value):
    with pytest.raises(PaperError, match=f"{setting} .*; allowed: "):
        Behaviour(**{setting: value})
