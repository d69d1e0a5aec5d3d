from __future__ import annotations

import math

import ccxt
import pytest

from lem.errors import SourceError
from lem.sources.venues import KLINES, Unified, Window, bars_of
from lem.sources.volumes import UNIFIED, volume_unit
from tests.conftest import ROOT


def market(kind="linear", size=0.01, **keys):
    told = {"symbol": "AAA/USDT:USDT", "base": "AAA", "quote": "USDT", "contract": kind != "spot", "contractSize": size}
    return told | {"spot": kind == "spot", "linear": kind == "linear", "inverse": kind == "inverse"} | keys


@pytest.mark.parametrize(
    ("venue", "kind", "stated", "unit"),
    [
        ("gate", "linear", None, 0.01),
        ("mexc", "linear", None, 0.01),
        ("kucoinfutures", "linear", None, 0.01),
        ("bitget", "linear", None, 1.0),
        ("binancecoinm", "inverse", None, 1.0),
        ("okx", "inverse", None, 1.0),
        ("woo", "linear", "contracts", 0.01),
        ("woo", "linear", "base", 1.0),
        ("woo", "inverse", "base", 1.0),
        ("woo", "spot", None, 1.0),
    ],
)
def test_volume_is_made_into_base_currency(venue, kind, stated, unit):
    assert volume_unit(venue, market(kind), stated) == unit


def test_a_contract_of_one_coin_needs_no_more_to_be_known():
    assert volume_unit("woo", market(size=1), None) == 1.0


@pytest.mark.parametrize(
    ("venue", "kind", "keys", "stated", "told"),
    [
        ("gate", "inverse", {}, None, r"counts contracts of 0\.01 USDT; how much AAA that is depends on the price"),
        ("gate", "quanto", {}, None, r"nothing is known of what its volume counts, AAA or contracts of 0\.01"),
        ("woo", "quanto", {}, "contracts", r"counts contracts \(quanto, of 0\.01\)"),
        ("woo", "inverse", {}, "contracts", "how much AAA that is depends"),
        ("woo", "linear", {}, None, r"nothing is known.*source\.contract_volume \('base' or 'contracts'"),
        ("woo", "inverse", {"contractSize": 1}, None, "nothing is known"),
        ("woo", "linear", {"contractSize": None}, None, "contracts of unknown size"),
        ("gate", "linear", {"contractSize": None}, None, "of unknown size"),
        ("hibachi", "linear", {}, None, "its volume is in USDT, not in AAA"),
        (
            "gate",
            "linear",
            {},
            "base",
            r"source\.contract_volume is 'base', but its volume is known to count contracts",
        ),
        ("woo", "spot", {}, "contracts", "is known to count base"),
    ],
)
def test_a_volume_that_cannot_be_told_in_base_currency_is_refused(venue, kind, keys, stated, told):
    with pytest.raises(SourceError, match=told):
        volume_unit(venue, market(kind, **keys), stated)


class Client:
    """As much of ccxt's client as is asked for: every bar has a volume of 1,000."""

    id = "gate"

    def feature_value(self, *of):
        return None

    def fetch_ohlcv(self, symbol, timeframe, since, limit, params):
        return [[since, 1.0, 2.0, 0.5, 1.5, 1000]]


def test_the_volume_of_unified_bars_is_that_many_contracts():
    bars = bars_of(Client(), market())
    assert isinstance(bars, Unified)
    window = Window(market(), "1h", 3_600_000, 1_704_067_200_000, 1_704_067_200_000, 100)
    ((_, bar),) = bars.ask(Client(), window)
    assert bar[:5] == (1.0, 2.0, 0.5, 1.5, 10.0)
    assert math.isnan(bar[5])


def test_stated_where_the_venues_own_bars_are_read_is_refused():
    client = type("Binance", (), {"id": "binance"})()
    with pytest.raises(SourceError, match="known to count base"):
        bars_of(client, market(), "contracts")


def test_every_venue_of_the_table_is_one_of_ccxts():
    assert {venue for venue, _ in UNIFIED} <= set(ccxt.exchanges)
    assert not set(UNIFIED) & set(KLINES)


def test_the_docs_have_the_table_of_volumes():
    rows = [f"| `{venue}` | {kind} | {one.unit} | {one.known} |" for (venue, kind), one in sorted(UNIFIED.items())]
    text = (ROOT / "docs" / "venues.md").read_text(encoding="utf-8")
    assert "\n".join(rows) in text
