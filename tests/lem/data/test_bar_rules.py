from __future__ import annotations

import datetime as dt
import tomllib

import numpy as np
import pandas as pd
import pytest

from lem.data.bars import validate_bars
from lem.errors import BarsError
from tests.lem.bar_problems import DATE, only, outage, place, problems

BROKEN = [
    ("prices are finite", "close", np.nan),
    ("prices are finite", "high", np.inf),
    ("volume is finite and >= 0", "volume", np.nan),
    ("quote volume is there for all bars or for none", "quote_volume", np.nan),
    ("low <= VWAP = quote volume / volume <= high (1 bp tolerance)", "quote_volume", 1.0),
]


@pytest.mark.parametrize(("rule", "column", "value"), BROKEN)
@pytest.mark.parametrize("row", [0, 11, 23])
def test_a_broken_number_is_reported_once_with_its_rule_and_row(make_universe, raw, rule, column, value, row):
    raw.loc[row, column] = value
    only(problems(raw, make_universe()), rule, place(raw, row))


def test_prices_at_or_below_zero_break_their_own_rule_and_not_only_the_order(make_universe, raw):
    raw.loc[3, "low"] = 0.0
    only(problems(raw, make_universe()), "price > 0", place(raw, 3))
    raw.loc[3, ["open", "high", "low", "close", "quote_volume"]] *= -1
    rules = [line.split(":")[0].strip() for line in problems(raw, make_universe())]
    assert "price > 0" in rules


def test_a_negative_volume_is_an_error(make_universe, raw):
    raw.loc[3, ["volume", "quote_volume"]] *= -1
    assert any(
        line.startswith(f"  volume is finite and >= 0: {place(raw, 3)}") for line in problems(raw, make_universe())
    )


@pytest.mark.parametrize(("column", "factor"), [("open", 1.5), ("close", 0.5), ("high", 0.5), ("low", 1.5)])
def test_open_and_close_lie_between_low_and_high(make_universe, raw, column, factor):
    raw.loc[3, column] *= factor
    lines = problems(raw, make_universe())
    assert lines[0].startswith(f"  low <= min(open, close) <= max(open, close) <= high: {place(raw, 3)}")


@pytest.mark.parametrize(("excess", "fine"), [(0.9e-4, True), (1.1e-4, False)])
@pytest.mark.parametrize("edge", ["high", "low"])
def test_the_vwap_may_leave_the_bar_by_one_basis_point(make_universe, raw, edge, excess, fine):
    sign = 1 if edge == "high" else -1
    raw.loc[3, "quote_volume"] = raw.loc[3, edge] * (1 + sign * excess) * raw.loc[3, "volume"]
    if fine:
        validate_bars(raw, make_universe(), "AAA-USD", DATE)
    else:
        rule = "low <= VWAP = quote volume / volume <= high (1 bp tolerance)"
        only(problems(raw, make_universe()), rule, place(raw, 3))


@pytest.mark.parametrize(("decimals", "fine"), [(2, True), (8, False)])
@pytest.mark.parametrize("off", [0.004, -0.004])
def test_rounded_quote_volume_widens_the_tolerance_by_half_a_unit(make_universe, raw, decimals, fine, off):
    universe = make_universe(source={"kind": "files", "url": "{symbol}.csv", "quote_decimals": decimals})
    raw.loc[3, ["open", "high", "low", "close"]] = 0.3
    raw.loc[3, "volume"], raw.loc[3, "quote_volume"] = 0.1, 0.03 + off
    if fine:
        validate_bars(raw, universe, "AAA-USD", DATE)
    else:
        problems(raw, universe)


def test_quote_volume_without_volume_is_an_error(make_universe, raw):
    raw.loc[3, "volume"] = 0.0
    only(
        problems(raw, make_universe()),
        "low <= VWAP = quote volume / volume <= high (1 bp tolerance)",
        place(raw, 3),
    )


def test_a_time_that_is_none_is_an_error(make_universe, raw):
    raw.loc[3, "ts"] = pd.NaT
    assert any("ts: not_nullable" in line for line in problems(raw, make_universe()))


def test_rows_out_of_time_order_are_an_error(make_universe, raw):
    swapped = raw.iloc[[0, 2, 1, *range(3, 24)]]
    only(problems(swapped, make_universe()), "time strictly increasing", place(raw, 1))


@pytest.mark.parametrize("shift", ["30min", "1us", "24h", "-24h"])
def test_a_bar_off_the_grid_or_on_another_day_is_an_error(make_universe, raw, shift):
    extra = raw.iloc[[23 if not shift.startswith("-") else 0]].copy()
    extra["ts"] += pd.Timedelta(shift)
    rows = [extra, raw] if shift.startswith("-") else [raw, extra]
    lines = problems(pd.concat(rows, ignore_index=True), make_universe())
    told = [line for line in lines if not line.startswith("  rows at a wrong time")]
    assert "allowed: 2024-01-05 00:00 and every 1h after it" in only(told, "bar open on the grid", "simulated:7:")


def test_a_row_on_a_holiday_is_an_error(make_universe, raw):
    universe = make_universe(calendar="XNYS")
    raw = raw.iloc[:1].assign(ts=pd.Timestamp("2024-01-01 14:30", tz="UTC"))
    line = only(problems(raw, universe, date=dt.date(2024, 1, 1)), "bar open on the grid", "simulated:7:")
    assert "2024-01-01 is no session of XNYS: no bars are allowed" in line


def test_a_session_bar_elsewhere_in_its_day_is_an_error(make_universe, raw):
    raw = raw.iloc[:1].assign(ts=pd.Timestamp("2024-01-05 15:30", tz="UTC"))
    lines = problems(raw, make_universe(calendar="XNYS"))
    assert any("bar open on the grid" in line and "allowed: 2024-01-05 14:30" in line for line in lines)


def test_conflicting_duplicates_are_an_error_that_shows_both_rows(make_universe, raw):
    other = raw.iloc[[5]].assign(volume=lambda t: t["volume"] * 1.00001, source_row=999)
    both = pd.concat([raw.iloc[:6], other, raw.iloc[6:]], ignore_index=True)
    line = problems(both, make_universe())
    assert line.pop().startswith(
        "  Where the source cannot be corrected, an outage that is listed for AAA-USD from 2024-"
    )
    assert len(line) == 1
    for part in ("conflicting duplicates of 2024-01-05 05:00", place(raw, 5), "simulated:7:999 (", "volume"):
        assert part in line[0]


def test_missing_bars_block_as_ranges_and_say_how_to_list_them(make_universe, raw):
    lines = problems(raw.drop([0, 5, 6, 7, 23]), make_universe())
    found = [line for line in lines if "missing bars" in line]
    assert [line.split("; ")[0].strip() for line in found] == [
        "missing bars: 1 from 2024-01-05 00:00 to 2024-01-05 01:00 UTC",
        "missing bars: 3 from 2024-01-05 05:00 to 2024-01-05 08:00 UTC",
        "missing bars: 1 from 2024-01-05 23:00 to 2024-01-06 00:00 UTC",
    ]
    for part in (
        "[[outages]]",
        'assets = ["AAA-USD"]',
        "start = 2024-01-05T05:00:00Z",
        "end = 2024-01-05T08:00:00Z",
        "reason =",
    ):
        assert any(part in line for line in lines)


def test_a_partition_without_any_row_is_missing_as_a_whole(make_universe, raw):
    assert "missing bars: 24 from 2024-01-05 00:00 to 2024-01-06 00:00" in problems(raw.iloc[:0], make_universe())[0]


def test_the_lines_that_the_error_offers_make_the_partition_valid(make_universe, raw):
    text = "\n".join(problems(raw.drop([5, 6]), make_universe())[1:])
    universe = make_universe(**tomllib.loads(text))
    assert validate_bars(raw.drop([5, 6]), universe, "AAA-USD", DATE).counts["outage"] == 2


def test_an_outage_covers_only_the_bars_it_lists(make_universe, raw):
    lines = problems(raw.drop([5, 6]), make_universe(outages=[outage("05:00", "06:00")]))
    assert "missing bars: 1 from 2024-01-05 06:00" in lines[0]


def test_all_faults_are_in_one_error(make_universe, raw):
    raw.loc[2, "close"] = np.nan
    raw.loc[4, "low"] = raw.loc[4, "high"] * 2
    raw.loc[9, "ts"] += pd.Timedelta("1min")
    text = "\n".join(problems(raw.drop(20), make_universe()))
    for rule in (
        "prices are finite",
        "low <= min",
        "on the grid",
        "missing bars: 1 from 2024-01-05 20:00",
    ):
        assert rule in text


def test_faults_are_counted_by_kind_and_a_few_of_each_are_shown(make_universe, raw):
    raw["close"] = np.nan
    lines = problems(raw.drop(7), make_universe())
    assert len(lines) == 5 + 1 + 1 + 5, lines
    assert lines[5] == "  and 18 more of: prices are finite"
    assert lines[6].startswith("  missing bars: 1 from 2024-01-05 07:00"), (
        "what is rare is not hidden by what is common"
    )
    with pytest.raises(BarsError) as error:
        validate_bars(raw.drop(7), make_universe(), "AAA-USD", DATE)
    first = str(error.value).splitlines()[0]
    assert first.endswith(": 24 problem(s) in these bars: 23 x prices are finite, 1 x missing bars")
