from __future__ import annotations

import datetime as dt
import tomllib

import pandas as pd
import pytest

from lem.data.bars import validate_bars
from lem.errors import BarsError
from tests.lem.bar_problems import DATE, problems


def of(raw, freq, day=DATE):
    """As many rows as there are bars of a length in the day."""
    freq = freq.replace("1d", "1D")
    opens = pd.date_range(day, periods=int(pd.Timedelta(1, "D") / pd.Timedelta(freq)), freq=freq, tz="UTC", unit="us")
    return pd.concat([raw.iloc[[0]]] * len(opens), ignore_index=True).assign(ts=opens, source_row=range(len(opens)))


SHIFTED = [
    ("1h", "30min", r"24 of 24; looks like a shifted grid: 30 min after .* of a zone beside whole hours"),
    ("1h", "14789ms", r"24 of 24; looks like a shifted grid: 14.789 s after"),
    ("1h", "3599999ms", r"24 of 24; looks like close stamps, 0.001 s before the end of each bar"),
    ("15min", "899s", r"96 of 96; looks like close stamps, 1 s before the end of each bar"),
    ("1d", "22h", r"1 of 1; looks like local midnight, of a zone at UTC\+2 h"),
    ("1d", "5h", r"1 of 1; looks like local midnight, of a zone at UTC-5 h"),
]


@pytest.mark.parametrize(("bar", "shift", "looks"), SHIFTED)
def test_rows_at_a_wrong_time_are_said_to_be_that_and_no_outage_is_offered(make_universe, raw, bar, shift, looks):
    late = of(raw, bar).assign(ts=lambda t: t["ts"] + pd.Timedelta(shift))
    source = {"kind": "files", "url": "{data}/{symbol}.csv"}
    lines = "\n".join(problems(late, make_universe(bar=bar, source=source, training={"window_days": 504})))
    assert pd.Series([lines]).str.contains(looks).all(), lines
    assert "outage" not in lines.replace("so this is no outage", "")


@pytest.mark.parametrize(
    ("stamp", "looks"), [("05:00", "local midnight in America/New_York"), ("21:00", "close stamps")]
)
def test_a_session_at_its_close_or_at_local_midnight_is_recognised(make_universe, raw, stamp, looks):
    universe = make_universe(calendar="XNYS", bar="1d", source={"kind": "files", "url": "{data}/{symbol}.csv"})
    lines = "\n".join(problems(raw.iloc[:1].assign(ts=pd.Timestamp(f"2024-01-05 {stamp}", tz="UTC")), universe))
    assert looks in lines
    assert "[[outages]]" not in lines


def test_a_venue_s_own_late_rows_can_be_left_out_with_the_outage_that_the_error_names(make_universe, raw):
    raw.loc[10:11, "ts"] += pd.Timedelta("14789ms")
    lines = "\n".join(problems(raw, make_universe()))
    assert "[[outages]]" not in lines
    assert "listed for AAA-USD from 2024-01-05 10:00:00 to 2024-01-05 12:00:00 UTC leaves these rows out" in lines
    told = {"start": "2024-01-05T10:00:00Z", "end": "2024-01-05T12:00:00Z", "assets": ["AAA-USD"], "reason": "late"}
    result = validate_bars(raw, make_universe(outages=[told]), "AAA-USD", DATE)
    assert (result.counts["in_outage"], result.counts["outage"]) == (2, 2)


def test_the_outage_that_leaves_out_an_extra_row_keeps_the_bar_that_is_there(make_universe, raw):
    extra = raw.iloc[[10]].assign(ts=lambda t: t["ts"] + pd.Timedelta("20min"))
    both = pd.concat([raw.iloc[:11], extra, raw.iloc[11:]], ignore_index=True)
    lines = "\n".join(problems(both, make_universe()))
    assert "from 2024-01-05 10:20:00 to 2024-01-05 11:00:00 UTC" in lines
    told = {"start": "2024-01-05T10:20:00Z", "end": "2024-01-05T11:00:00Z", "assets": ["AAA-USD"], "reason": "extra"}
    assert set(validate_bars(both, make_universe(outages=[told]), "AAA-USD", DATE).table["flag"]) == {"ok"}


def test_an_hour_that_is_absent_beside_late_rows_is_offered_and_theirs_is_not(make_universe, raw):
    raw.loc[10:11, "ts"] += pd.Timedelta("1s")
    lines = problems(raw.drop(3), make_universe())
    assert sum("[[outages]]" in line for line in lines) == 1
    assert any("start = 2024-01-05T03:00:00Z" in line for line in lines)
    assert any("2 row(s) of this time stand beside the grid, so this is no outage" in line for line in lines)


@pytest.mark.parametrize(
    ("day", "hour", "zone"),
    [
        (dt.date(2024, 3, 10), 2, "America/New_York"),
        (dt.date(2024, 3, 31), 1, "Europe/London"),
        (dt.date(2024, 3, 31), 2, "Europe/Berlin"),
    ],
)
def test_the_hour_that_clocks_leave_out_looks_like_local_time(make_universe, raw, day, hour, zone):
    rows, universe = of(raw, "1h", day), make_universe(end=day + dt.timedelta(days=1))
    lines = "\n".join(problems(rows.drop(hour), universe, date=day))
    assert f"looks like local time: in {zone} the clocks are put forward" in lines
    assert "start = " not in lines, "no outage is offered"
    other = "\n".join(problems(rows.drop(hour + 7), universe, date=day))
    assert "[[outages]]" in other


def test_the_hour_that_clocks_show_twice_looks_like_local_time(make_universe, raw):
    day = dt.date(2024, 11, 3)
    rows = of(raw, "1h", day)
    again = rows.iloc[[1]].assign(volume=lambda t: t["volume"] * 1.00001, source_row=99)
    both = pd.concat([rows.iloc[:2], again, rows.iloc[2:]], ignore_index=True)
    lines = "\n".join(problems(both, make_universe(end="2024-12-31"), date=day))
    assert "conflicting duplicates of 2024-11-03 01:00" in lines
    assert "looks like local time: in America/New_York the clocks are put back" in lines


def test_following_the_offered_lines_leaves_other_assets_and_other_hours_blocked(make_universe, raw):
    text = "\n".join(problems(raw.drop([5, 6]), make_universe())[1:])
    universe = make_universe(**tomllib.loads(text))
    assert validate_bars(raw.drop([5, 6]), universe, "AAA-USD", DATE).counts["missing"] == 2
    for rows, symbol in ((raw.drop([6]), "BBB-USD"), (raw.drop([7]), "AAA-USD"), (raw.drop([4]), "AAA-USD")):
        with pytest.raises(BarsError, match="missing bars: 1 from"):
            validate_bars(rows, universe, symbol, DATE)
