from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lem.data.bars import TABLE_SCHEMA as BARS_SCHEMA
from lem.data.features import (
    CLIP,
    FEATURES,
    TABLE_SCHEMA,
    check_features,
    clock_slots,
    compute_features,
    features_of_days,
    season_slots,
)
from lem.data.tape import Tape
from lem.errors import BarsError
from lem.lake.arrow_tables import table_of
from lem.universe.bar_clock import BarClock
from lem.universe.features_config import FeatureConfig
from tests.lem.builders import FEATURE_CONFIG, PROPERTY, brownian_bars, features_of, without_values

HISTORY = FEATURE_CONFIG.history(24)
BARS = brownian_bars(8, seed=1)


def day_of(bars: pd.DataFrame, day: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(history, day): the bars before the n-th day and the day's own."""
    return bars.iloc[: 24 * day], bars.iloc[24 * day : 24 * day + 24].reset_index(drop=True)


def same_bits(one: pd.DataFrame, two: pd.DataFrame) -> bool:
    columns = [c for c in one.columns if one[c].dtype == float]
    bits = [frame[columns].to_numpy().view(np.int64) for frame in (one, two)]
    return np.array_equal(*bits) and one["valid"].equals(two["valid"])


def test_columns_are_the_tables_and_all_bars_with_history_are_valid():
    table = compute_features(*day_of(BARS, 4), FEATURE_CONFIG, BarClock(24))
    assert list(table.columns) == TABLE_SCHEMA.names
    assert table["valid"].all()
    assert table[list(FEATURES)].abs().to_numpy().max() <= CLIP
    assert len(set(FEATURES)) == len(FEATURES)


@PROPERTY
@given(st.integers(3, 6), st.integers(1, 2))
def test_a_day_alone_has_the_bits_of_the_day_within_a_longer_frame(day, more):
    history, alone = day_of(BARS, day)
    longer = BARS.iloc[24 * day : 24 * (day + 1 + more)].reset_index(drop=True)
    expected = compute_features(history, alone, FEATURE_CONFIG, BarClock(24))
    within = compute_features(history, longer, FEATURE_CONFIG, BarClock(24))
    assert same_bits(expected, within.iloc[:24])


def test_days_made_together_are_those_made_alone():
    bars = BARS.copy()
    for first, last in ((30, 33), (100, 101), (130, 150)):
        bars.loc[first:last, ["open", "high", "low", "close", "volume", "quote_volume", "vwap"]] = np.nan
        bars.loc[first:last, "flag"] = "outage"
    parts = [bars.iloc[24 * day : 24 * day + 24].reset_index(drop=True) for day in range(8)]
    stored = [Tape.of_arrow(table_of(part, BARS_SCHEMA)) for part in parts]
    days = [1, 2, 3, 5, 7, 0]  # not one after the other, nor in order
    together = features_of_days([(stored[:day], stored[day]) for day in days], FEATURE_CONFIG, BarClock(24))
    assert len(together) == len(days)
    for day, table in zip(days, together, strict=True):
        alone = compute_features(bars.iloc[: 24 * day], parts[day], FEATURE_CONFIG, BarClock(24))
        pd.testing.assert_frame_equal(table, alone, check_exact=True)
        assert same_bits(table, alone)
    assert sum(table["valid"].sum() for table in together) > 24


@PROPERTY
@given(st.integers(HISTORY, 24 * 7), st.integers(1, 24))
def test_bars_computed_in_one_piece_or_in_two_have_the_same_bits(first, length):
    whole = features_of(BARS)
    piece = BARS.iloc[first : first + length].reset_index(drop=True)
    alone = compute_features(BARS.iloc[:first], piece, FEATURE_CONFIG, BarClock(24))
    assert same_bits(whole.iloc[first : first + length].reset_index(drop=True), alone)


@PROPERTY
@given(st.integers(HISTORY, 24 * 5))
def test_history_longer_than_needed_changes_no_bit(length):
    history, day = day_of(BARS, 5)
    exact = compute_features(history.iloc[-HISTORY:], day, FEATURE_CONFIG, BarClock(24))
    assert same_bits(exact, compute_features(history.iloc[-length:], day, FEATURE_CONFIG, BarClock(24)))


def test_all_of_the_history_is_read():
    history, day = day_of(BARS, 5)
    enough, short = (
        compute_features(history.iloc[-n:], day, FEATURE_CONFIG, BarClock(24)) for n in (HISTORY, HISTORY - 2)
    )
    assert not same_bits(enough, short)


def test_a_days_first_bars_are_measured_against_earlier_partitions():
    history, day = day_of(BARS, 5)
    louder = history.assign(volume=history["volume"] * 4)
    plain = compute_features(history, day, FEATURE_CONFIG, BarClock(24))
    after = compute_features(louder, day, FEATURE_CONFIG, BarClock(24))
    first_mean = pd.concat([history["volume"].iloc[-23:], day["volume"].iloc[:1]]).mean()
    assert plain["log_volume"][0] == pytest.approx(np.log(day["volume"][0] / first_mean))
    assert after["log_volume"][0] < plain["log_volume"][0] - 1
    wilder = history.assign(close=history["close"] * np.where(np.arange(len(history)) % 2, 1.05, 1.0))
    assert compute_features(wilder, day, FEATURE_CONFIG, BarClock(24))["sigma"][0] > 2 * plain["sigma"][0]


def test_sigma_and_returns_are_as_defined():
    table, close = features_of(BARS), BARS["close"]
    ret = np.log(close).diff()
    for t in (60, 100, 191):
        sigma = np.sqrt((ret[t - 47 : t + 1] ** 2).mean())
        assert table["sigma"][t] == pytest.approx(sigma, rel=1e-12)
        assert table["ret"][t] == pytest.approx(ret[t] / sigma, rel=1e-12)
        assert table["close_to_vwap"][t] == pytest.approx(np.log(close[t] / BARS["vwap"][t]) / sigma, rel=1e-9)
        momentum = np.log(close[t] / close[t - 6]) / sigma / np.sqrt(6)
        assert table["momentum_6"][t] == pytest.approx(momentum, rel=1e-9)
        seasonal = BARS["volume"][[t + 1 - 24, t + 1 - 48]].mean()
        mean = BARS["volume"][t - 23 : t + 1].mean()
        assert table["next_volume"][t] == pytest.approx(np.log(seasonal / mean), rel=1e-9)


@pytest.mark.parametrize("flag", ["outage", "no_trades"])
def test_a_bar_without_values_is_masked_and_zero_and_never_filled(flag):
    rows = [100, 101, 120]
    table = features_of(without_values(BARS, rows, flag))
    assert not table["valid"][rows].any()
    assert (table.loc[~table["valid"], list(FEATURES)] == 0).all().all()
    assert table["vwap"][rows].isna().all()
    assert not table["valid"][102], "its VWAP return would reach over the gap"
    assert table["valid"][170:].all(), "a short gap does not mask what comes long after it"


def test_a_window_with_too_few_bars_is_masked():
    table = features_of(without_values(BARS, list(range(80, 105)), "outage"))
    assert not table["valid"][105:115].any()
    assert table["valid"].iloc[-1]


def test_the_first_day_ever_is_not_valid_and_no_error():
    for history in (BARS.iloc[:0], BARS.iloc[:5]):
        first = BARS.iloc[len(history) : len(history) + 24]
        table = compute_features(history, first, FEATURE_CONFIG, BarClock(24))
        assert len(table) == 24
        assert not table["valid"].any()
        assert (table[list(FEATURES)] == 0).all().all()


def test_a_holiday_gives_an_empty_table():
    table = compute_features(BARS.iloc[:100], BARS.iloc[:0], FEATURE_CONFIG, BarClock(24))
    assert table.empty
    assert list(table.columns) == TABLE_SCHEMA.names


def test_bars_out_of_order_or_twice_are_refused():
    history, day = day_of(BARS, 4)
    for wrong in (day.iloc[::-1], pd.concat([day, day.iloc[-1:]]), history.iloc[-5:]):
        with pytest.raises(BarsError, match="overlap or are out of time order"):
            compute_features(history, wrong, FEATURE_CONFIG, BarClock(24))


def test_a_table_that_breaks_the_schema_is_refused_with_the_rows():
    table = features_of(BARS).iloc[-5:].reset_index(drop=True)
    bad = {"range": table["range"].where(table.index != 2, 99.0), "volume": table["volume"].where(table.index != 4, -1)}
    assert told(table.assign(**bad)) == [
        "features break 2 rule(s):",
        "  table: every feature within +-8 fails at row 2",
        "  volume: greater_than_or_equal_to(0) fails at row 4 with -1.0",
    ]
    assert told(table.assign(sigma=np.nan)) == [
        "features break 5 rule(s):",
        *(f"  table: a valid bar has a VWAP, a volatility and a mean volume fails at row {row}" for row in range(5)),
    ]
    assert "column_in_dataframe fails at row None with 'close'" in told(table.drop(columns="close"))[1]


def told(table):
    with pytest.raises(BarsError) as error:
        check_features(table)
    return str(error.value).split("\n")


def test_daily_bars_have_a_week_of_sessions_as_season():
    assert (BarClock(24).season, BarClock(1).season) == (24, 5)
    assert FeatureConfig(volatility=20, volume=20, seasons=6).history(1) == 31
    bars = brownian_bars(10).assign(ts=pd.date_range("2023-01-02", periods=240, freq="B", tz="UTC", unit="us"))
    bars["close_ts"] = bars["ts"] + dt.timedelta(hours=21)
    config = FeatureConfig(volatility=20, short_volatility=5, volume=20, seasons=6)
    table = compute_features(bars.iloc[:100], bars.iloc[100:101], config, BarClock(1))
    assert table["valid"].all()


@pytest.mark.parametrize(("bar", "per_day"), [("1min", 1440), ("5min", 288), ("1h", 24), ("4h", 6)])
def test_the_slot_of_an_intraday_bar_is_its_place_in_the_utc_day(bar, per_day):
    stamps = pd.date_range("2024-02-28", periods=3 * per_day, freq=bar).to_numpy("datetime64[us]")
    assert season_slots(stamps, per_day).tolist() == list(range(per_day)) * 3
    assert clock_slots(per_day) == per_day


def test_the_slot_of_a_daily_bar_is_its_weekday():
    stamps = pd.date_range("1969-12-29 14:30", periods=21_000, freq="D")
    slots = season_slots(stamps.to_numpy("datetime64[us]"), 1)
    np.testing.assert_array_equal(slots, stamps.day_of_week)
    assert clock_slots(1) == slots.max() + 1 == 7
