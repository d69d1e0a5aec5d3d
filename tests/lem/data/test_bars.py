from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd
import pyarrow as arrow
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lem.data.bars import BARS_DTYPES, TABLE_SCHEMA, check_bars, validate_bars, validate_days
from lem.errors import BarsError, UniverseError
from lem.sources import open_source
from lem.universe import load_universe
from lem.universe.calendars import outage_mask, partition_dates, partition_window
from tests.conftest import ROOT
from tests.lem.bar_problems import DATE, outage, problems

UNIVERSES = ROOT / "universes"


def test_good_rows_become_the_complete_grid_with_exact_vwap(make_universe, raw):
    result = validate_bars(raw, make_universe(), "AAA-USD", DATE)
    table = result.table
    pd.testing.assert_frame_equal(table[list(raw.columns[:7])], raw[list(raw.columns[:7])])
    assert (table["close_ts"] - table["ts"] == pd.Timedelta("1h")).all()
    assert (table["vwap"] == raw["quote_volume"] / raw["volume"]).all()
    assert set(table["flag"]) == {"ok"}
    assert set(table["vwap_kind"]) == {"exact"}
    nothing = dict.fromkeys(("missing", "outage", "in_outage", "no_trades", "duplicates"), 0)
    assert result.counts == {"expected": 24, "received": 24} | nothing
    assert list(table.columns) == TABLE_SCHEMA.names
    arrow.Table.from_pandas(table, schema=TABLE_SCHEMA, preserve_index=False)


@pytest.mark.parametrize("rows", [[0, 0], [5, 6, 7, 5, 6, 7]])
def test_identical_duplicates_collapse_and_are_counted(make_universe, raw, rows):
    extra = len(rows) - len(set(rows))
    order = [*range(rows[0]), *rows, *range(rows[-1] + 1, 24)]
    result = validate_bars(raw.iloc[order], make_universe(), "AAA-USD", DATE)
    assert result.counts["duplicates"] == extra
    assert result.counts["received"] == 24 + extra
    pd.testing.assert_frame_equal(result.table, validate_bars(raw, make_universe(), "AAA-USD", DATE).table)


def test_identical_duplicates_without_quote_volume_collapse(make_universe, raw):
    raw["quote_volume"] = np.nan
    result = validate_bars(raw.iloc[[0, *range(24)]], make_universe(), "AAA-USD", DATE)
    assert result.counts["duplicates"] == 1


def test_a_listed_outage_has_no_values_and_a_flag_and_rows_inside_it_are_dropped_and_counted(make_universe, raw):
    result = validate_bars(raw.drop([5, 6]), make_universe(outages=[outage("04:00", "08:00")]), "AAA-USD", DATE)
    table = result.table
    assert list(table["flag"][3:9]) == ["ok", "outage", "outage", "outage", "outage", "ok"]
    numbers = ["open", "high", "low", "close", "volume", "quote_volume", "vwap"]
    assert table.loc[4:7, numbers].isna().all(axis=None)
    assert table.drop([4, 5, 6, 7]).notna().all(axis=None)
    assert {name: result.counts[name] for name in ("expected", "received", "missing", "outage", "in_outage")} == {
        "expected": 24,
        "received": 22,
        "missing": 2,
        "outage": 4,
        "in_outage": 2,
    }


def test_a_bad_row_in_a_listed_outage_lets_its_day_pass(make_universe, raw):
    raw.loc[5, "quote_volume"] *= 1000
    raw.loc[6, "ts"] += pd.Timedelta("14789ms")
    raw.loc[7, "close"] = np.nan
    with pytest.raises(BarsError):
        validate_bars(raw, make_universe(), "AAA-USD", DATE)
    universe = make_universe(outages=[outage("05:00", "08:00") | {"assets": ["AAA-USD"]}])
    result = validate_bars(raw, universe, "AAA-USD", DATE)
    assert list(result.table["flag"][4:9]) == ["ok", "outage", "outage", "outage", "ok"]
    assert (result.counts["in_outage"], result.counts["missing"], result.counts["outage"]) == (3, 1, 3)
    with pytest.raises(BarsError):
        validate_bars(raw, universe, "BBB-USD", DATE)


def test_a_day_that_is_one_outage_is_a_grid_without_values(make_universe, raw):
    universe = make_universe(outages=[{**outage("00:00", "12:00"), "end": "2024-01-06T00:00:00Z"}])
    result = validate_bars(raw.iloc[:0], universe, "AAA-USD", DATE)
    assert list(result.table["flag"]) == ["outage"] * 24
    assert list(result.table.dtypes.astype(str)) == list(BARS_DTYPES.values())


def test_a_bar_without_trades_has_prices_and_no_vwap(make_universe, raw):
    raw.loc[3, ["volume", "quote_volume"]] = 0.0
    result = validate_bars(raw, make_universe(), "AAA-USD", DATE)
    assert result.counts["no_trades"] == 1
    assert result.table["flag"][3] == "no_trades"
    assert np.isnan(result.table["vwap"][3])
    assert result.table["close"][3] == raw["close"][3]


def test_without_quote_volume_the_vwap_is_estimated_and_says_so(make_universe, raw):
    raw["quote_volume"] = np.nan
    raw.loc[3, "volume"] = 0.0
    table = validate_bars(raw, make_universe(), "AAA-USD", DATE).table
    expected = ((raw["high"] + raw["low"] + raw["close"]) / 3).where(raw.index != 3)
    np.testing.assert_allclose(table["vwap"], expected, rtol=1e-15)
    assert set(table["vwap_kind"]) == {"estimated"}


@pytest.mark.parametrize("calendar", ["24/7", "XNYS"])
def test_holidays_and_unlisted_days_have_no_rows_and_keep_the_schema(make_universe, raw, calendar):
    universe = make_universe(calendar=calendar, assets={"AAA-USD": {"listed": "2024-01-01", "delisted": "2024-01-04"}})
    date, rows = (DATE, raw) if calendar == "24/7" else (dt.date(2024, 1, 1), raw.iloc[:0])
    result = validate_bars(rows, universe, "AAA-USD", date)
    assert result.table.empty
    assert list(result.table.dtypes.astype(str)) == list(BARS_DTYPES.values())
    assert result.counts["expected"] == 0
    assert result.counts["received"] == len(rows)


@pytest.mark.parametrize("change", [lambda t: t.drop(columns="volume"), lambda t: t.astype({"close": "str"})])
def test_a_table_that_is_not_of_raw_bars_is_an_error(make_universe, raw, change):
    with pytest.raises(BarsError, match="no table of raw bars"):
        validate_bars(change(raw), make_universe(), "AAA-USD", DATE)


def days_of(universe, first, last, symbol="AAA-USD"):
    source = open_source(universe, "")
    days = partition_dates(universe, dt.date(2024, 1, first), dt.date(2024, 1, last))
    return {day: source.fetch(symbol, *partition_window(day)).table for day in days}


@pytest.mark.parametrize("calendar", ["24/7", "XNYS"])
@settings(max_examples=6, deadline=None)
@given(data=st.data())
def test_days_validated_together_are_the_days_validated_one_by_one(make_universe, calendar, data):
    gap = {"start": "2024-01-03T06:00:00Z", "end": "2024-01-04T18:00:00Z", "reason": "none made"}
    listing = {"listed": "2024-01-02", "delisted": "2024-01-05"}
    universe = make_universe(calendar=calendar, assets={"AAA-USD": listing}, outages=[gap])
    days = days_of(make_universe(calendar=calendar), 1, 8)
    for day, raw in days.items():
        change = data.draw(st.sampled_from(["none", "estimated", "doubled", "no trades", "gap", "holiday"]))
        if change == "estimated":
            days[day] = raw.assign(quote_volume=np.nan)
        elif change == "doubled":
            days[day] = raw.iloc[[*range(len(raw)), *range(len(raw))[-1:]]]
        elif change == "no trades":
            days[day] = raw.assign(volume=0.0, quote_volume=0.0)
        elif change == "gap":
            days[day] = raw[~outage_mask(universe, "AAA-USD", pd.DatetimeIndex(raw["ts"]))]
    together = validate_days(dict(reversed(days.items())), universe, "AAA-USD")
    assert list(together) == sorted(days)
    for day, raw in days.items():
        alone = validate_bars(raw, universe, "AAA-USD", day)
        pd.testing.assert_frame_equal(together[day].table, alone.table, check_exact=True)
        assert together[day].counts == alone.counts


def test_of_several_broken_days_the_first_is_told_with_all_of_its_faults_and_no_others(make_universe):
    days = days_of(make_universe(), 3, 7)
    days[DATE] = days[DATE].drop(20)
    days[DATE].loc[3, "close"] = np.nan
    later = dt.date(2024, 1, 6)
    days[later] = days[later].iloc[::-1].assign(low=-1.0)
    expected = problems(days[DATE], make_universe())
    with pytest.raises(BarsError) as error:
        validate_days(days, make_universe(), "AAA-USD")
    assert str(error.value).splitlines()[0].startswith(f"small/AAA-USD {DATE}: 2 problem(s)")
    assert str(error.value).splitlines()[1:] == expected


@pytest.mark.parametrize("shift", [-1, 1])
def test_a_bar_among_the_rows_of_another_day_is_an_error_even_where_that_day_lacks_it(make_universe, shift):
    days = days_of(make_universe(), 4, 6)
    other = DATE + dt.timedelta(days=shift)
    moved = days[other].iloc[[5]]
    days[other] = days[other].drop(5)
    days[DATE] = pd.concat([moved, days[DATE]] if shift < 0 else [days[DATE], moved], ignore_index=True)
    with pytest.raises(BarsError, match=rf"AAA-USD {min(DATE, other)}: ") as error:
        validate_days(days, make_universe(), "AAA-USD")
    told = "missing bars: 1 from" if shift < 0 else "bar open on the grid"
    assert told in str(error.value)
    full = days | {other: days_of(make_universe(), other.day, other.day)[other]}
    with pytest.raises(BarsError, match=rf"AAA-USD {DATE}: 1 problem.*\n  bar open on the grid"):
        validate_days(full, make_universe(), "AAA-USD")


def test_a_day_that_the_calendar_does_not_know_is_an_error_behind_those_of_earlier_days(make_universe):
    universe = make_universe(calendar="XNYS")
    days = days_of(universe, 2, 5)
    unknown = {dt.date(2999, 1, 4): days[DATE].iloc[:0]}
    with pytest.raises(UniverseError, match="XNYS does not know 2999-01-04"):
        validate_days(days | unknown, universe, "AAA-USD")
    with pytest.raises(BarsError, match=r"AAA-USD 2024-01-04: .*\n  missing bars"):
        validate_days(days | unknown | {dt.date(2024, 1, 4): days[DATE].iloc[:0]}, universe, "AAA-USD")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda t: t.drop(columns="volume"), rf"AAA-USD {DATE}: 24 problem.*\n  volume is finite and >= 0"),
        (lambda t: t.astype({"close": "str"}), "no table of raw bars"),
    ],
)
def test_one_day_that_is_no_table_of_raw_bars_is_an_error_among_good_ones(make_universe, change, told):
    days = days_of(make_universe(), 4, 6)
    with pytest.raises(BarsError, match=told):
        validate_days(days | {DATE: change(days[DATE])}, make_universe(), "AAA-USD")


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_a_valid_partition_holds_the_grid_and_no_value_that_the_source_did_not_give(make_universe, data):
    source = open_source(make_universe(), "")
    raw = source.fetch("AAA-USD", *partition_window(DATE)).table
    gone = data.draw(st.sets(st.integers(0, 23)))
    first, last = sorted((data.draw(st.integers(0, 23)), data.draw(st.integers(1, 23))))
    window = {"start": f"{DATE}T{first:02}:00Z", "end": f"{DATE}T{last:02}:59Z", "reason": "none made"}
    universe = make_universe(outages=[window])
    kept = raw.drop(sorted(gone))
    if all(first <= bar <= last for bar in gone):
        table = validate_bars(kept, universe, "AAA-USD", DATE).table
        assert list(table["ts"]) == list(raw["ts"])
        assert set(np.flatnonzero(table["flag"] == "outage")) == set(range(first, last + 1))
        pd.testing.assert_series_equal(table["close"].dropna(), raw["close"].drop(range(first, last + 1)))
    else:
        problems(kept, universe)


def test_validated_bars_that_were_changed_do_not_pass_again(make_universe, raw):
    table = validate_bars(raw, make_universe(), "AAA-USD", DATE).table
    check_bars(table)
    for column, value, rule in [
        ("ts", table["ts"][0], "time strictly increasing: row 3"),
        ("close_ts", table["ts"][3], "a bar closes after it opens: row 3"),
        ("vwap", np.nan, "a VWAP exactly where flag is ok: row 3"),
        ("close", np.nan, "no prices exactly in outages: row 3"),
        ("flag", "filled", "flag: isin"),
    ]:
        broken = table.copy()
        broken.loc[3, column] = value
        with pytest.raises(BarsError) as error:
            check_bars(broken)
        assert rule in str(error.value)


@pytest.mark.parametrize("symbol", ["BTC-USDT", "LINK-USDT"])
def test_a_year_of_real_hourly_bars_validates_with_the_outages_of_the_universe_file(shared_data, symbol):
    root = shared_data("crypto_1h").parent
    universe = load_universe(UNIVERSES / "crypto.toml")
    source = open_source(universe, str(root))
    total, missing = 0, []
    days = partition_dates(universe, dt.date(2020, 1, 1), dt.date(2020, 12, 31))
    raw = {day: source.fetch(symbol, *partition_window(day)).table for day in days}
    for result in validate_days(raw, universe, symbol).values():
        total += result.counts["received"]
        missing += list(result.table["ts"][result.table["flag"] == "outage"])
    year = pd.date_range("2020-01-01", "2021-01-01", freq="h", tz="UTC", inclusive="left")
    assert missing == list(year[outage_mask(universe, symbol, year)])
    assert (total, len(missing)) == (366 * 24 - 18, 18)


def test_real_daily_bars_validate_with_an_estimated_vwap(shared_data):
    root = shared_data("dow_1d").parent
    universe = load_universe(UNIVERSES / "dow.toml")
    source = open_source(universe, str(root))
    for symbol in ("AAPL", "KO", "WBA"):
        rows = 0
        for date in partition_dates(universe, dt.date(2024, 1, 1), dt.date(2024, 1, 19)):
            result = validate_bars(source.fetch(symbol, *partition_window(date)).table, universe, symbol, date)
            assert set(result.table["vwap_kind"]) <= {"estimated"}
            rows += len(result.table)
        assert rows == 13
