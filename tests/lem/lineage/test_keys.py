from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lem.errors import LineageError
from lem.lineage.keys import PartitionKey, parse_keys, span

DATES = st.dates(dt.date(1970, 1, 1), dt.date(2100, 1, 1))
ASSETS = st.from_regex(r"[A-Z0-9][A-Z0-9.]*(-[A-Z0-9]+)?", fullmatch=True)


@given(st.none() | ASSETS, DATES)
def test_a_key_is_read_back_from_its_text(asset, date):
    key = PartitionKey(asset, date)
    assert PartitionKey.parse(str(key)) == key
    assert ("|" in str(key)) == (asset is not None)


@given(st.lists(st.tuples(ASSETS, DATES), min_size=1, unique=True))
def test_keys_are_ordered_by_asset_and_then_by_date_however_they_come(pairs):
    keys = [PartitionKey(asset, date) for asset, date in pairs]
    assert parse_keys(map(str, reversed(keys))) == [PartitionKey(*pair) for pair in sorted(pairs)]
    assert span(keys) == (min(date for _, date in pairs), max(date for _, date in pairs))


def test_the_dates_of_a_table_without_assets_are_in_order_too():
    assert [str(key) for key in parse_keys({"2024-01-11", "2024-01-09"})] == ["2024-01-09", "2024-01-11"]


@pytest.mark.parametrize("text", ["", "AAA-USD", "AAA-USD|", "2024-13-01", "AAA|yesterday", "2024-01-10|AAA"])
def test_what_is_no_key_is_refused_with_what_is(text):
    with pytest.raises(LineageError, match="allowed: 2024-01-10, or BTC-USDT"):
        PartitionKey.parse(text)


def test_a_key_without_an_asset_has_no_symbol():
    assert PartitionKey("AAA", dt.date(2024, 1, 1)).symbol == "AAA"
    with pytest.raises(LineageError, match="no asset"):
        _ = PartitionKey.of(dt.date(2024, 1, 1)).symbol
