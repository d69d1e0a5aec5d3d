"""Every key that names an asset, with every kind of source: obeyed, or refused by name."""

from __future__ import annotations

import datetime as dt

import pytest
from pydantic import ValidationError

from lem.universe.source_config import KINDS

RENAMES = [{"until": "2024-01-05", "venue_symbol": "OLD"}]
KEYS = {"venue_symbol": "AAA", "renames": RENAMES}
DAILY = "https://example.org/{venue_symbol}-{date}.zip"
FALLBACK = {"kind": "ccxt", "venue": "binance", "bar": "1min"}
SECTIONS = {
    "simulated": ({}, ()),
    "files": ({"url": "{data}/{symbol}.csv"}, ()),
    "files by venue_symbol": ({"url": "{data}/{venue_symbol}.csv"}, ("venue_symbol",)),
    "ccxt": ({"venue": "binance"}, ("venue_symbol", "renames")),
    "archive": ({"daily": DAILY}, ("venue_symbol", "renames")),
    "archive by symbol": ({"daily": "https://example.org/{symbol}-{date}.zip"}, ()),
    "archive with a fallback": (
        {"daily": "https://example.org/{symbol}-{date}.zip", "fallback": FALLBACK},
        ("venue_symbol", "renames"),
    ),
    "yfinance": ({}, ("venue_symbol",)),
}


def universe_of(make_universe, section, assets):
    kind = section.split()[0]
    calendar = {"calendar": "XNYS"} if kind == "yfinance" else {}
    return make_universe(source={"kind": kind, **SECTIONS[section][0]}, assets=assets, **calendar)


def test_every_kind_stands_in_the_table():
    assert {section.split()[0] for section in SECTIONS} == set(KINDS)


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("section", SECTIONS)
def test_a_name_of_an_asset_is_obeyed_or_refused(make_universe, section, key):
    assets = {"AAA-USD": {}, "BBB-USD": {key: KEYS[key]}}
    if key in SECTIONS[section][1]:
        universe = universe_of(make_universe, section, assets)
        source, date = universe.source, dt.date(2024, 1, 2)
        name = universe.assets["BBB-USD"].name_on(date, "BBB-USD")
        told = source.place("BBB-USD", name) + str(getattr(source, "fallback", "") and name)
        assert name in told
    else:
        with pytest.raises(ValidationError, match=rf"assets\.BBB-USD\.{key}: .* does not read it.*; allowed: "):
            universe_of(make_universe, section, assets)


@pytest.mark.parametrize("key", ["listed", "delisted"])
@pytest.mark.parametrize("section", SECTIONS)
def test_the_dates_of_a_listing_are_taken_by_every_kind(make_universe, section, key):
    universe = universe_of(make_universe, section, {"AAA-USD": {key: "2024-01-10"}})
    assert getattr(universe.assets["AAA-USD"], key) == dt.date(2024, 1, 10)


def test_a_delisting_before_the_listing_is_refused(make_universe):
    with pytest.raises(ValidationError, match="delisted: 2024-01-09 lies before listed 2024-01-10"):
        make_universe(assets={"AAA-USD": {"listed": "2024-01-10", "delisted": "2024-01-09"}})


@pytest.mark.parametrize(
    ("section", "assets"),
    [
        ({"kind": "files", "url": "{data}/bars.csv"}, {"A": {}, "B": {}}),
        ({"kind": "files", "url": "{data}/bars.csv"}, {"A": {"delisted": "2024-01-05"}, "B": {"listed": "2024-01-08"}}),
        ({"kind": "files", "url": "{data}/{venue_symbol}.csv"}, {"A": {"venue_symbol": "B"}, "B": {}}),
        ({"kind": "files", "url": "d/{venue_symbol}.csv"}, {"A": {"venue_symbol": "x/../B"}, "B": {}}),
        ({"kind": "ccxt", "venue": "binance"}, {"A": {"venue_symbol": "B"}, "B": {}}),
        ({"kind": "ccxt", "venue": "binance"}, {"A": {"renames": RENAMES}, "B": {"venue_symbol": "OLD"}}),
        ({"kind": "archive", "daily": DAILY}, {"A": {"venue_symbol": "B"}, "B": {}}),
    ],
    ids=["one url", "one url, other dates", "one name", "one path", "ccxt", "an earlier name", "archive"],
)
def test_two_assets_in_one_place_are_refused(make_universe, section, assets):
    with pytest.raises(ValidationError, match=r"assets\.B: its bars.* would be those of A, both are .*; allowed: bars"):
        make_universe(source=section, assets=assets)


def test_a_name_that_passes_from_one_asset_to_another_is_no_shared_place(make_universe):
    source = {"kind": "ccxt", "venue": "binance"}
    renamed = {"A": {"venue_symbol": "NEW", "renames": RENAMES}, "B": {"venue_symbol": "OLD", "listed": "2024-01-08"}}
    assert make_universe(source=source, assets=renamed).symbols == ["A", "B"]
    gone = {"A": {"venue_symbol": "X", "delisted": "2024-01-05"}, "B": {"venue_symbol": "X", "listed": "2024-01-06"}}
    assert make_universe(source=source, assets=gone).symbols == ["A", "B"]


def test_one_file_serves_one_asset(make_universe):
    assert make_universe(source={"kind": "files", "url": "bars.csv"}, assets={"A": {}}).symbols == ["A"]


def test_a_shared_place_is_told_without_its_password(make_universe):
    source = {"kind": "files", "url": "https://desk:hunter2@host/bars.csv"}
    with pytest.raises(ValidationError) as error:
        make_universe(source=source, assets={"A": {}, "B": {}})
    assert "'https://host/bars.csv'" in error.value.errors()[0]["msg"]
    assert "hunter2" not in error.value.errors()[0]["msg"]


@pytest.mark.parametrize(
    ("section", "told"),
    [
        ({"kind": "simulated", "mode": "brownian", "correlation": 0.5}, "correlation: those of mode 'brownian'"),
        (
            {"kind": "files", "url": "{symbol}.csv", "columns": {"quote_volume": ""}, "quote_decimals": 2},
            "quote_decimals: columns.quote_volume is ''",
        ),
        (
            {"kind": "archive", "daily": DAILY, "fallback": {**FALLBACK, "revisit_days": 9}},
            r"fallback\.revisit_days: counts for both; allowed: source\.revisit_days alone",
        ),
        (
            {"kind": "archive", "daily": DAILY, "fallback": {**FALLBACK, "absent": "no_trades"}},
            r"fallback\.absent: counts for both; allowed: source\.absent alone",
        ),
    ],
    ids=["correlation", "quote_decimals", "revisit_days", "absent"],
)
def test_a_key_of_the_source_that_another_one_makes_void_is_refused(make_universe, section, told):
    with pytest.raises(ValidationError, match=told):
        make_universe(source=section)


CONVENTIONS = {"zone": "Europe/Paris", "stamp": "close", "absent": "no_trades", "contract_volume": "base"}
READ = {
    "simulated": set(),
    "files": {"zone", "stamp", "absent"},
    "ccxt": {"absent", "contract_volume"},
    "archive": {"absent"},
    "yfinance": set(),
}


@pytest.mark.parametrize("key", CONVENTIONS)
@pytest.mark.parametrize("section", [section for section in SECTIONS if " " not in section])
def test_a_convention_is_read_by_a_kind_or_refused_by_its_name(make_universe, section, key):
    keys = {"kind": section, **SECTIONS[section][0], key: CONVENTIONS[key]}
    calendar = {"calendar": "XNYS"} if section == "yfinance" else {}
    if key in READ[section]:
        assert getattr(make_universe(source=keys, **calendar).source, key) == CONVENTIONS[key]
    else:
        with pytest.raises(ValidationError, match=rf"source\.{section}\.{key}\n.*[Ee]xtra"):
            make_universe(source=keys, **calendar)


@pytest.mark.parametrize(
    "source",
    [
        {"kind": "simulated", "mode": "brownian"},
        {"kind": "files", "url": "{data}/{symbol}.csv", "columns": {"quote_volume": ""}},
        {"kind": "archive", "daily": "{data}/{symbol}-{date}.zip", "fallback": {"kind": "ccxt", "venue": "binance"}},
    ],
    ids=lambda source: source["kind"],
)
def test_a_universe_that_is_written_out_in_full_is_the_same_universe(make_universe, source):
    universe = make_universe(source=source)
    assert type(universe).model_validate(universe.model_dump()) == universe
