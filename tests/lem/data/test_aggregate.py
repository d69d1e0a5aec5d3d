"""Short bars made into long ones: sums to the last digit, prices and flags of the parts that traded."""

from __future__ import annotations

import datetime as dt
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lem.data.aggregate import aggregate
from lem.data.bars import BARS_DTYPES, check_bars, validate_bars, validate_days
from lem.errors import BarsError
from lem.sources.base import NUMBERS, RAW_DTYPES
from lem.sources.files import Files
from lem.universe.calendars import partition_dates, partition_window
from tests.lem.builders import PROPERTY

DATE = dt.date(2024, 1, 5)
ULP = 2.0**-52
"""Sums of correctly rounded sums are rounded twice: half a unit in the last place each."""
KINDS = ("ok", "no_trades", "outage")


def one_minute(flags, seed=0, estimated=False):
    """Validated one-minute bars with these flags, volumes and prices of many different sizes."""
    rng, count = np.random.default_rng(seed), len(flags)
    flag = np.array(flags, object)
    price = np.exp(rng.normal(0, 3, (count, 1)) + rng.normal(0, 0.01, (count, 4)))
    table = pd.DataFrame(price, columns=["open", "high", "low", "close"])
    table["high"], table["low"] = price.max(axis=1), price.min(axis=1)
    table["volume"] = np.exp(rng.normal(0, 6, count))
    vwap = table["low"] + rng.random(count) * (table["high"] - table["low"])
    table["quote_volume"] = np.nan if estimated else vwap * table["volume"]
    table["vwap"] = vwap if estimated else table["quote_volume"] / table["volume"]
    table.loc[flag == "no_trades", ["volume", "vwap"]] = [0.0, np.nan]
    table.loc[flag == "no_trades", "quote_volume"] = np.nan if estimated else 0.0
    table.loc[flag == "outage"] = np.nan
    ts = pd.date_range("2024-01-05", periods=count, freq="min", tz="UTC", unit="us")
    table.insert(0, "ts", ts)
    table.insert(1, "close_ts", ts + pd.Timedelta("1min"))
    table["flag"], table["vwap_kind"] = flag, "estimated" if estimated else "exact"
    return check_bars(table.astype(BARS_DTYPES))


MINUTES = st.integers(1, 3).flatmap(
    lambda hours: st.lists(st.sampled_from(KINDS), min_size=60 * hours, max_size=60 * hours)
)


@PROPERTY
@given(flags=MINUTES, seed=st.integers(0, 2**32 - 1), estimated=st.booleans())
def test_sums_are_those_of_the_parts_to_the_last_digit_in_any_grouping(flags, seed, estimated):
    minutes = one_minute(flags, seed, estimated)
    hours, grouped = aggregate(minutes, 60), aggregate(aggregate(minutes, 5), 12)
    backwards = minutes.iloc[::-1].assign(ts=minutes["ts"].array, close_ts=minutes["close_ts"].array)
    for name in ("volume", "quote_volume"):
        parts = minutes[name].to_numpy().reshape(-1, 60)
        exact = [math.fsum(row[~np.isnan(row)]) if not np.isnan(row).all() else math.nan for row in parts]
        np.testing.assert_array_equal(hours[name], exact)
        np.testing.assert_array_equal(aggregate(backwards, 60)[name][::-1], exact)
        np.testing.assert_allclose(grouped[name], exact, rtol=ULP, atol=0)
    np.testing.assert_allclose(grouped["vwap"], hours["vwap"], rtol=8 * ULP, atol=0)
    same = [name for name in hours if name not in ("volume", "quote_volume", "vwap")]
    pd.testing.assert_frame_equal(grouped[same], hours[same], check_exact=True)


@PROPERTY
@given(flags=MINUTES, seed=st.integers(0, 2**32 - 1), estimated=st.booleans())
def test_a_long_bar_is_a_valid_bar_of_the_parts_that_traded(flags, seed, estimated):
    minutes = one_minute(flags, seed, estimated)
    hours = check_bars(aggregate(minutes, 60))
    assert list(hours.dtypes) == list(minutes.dtypes)
    for (_, hour), (_, parts) in zip(hours.iterrows(), minutes.groupby(minutes.index // 60), strict=True):
        traded = parts[parts["flag"] == "ok"]
        used = traded if len(traded) else parts[parts["flag"] == "no_trades"]
        assert (hour["ts"], hour["close_ts"]) == (parts["ts"].iloc[0], parts["close_ts"].iloc[-1])
        assert hour["flag"] == ("ok" if len(traded) else "no_trades" if len(used) else "outage")
        assert hour["vwap_kind"] == parts["vwap_kind"].iloc[0] or not len(used)
        if not len(used):
            assert hour[[*NUMBERS, "vwap"]].isna().all()
            continue
        assert (hour["open"], hour["close"]) == (used["open"].iloc[0], used["close"].iloc[-1])
        assert (hour["high"], hour["low"]) == (used["high"].max(), used["low"].min())
        if len(traded):
            assert traded["vwap"].min() * (1 - 1e-12) <= hour["vwap"] <= traded["vwap"].max() * (1 + 1e-12)


def test_an_exact_vwap_is_quote_volume_by_volume_and_an_estimated_one_the_mean_by_volume():
    minutes = one_minute(["ok"] * 60, seed=3)
    (hour,) = aggregate(minutes, 60).to_dict("records")
    assert hour["vwap"] == math.fsum(minutes["quote_volume"]) / math.fsum(minutes["volume"])
    assert hour["vwap_kind"] == "exact"
    minutes = one_minute(["ok"] * 60, seed=3, estimated=True)
    (hour,) = aggregate(minutes, 60).to_dict("records")
    assert hour["vwap"] == math.fsum(minutes["vwap"] * minutes["volume"]) / math.fsum(minutes["volume"])
    assert hour["vwap_kind"] == "estimated"
    assert math.isnan(hour["quote_volume"])


def test_a_price_of_a_part_without_trades_counts_only_where_no_part_traded():
    minutes = one_minute(["no_trades", "outage", "ok", "no_trades"] * 15)
    (hour,) = aggregate(minutes, 60).to_dict("records")
    assert (hour["open"], hour["close"]) == (minutes["open"][2], minutes["close"][58])
    (still,) = aggregate(one_minute(["outage", "no_trades"] * 30, seed=1), 60).to_dict("records")
    minutes = one_minute(["outage", "no_trades"] * 30, seed=1)
    assert (still["open"], still["close"]) == (minutes["open"][1], minutes["close"][59])
    assert (still["flag"], still["volume"], still["quote_volume"]) == ("no_trades", 0.0, 0.0)


def test_no_bars_are_made_into_no_bars():
    empty = one_minute(["ok"] * 60).iloc[:0]
    pd.testing.assert_frame_equal(aggregate(empty, 60), empty)


@pytest.fixture
def minutes_universe(make_universe):
    """`minutes_universe(bar="4h")`: a universe of hourly bars whose source gives one-minute bars."""

    def make(**overrides):
        source = {"kind": "files", "url": "{data}/{symbol}.parquet", "bar": "1min"}
        return make_universe(**{"source": source, **overrides})

    return make


def raw_minutes(seed=0, date=DATE):
    """A day's raw one-minute rows, all of them traded."""
    table = one_minute(["ok"] * 1440, seed).assign(adjustment=1.0, source="x", source_row=np.arange(1, 1441))
    start, _ = partition_window(date)
    table["ts"] = table["ts"] + (pd.Timestamp(start) - table["ts"].iloc[0])
    return table[list(RAW_DTYPES)].astype(RAW_DTYPES)


def test_raw_minutes_become_hours_and_are_counted_in_minutes(minutes_universe):
    raw = raw_minutes()
    raw.loc[[5, 6], ["volume", "quote_volume"]] = 0.0
    doubled = raw.iloc[[*range(10), *range(8, 1440)]].drop(index=[700, 701])
    outage = {"start": "2024-01-05T11:40:00Z", "end": "2024-01-05T11:42:00Z", "reason": "none made"}
    result = validate_bars(doubled, minutes_universe(outages=[outage]), "AAA-USD", DATE)
    assert list(result.table["ts"]) == list(pd.date_range("2024-01-05", periods=24, freq="h", tz="UTC"))
    assert result.table["volume"][0] == math.fsum(raw["volume"][:60])
    assert result.table["volume"][11] == math.fsum(raw["volume"][660:720].drop([700, 701]))
    assert set(result.table["flag"]) == {"ok"}
    counts = {
        "expected": 1440,
        "received": 1440,
        "missing": 2,
        "outage": 2,
        "no_trades": 2,
        "duplicates": 2,
        "in_outage": 0,
    }
    assert result.counts == counts


def test_a_missing_minute_blocks_its_day_and_is_told_as_a_minute(minutes_universe):
    with pytest.raises(BarsError, match=r"missing bars: 1 from 2024-01-05 11:40 to 2024-01-05 11:41 UTC"):
        validate_bars(raw_minutes().drop(index=700), minutes_universe(), "AAA-USD", DATE)


def test_a_minute_off_the_grid_is_told_with_the_grid_of_the_source(minutes_universe):
    raw = raw_minutes()
    raw.loc[700, "ts"] += pd.Timedelta("1s")
    with pytest.raises(BarsError, match=r"allowed: 2024-01-05 00:00 and every 1min after it"):
        validate_bars(raw, minutes_universe(), "AAA-USD", DATE)


def test_days_aggregated_together_are_the_days_one_by_one_and_an_unlisted_one_has_no_rows(minutes_universe):
    universe = minutes_universe(bar="4h", assets={"AAA-USD": {"listed": "2024-01-03"}})
    raw = {dt.date(2024, 1, day): raw_minutes(day, dt.date(2024, 1, day)) for day in (5, 6, 7)}
    together = validate_days(raw, universe, "AAA-USD")
    assert [len(result.table) for result in together.values()] == [0, 6, 6]
    for day, rows in raw.items():
        alone = validate_bars(rows, universe, "AAA-USD", day)
        pd.testing.assert_frame_equal(together[day].table, alone.table, check_exact=True)
        assert together[day].counts == alone.counts


def test_a_daily_bar_of_a_market_that_never_closes_is_made_of_its_hours(make_universe):
    source = {"kind": "files", "url": "{symbol}.csv", "bar": "1min"}
    universe = make_universe(source=source, bar="1d", training={"window_days": 504})
    raw = raw_minutes()
    (day,) = validate_bars(raw, universe, "AAA-USD", DATE).table.to_dict("records")
    assert day["vwap"] == math.fsum(raw["quote_volume"]) / math.fsum(raw["volume"])


@pytest.fixture(scope="module")
def real(make_universe, shared_data):
    """`real("FIL-USDT")`: universe and raw one-minute rows by date of a perpetual over three months."""

    def make(symbol, last=dt.date(2023, 10, 31)):
        url = str(shared_data("crypto_1m") / "{venue_symbol}.parquet")
        universe = make_universe(
            start="2023-08-01",
            end="2023-10-31",
            assets={"NEAR-USDT": {"venue_symbol": "NEARUSDT"}, "FIL-USDT": {"venue_symbol": "FILUSDT"}},
            source={"kind": "files", "url": url, "bar": "1min", "quote_decimals": 4},
        )
        source = Files(universe, "")
        dates = partition_dates(universe, universe.start, last)
        return universe, {date: source.fetch(symbol, *partition_window(date)).table for date in dates}

    return make


@pytest.mark.parametrize("symbol", ["NEAR-USDT", "FIL-USDT"])
def test_the_hourly_vwap_of_real_minutes_is_quote_volume_by_volume(real, symbol):
    universe, raw = real(symbol, last=dt.date(2023, 8, 31))
    hours = pd.concat([result.table for result in validate_days(raw, universe, symbol).values()])
    rows = pd.concat(raw.values()).set_index("ts").resample("1h")[["volume", "quote_volume"]].sum()
    assert len(hours) == 31 * 24
    assert (hours["flag"] == "ok").all()
    np.testing.assert_allclose(hours["vwap"], rows["quote_volume"] / rows["volume"], rtol=1e-12, atol=0)
    assert (hours["vwap"] >= hours["low"]).all()
    assert (hours["vwap"] <= hours["high"]).all()


@pytest.mark.parametrize("symbol", ["NEAR-USDT", "FIL-USDT"])
def test_minutes_estimate_a_vwap_far_better_than_the_hour_does(real, symbol):
    """The figures of docs/universes.md; `pytest -s` prints them."""
    universe, raw = real(symbol)
    exact = pd.concat([result.table for result in validate_days(raw, universe, symbol).values()])
    unquoted = {date: rows.assign(quote_volume=np.nan) for date, rows in raw.items()}
    minutes = pd.concat([result.table for result in validate_days(unquoted, universe, symbol).values()])
    assert set(minutes["vwap_kind"]) == {"estimated"}
    estimates = {"HLC3 of 1h": exact[["high", "low", "close"]].mean(axis=1), "HLC3 of 1min by volume": minutes["vwap"]}
    mean = {}
    for name, vwap in estimates.items():
        bps = 1e4 * (vwap / exact["vwap"] - 1).abs()
        mean[name] = bps.mean()
        print(f"{symbol} {name}: mean {bps.mean():.2f} bps, 99th percentile {np.percentile(bps, 99):.1f} bps")
    assert mean["HLC3 of 1min by volume"] < mean["HLC3 of 1h"] / 10
