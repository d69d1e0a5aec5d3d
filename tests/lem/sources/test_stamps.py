from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd
import pytest

from lem.data.bars import validate_bars
from lem.errors import BarsError, SourceError
from lem.sources import open_source
from lem.universe.calendars import partition_window

NEW_YORK = "America/New_York"


def bars(opens, start=100.0):
    rng = np.random.default_rng(5)
    path = start * np.exp(np.cumsum(rng.normal(0, 0.003, len(opens) + 1)))
    first, last = path[:-1], path[1:]
    table = {"open": first, "high": np.maximum(first, last) * 1.001, "low": np.minimum(first, last) / 1.001}
    volume = rng.exponential(20, len(opens)) + 1
    table |= {"close": last, "volume": volume, "quote_volume": volume * (first + last) / 2}
    return pd.DataFrame({"ts": opens, **table})


@pytest.fixture
def stored(tmp_path, make_universe):
    """`stored(table, zone=...)` is the universe of one asset with this file, and its source."""

    def store(table, universe=None, ending="csv", **keys):
        path = tmp_path / f"AAA-USD.{ending}"
        table.to_csv(path, index=False) if ending == "csv" else table.to_parquet(path)
        source = {"kind": "files", "url": f"{{data}}/{{symbol}}.{ending}", **keys}
        made = make_universe(**{"assets": {"AAA-USD": {}}, "source": source, **(universe or {})})
        return made, open_source(made, str(tmp_path))

    return store


def day(made, date):
    universe, source = made
    answer = source.fetch("AAA-USD", *partition_window(date))
    return validate_bars(answer.table, universe, "AAA-USD", date).table


def new_york(first, last):
    """Hourly opens as clocks in New York show them, and when they are in UTC."""
    utc = pd.date_range(first, last, freq="1h", tz="UTC", inclusive="left")
    return utc.tz_convert(NEW_YORK).tz_localize(None), utc


@pytest.mark.parametrize("ending", ["csv", "parquet"])
@pytest.mark.parametrize("date", [dt.date(2024, 3, 10), dt.date(2024, 11, 3)], ids=["forward", "back"])
def test_naive_stamps_of_a_zone_are_read_through_both_changes_of_the_clock(stored, ending, date):
    wall, utc = new_york(date - dt.timedelta(days=1), date + dt.timedelta(days=2))
    table = bars(wall)
    made = stored(table, {"start": "2024-01-01", "end": "2024-12-31"}, ending, zone=NEW_YORK)
    found = day(made, date)
    assert list(found["ts"]) == [t for t in utc if t.date() == date]
    own = np.array([t.date() == date for t in utc])
    np.testing.assert_allclose(found["close"], table["close"][own])


def test_without_a_zone_naive_stamps_are_utc(stored):
    opens = pd.date_range("2024-01-05", periods=24, freq="1h")
    assert list(day(stored(bars(opens)), dt.date(2024, 1, 5))["ts"]) == list(opens.tz_localize("UTC"))


def test_an_hour_that_was_shown_once_or_never_is_refused_with_its_row(stored):
    wall, _ = new_york("2024-11-02", "2024-11-05")
    twice = np.flatnonzero(wall == pd.Timestamp("2024-11-03 01:00"))
    assert len(twice) == 2
    table = bars(wall).drop(index=twice[1])
    universe = {"start": "2024-01-01", "end": "2024-12-31"}
    with pytest.raises(SourceError, match=rf"row {twice[0] + 1}, column 'ts': '2024-11-03 01:00:00' was shown never"):
        day(stored(table, universe, zone=NEW_YORK), dt.date(2024, 11, 3))
    never = bars(pd.date_range("2024-03-10", periods=24, freq="1h"))
    with pytest.raises(SourceError, match=r"row 3, .*02:00:00' was shown never"):
        day(stored(never, universe, zone=NEW_YORK), dt.date(2024, 3, 10))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda ts: ts.tz_localize("UTC"), "24 of its 24 stamps have an offset"),
        (lambda ts: ts.astype("int64") // 10**3, "numbers since 1970 have none"),
    ],
    ids=["offset", "epoch"],
)
def test_a_zone_that_would_not_be_obeyed_is_refused(stored, change, told):
    table = bars(pd.date_range("2024-01-05", periods=24, freq="1h", unit="us"))
    made = stored(table.assign(ts=change(pd.DatetimeIndex(table["ts"]))), zone="Europe/Paris")
    with pytest.raises(SourceError, match=rf"source\.zone is 'Europe/Paris', but {told}"):
        day(made, dt.date(2024, 1, 5))


def test_one_stamp_with_an_offset_among_naive_ones_blocks_its_own_date(stored):
    opens = pd.date_range("2024-01-05", periods=48, freq="1h", unit="us")
    made = stored(bars(opens).assign(ts=[f"{t}{'Z' if n == 3 else ''}" for n, t in enumerate(opens)]), zone="UTC")
    with pytest.raises(SourceError, match=r"row 4, column 'ts': '2024-01-05 03:00:00Z' has an offset"):
        day(made, dt.date(2024, 1, 5))
    assert len(day(made, dt.date(2024, 1, 6))) == 24


def test_a_zone_of_dates_of_sessions_is_refused(stored):
    table = bars(pd.date_range("2024-01-02", periods=4, freq="B").strftime("%Y-%m-%d"))
    with pytest.raises(SourceError, match="but its stamps are dates of sessions"):
        day(stored(table, {"calendar": "XNYS", "bar": "1d"} | XNYS, zone=NEW_YORK), dt.date(2024, 1, 3))


XNYS = {"training": {"window_days": 504}}


def test_an_unknown_zone_is_refused_when_the_file_is_read(stored):
    with pytest.raises(ValueError, match=r"no time zone 'America/NewYork': did you mean America/New_York"):
        stored(bars(pd.date_range("2024-01-05", periods=24, freq="1h")), zone="America/NewYork")


def test_stamps_at_the_bars_close_are_moved_to_their_open(stored):
    opens = pd.date_range("2024-01-05", periods=24, freq="1h", tz="UTC")
    table = bars(opens)
    made = stored(table.assign(ts=opens + pd.Timedelta("1h")), stamp="close")
    found = day(made, dt.date(2024, 1, 5))
    assert list(found["ts"]) == list(opens)
    np.testing.assert_allclose(found["open"], table["open"])


def test_stamps_at_a_sessions_close_are_moved_to_its_open(stored):
    closes = pd.DatetimeIndex(["2024-07-02T20:00Z", "2024-07-03T17:00Z", "2024-07-05T20:00Z"])
    universe = {"calendar": "XNYS", "bar": "1d", "start": "2024-07-01", "end": "2024-07-31"} | XNYS
    found = day(stored(bars(closes), universe, stamp="close"), dt.date(2024, 7, 3))
    assert list(found["close_ts"]) == [closes[1]]
    naive = closes.tz_convert(NEW_YORK).tz_localize(None)
    found = day(stored(bars(naive), universe, stamp="close", zone=NEW_YORK), dt.date(2024, 7, 3))
    assert list(found["close_ts"]) == [closes[1]]
    wrong = bars(closes + pd.Timedelta("1h"))
    with pytest.raises(SourceError, match=r"row 1, .* is not the end of a session of XNYS"):
        day(stored(wrong, universe, stamp="close"), dt.date(2024, 7, 3))
    with pytest.raises(SourceError, match=r"row 1, .* is a date, and source\.stamp is 'close'"):
        day(stored(bars(["2024-07-02", "2024-07-03"]), universe, stamp="close"), dt.date(2024, 7, 3))


def test_stamps_at_the_close_that_are_not_said_to_be_are_still_refused_where_the_day_begins(stored):
    closes = pd.date_range("2024-01-05 01:00", periods=24, freq="1h", tz="UTC")
    with pytest.raises(BarsError, match="missing"):
        day(stored(bars(closes)), dt.date(2024, 1, 5))
