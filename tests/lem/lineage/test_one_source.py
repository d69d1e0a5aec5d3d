from __future__ import annotations

import datetime as dt

import pytest

from lem.errors import LakeError, SourceError
from lem.lake import Lake
from lem.lineage.keys import PartitionKey
from lem.lineage.one_source import OneSource
from lem.lineage.origin import Origin
from lem.lineage.revisions import store_raw
from lem.lineage.stages import stage_named
from lem.lineage.versions import Versioned, made_with
from lem.sources.base import RAW_SCHEMA

CCXT = {"kind": "ccxt", "venue": "binance", "bar": "1h"}
FILES = {"kind": "files", "url": "https://desk:secret@host/{venue_symbol}.csv"}


def day(number):
    return dt.date(2024, 1, number)


@pytest.fixture
def lake(tmp_path):
    return Lake(str(tmp_path / "lake"))


@pytest.fixture
def store(lake):
    """`store(universe, 1, 2)` stores empty days of AAA as fetched from the universe's source."""

    def stored(universe, *days):
        one = OneSource(lake, universe, "AAA")
        one.begin([day(number) for number in days])
        for number in days:
            inputs = made_with(universe, stage_named("raw_bars"), PartitionKey("AAA", day(number)))
            empty = RAW_SCHEMA.empty_table().to_pandas()
            store_raw(lake, universe.name, day(number), "AAA", empty, inputs)
        one.end()

    return stored


def stale(lake, universe):
    dates = [day(number) for number in range(1, 32)]
    return sorted(date.day for date in Versioned(lake, universe).stale("raw_bars", dates, assets=["AAA"]))


@pytest.mark.parametrize(
    ("source", "other", "asset"),
    [
        (CCXT, {"venue": "kraken"}, {}),
        (CCXT, {"url": "https://mirror.example.org"}, {}),
        (CCXT, {"absent": "no_trades"}, {}),
        (CCXT, {"contract_volume": "base"}, {}),
        (CCXT, {"bar": "30min"}, {}),
        (CCXT, {}, {"venue_symbol": "AAA/USDT"}),
        (FILES, {"url": "{data}/{venue_symbol}.csv"}, {}),
        (FILES, {"zone": "Europe/Paris"}, {}),
        (FILES, {"stamp": "close"}, {}),
        (FILES, {"columns": {"open": "first"}}, {}),
        (FILES, {}, {"venue_symbol": "AAB"}),
    ],
    ids=lambda value: str(value)[:50] if value else "same",
)
def test_a_day_of_another_source_or_of_another_name_is_stale(lake, store, make_universe, source, other, asset):
    store(make_universe(source=source, assets={"AAA": {}}), 1)
    changed = make_universe(source={**source, **other}, assets={"AAA": asset})
    assert stale(lake, changed) == [1]
    with pytest.raises(SourceError, match=r"\[source\] has changed: 1 stored days from 2024-01-01 to 2024-01-01"):
        store(changed, 2)
    store(changed, 1)
    store(changed, 2)
    assert stale(lake, changed) == []


@pytest.mark.parametrize(
    ("source", "other"),
    [
        (CCXT, {"page": 100, "retries": 1, "grace_seconds": 5, "timeout_seconds": 3, "revisit_days": 9}),
        (CCXT, {"requests_per_second": 2, "absent": "missing"}),
        (FILES, {"revisit_days": 9, "quote_decimals": 2, "url": "https://desk:other@host/{venue_symbol}.csv"}),
    ],
    ids=["how it is asked", "a default", "how it is judged"],
)
def test_keys_on_which_no_bar_depends_change_no_source(lake, store, make_universe, source, other):
    store(make_universe(source=source, assets={"AAA": {}}), 1)
    changed = make_universe(source={**source, **other}, assets={"AAA": {}})
    assert stale(lake, changed) == []
    store(changed, 2)


def test_a_name_that_ends_leaves_the_days_before_it_alone(lake, store, make_universe):
    store(make_universe(source=CCXT, assets={"AAA": {"venue_symbol": "OLD"}}), 1, 2)
    renames = [{"until": "2024-01-02", "venue_symbol": "OLD"}]
    renamed = make_universe(source=CCXT, assets={"AAA": {"venue_symbol": "NEW", "renames": renames}})
    assert stale(lake, renamed) == []
    store(renamed, 3)
    assert Origin.read(lake, "small", "AAA") == Origin.of(renamed, "AAA")


def test_a_source_that_was_put_back_halfway_is_still_told_from_the_other(lake, store, make_universe):
    one, other = (make_universe(source={**CCXT, "venue": venue}, assets={"AAA": {}}) for venue in ("binance", "kraken"))
    store(one, 1, 2)
    store(other, 2)
    with pytest.raises(SourceError, match="1 stored days from 2024-01-02 to 2024-01-02"):
        store(one, 3)
    store(one, 2)
    store(one, 3)


def test_days_outside_of_the_listing_are_of_no_source(lake, store, make_universe):
    store(make_universe(source=CCXT, assets={"AAA": {"delisted": "2024-01-01"}}), 1, 2)
    changed = make_universe(source={**CCXT, "venue": "kraken"}, assets={"AAA": {"delisted": "2024-01-01"}})
    assert stale(lake, changed) == [1]
    store(changed, 3)
    listed = make_universe(source=CCXT, assets={"AAA": {}})
    assert stale(lake, listed) == [2, 3]


def test_the_message_names_both_sources_and_no_password(lake, store, make_universe):
    store(make_universe(source=FILES, assets={"AAA": {}}), 1)
    with pytest.raises(SourceError) as error:
        store(make_universe(source=CCXT, assets={"AAA": {}}), 2)
    text = str(error.value)
    assert 'stored: kind = "files", url = "https://host/{venue_symbol}.csv", bars of 1h, asset AAA' in text
    assert 'present: bar = "1h", kind = "ccxt", venue = "binance", bars of 1h, asset AAA' in text
    assert "secret" not in text
    assert "secret" not in lake.read_bytes("small/raw_sources/asset=AAA.json").decode()


def test_a_damaged_note_is_an_error_that_names_it(lake, store, make_universe):
    universe = make_universe(source=CCXT, assets={"AAA": {}})
    store(universe, 1)
    lake.write_bytes("small/raw_sources/asset=AAA.json", b"{")
    with pytest.raises(LakeError, match=r"asset=AAA\.json does not say from which source"):
        store(universe, 2)
