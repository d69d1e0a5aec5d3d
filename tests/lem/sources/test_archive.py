"""Which archives a window is read from, what they give, and which of them are refused."""

from __future__ import annotations

import datetime as dt
import shutil
import tomllib

import numpy as np
import pandas as pd
import pytest

import lem.sources.archive as archive_module
from lem.errors import SourceError
from lem.sources.archive import KEPT, Archive
from lem.sources.base import RAW_DTYPES, RawBars
from lem.sources.download import Downloads
from lem.sources.limits import Clock
from tests.exchange.archive_server import (
    DAILY,
    HEADER,
    MONTHLY,
    ArchiveServer,
    klines_csv,
    minute_bars,
    put,
    put_bars,
    zipped,
)

NOW = dt.datetime(2024, 2, 20, 12, tzinfo=dt.UTC)
START, END = dt.datetime(2024, 1, 30, tzinfo=dt.UTC), dt.datetime(2024, 2, 3, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)
OTHER_HEADER = (
    "Open time,Open,High,Low,Close,Volume,Close time,Quote asset volume,Number of trades,Taker buy base asset volume,"
    "Taker buy quote asset volume,Ignore"
)


class Still(Clock):
    """Always the same time, and no waiting."""

    def now(self):
        return NOW

    def sleep(self, seconds):
        """Nothing."""


@pytest.fixture(scope="session")
def bars():
    return minute_bars(START.date(), 4, bar="1h")


@pytest.fixture
def archive(make_universe, tmp_path):
    """`archive(**keys)` is a source of hourly archives in a folder; `asset` and `universe` replace other keys."""

    def make(asset=None, universe=None, **source):
        keys = {"kind": "archive", "daily": f"{{data}}/{DAILY}", "monthly": f"{{data}}/{MONTHLY}", "bar": "1h"}
        assets = {"AAA-USDT": {"venue_symbol": "AAAUSDT", **(asset or {})}}
        return Archive(
            make_universe(source={**keys, **source}, assets=assets, **(universe or {})), str(tmp_path), {}, Still()
        )

    return make


@pytest.fixture
def reads(monkeypatch):
    """Names of the files that were unpacked, in their order."""
    names, real = [], archive_module.unpack

    def unpack(url, *rest):
        names.append(url.rsplit("/", 1)[-1])
        return real(url, *rest)

    monkeypatch.setattr(archive_module, "unpack", unpack)
    return names


def same_bars(got, want):
    pd.testing.assert_frame_equal(
        got[list(want.columns)].reset_index(drop=True), want.reset_index(drop=True), check_exact=True
    )


@pytest.mark.parametrize("header", ["", HEADER, OTHER_HEADER])
@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_any_header_and_unit_gives_the_bars_that_went_in(archive, bars, tmp_path, header, unit):
    put_bars(tmp_path, DAILY, "AAAUSDT", bars, bar="1h", header=header, unit=unit)
    raw = archive().fetch("AAA-USDT", START, END)
    same_bars(raw.table, bars)
    assert raw.table["source_row"].tolist() == [*range(1, 25)] * 4
    urls = [archive().url("AAA-USDT", START.date() + n * DAY) for n in range(4)]
    assert raw.source == ", ".join(urls)
    assert raw.table["source"].tolist() == np.repeat(urls, 24).tolist()


def test_the_monthly_archive_is_preferred_once_its_month_is_over_and_read_once(archive, bars, tmp_path, reads):
    put_bars(tmp_path, DAILY, "AAAUSDT", bars, bar="1h")
    put_bars(tmp_path, MONTHLY, "AAAUSDT", bars, bar="1h")
    source = archive()
    days = [source.fetch("AAA-USDT", START + n * DAY, START + (n + 1) * DAY) for n in range(4)]
    assert reads == ["AAAUSDT-1h-2024-01.zip", "AAAUSDT-1h-2024-02-01.zip", "AAAUSDT-1h-2024-02-02.zip"]
    same_bars(pd.concat([day.table for day in days]), bars)
    assert days[1].table["source_row"].tolist() == list(range(25, 49))


def test_a_month_without_its_archive_is_read_by_days(archive, bars, tmp_path, reads):
    put_bars(tmp_path, DAILY, "AAAUSDT", bars, bar="1h")
    same_bars(archive().fetch("AAA-USDT", START, END).table, bars)
    assert reads[0] == "AAAUSDT-1h-2024-01-30.zip"


@pytest.fixture
def asked(monkeypatch):
    """URLs that were asked for, there or not, in their order."""
    urls, real = [], Downloads.verified
    monkeypatch.setattr(Downloads, "verified", lambda self, url: urls.append(url) or real(self, url))
    return urls


def test_a_month_that_is_not_archived_is_asked_for_once(archive, bars, tmp_path, asked):
    put_bars(tmp_path, DAILY, "AAAUSDT", bars, bar="1h")
    source = archive()
    for day in range(2):
        source.fetch("AAA-USDT", START + day * DAY, START + (day + 1) * DAY)
    assert asked.count(source.url("AAA-USDT", START.date(), monthly=True)) == 1


def test_what_was_replaced_or_not_there_is_read_again_once_it_is_forgotten(archive, bars, tmp_path, asked):
    put_bars(tmp_path, DAILY, "AAAUSDT", bars.assign(volume=bars["volume"] * 2), bar="1h")
    source, day = archive(), (START, START + DAY)
    twice = source.fetch("AAA-USDT", *day).table
    put_bars(tmp_path, DAILY, "AAAUSDT", bars, bar="1h")
    same_bars(source.fetch("AAA-USDT", *day).table, twice)
    source.forget("AAA-USDT")
    same_bars(source.fetch("AAA-USDT", *day).table, bars.iloc[:24])
    put_bars(tmp_path, MONTHLY, "AAAUSDT", bars, bar="1h")
    source.forget("AAA-USDT")
    month = source.url("AAA-USDT", START.date(), monthly=True)
    assert source.fetch("AAA-USDT", *day).source == month
    assert asked.count(month) == 3


def test_without_a_monthly_template_only_days_are_read(archive, bars, tmp_path, reads):
    put_bars(tmp_path, DAILY, "AAAUSDT", bars, bar="1h")
    put_bars(tmp_path, MONTHLY, "AAAUSDT", bars, bar="1h")
    same_bars(archive(monthly="").fetch("AAA-USDT", START, END).table, bars)
    assert len(reads) == 4


def test_only_the_last_archives_are_kept(archive, tmp_path, reads):
    count = KEPT + 2
    bars = minute_bars(START.date(), count, bar="1h")
    put_bars(tmp_path, DAILY, "AAAUSDT", bars, bar="1h")
    source = archive()
    same_bars(source.fetch("AAA-USDT", START, START + count * DAY).table, bars)
    assert len(source._tables) == KEPT
    source.fetch("AAA-USDT", START + (count - 1) * DAY, START + count * DAY)
    assert len(reads) == count
    source.fetch("AAA-USDT", START, START + DAY)
    assert len(reads) == count + 1
    # The one that was asked for last stays longest: the fourth goes, the third does not.
    source.fetch("AAA-USDT", START + 3 * DAY, START + 4 * DAY)
    source.fetch("AAA-USDT", START + DAY, START + 2 * DAY)
    assert len(reads) == count + 2
    source.fetch("AAA-USDT", START + 3 * DAY, START + 4 * DAY)
    assert len(reads) == count + 2


def test_a_window_across_a_rename_reads_both_names(archive, bars, tmp_path):
    put_bars(tmp_path, DAILY, "OLDUSDT", bars[bars["ts"] < START + 2 * DAY], bar="1h")
    put_bars(tmp_path, DAILY, "AAAUSDT", bars[bars["ts"] >= START + 2 * DAY], bar="1h")
    asset = {"renames": [{"until": "2024-01-31", "venue_symbol": "OLDUSDT"}]}
    raw = archive(asset).fetch("AAA-USDT", START, END)
    same_bars(raw.table, bars)
    assert raw.source.count("OLDUSDT-1h-") == raw.source.count("AAAUSDT-1h-") == 2


def test_the_same_archives_give_the_same_rows_and_source(archive, bars, tmp_path):
    put_bars(tmp_path, DAILY, "AAAUSDT", bars, bar="1h")
    first, second = (archive().fetch("AAA-USDT", START, END) for _ in range(2))
    pd.testing.assert_frame_equal(first.table, second.table, check_exact=True)
    assert first.source == second.source


def test_a_bar_of_another_month_blocks_the_day_beside_it_and_no_other(archive, bars, tmp_path):
    path = tmp_path / MONTHLY.format(venue_symbol="AAAUSDT", bar="1h", month="2024-01")
    put(path, zipped("x.csv", klines_csv(bars)))
    same_bars(archive().fetch("AAA-USDT", START, START + DAY).table, bars.iloc[:24])
    with pytest.raises(SourceError, match=r"row 49, .*allowed: opens of 2024-01-01 to 2024-01-31, UTC \(48 rows"):
        archive().fetch("AAA-USDT", START + DAY, START + 2 * DAY)


def test_a_row_of_a_month_that_cannot_be_read_blocks_its_own_day(archive, bars, tmp_path):
    lines = klines_csv(bars.iloc[:48]).splitlines()
    fields = lines[30].split(b",")
    lines[30] = b",".join([*fields[:4], b"n/a", *fields[5:]])
    path = tmp_path / MONTHLY.format(venue_symbol="AAAUSDT", bar="1h", month="2024-01")
    put(path, zipped("x.csv", b"\n".join([*lines, b""])))
    same_bars(archive().fetch("AAA-USDT", START, START + DAY).table, bars.iloc[:24])
    with pytest.raises(SourceError, match=r"row 31, column 'close': 'n/a' is not a number"):
        archive().fetch("AAA-USDT", START + DAY, START + 2 * DAY)


def test_a_last_number_that_may_be_cut_is_not_read(archive, bars, tmp_path):
    lines = ["open_time,open,high,low,close,quote_volume,volume"]
    stamps = bars["ts"].dt.as_unit("ms").astype("int64")
    lines += [f"{ts},1,1,1,1,57654321,57654321" for ts in stamps.iloc[:24]]
    text = "\n".join(lines)
    path = tmp_path / DAILY.format(venue_symbol="AAAUSDT", bar="1h", date="2024-01-30")
    put(path, zipped("x.csv", f"{text}\n".encode()))
    assert len(archive().fetch("AAA-USDT", START, START + DAY).table) == 24
    put(path, zipped("x.csv", text[:-5].encode()))
    with pytest.raises(SourceError, match="the last line has no end, so its volume may be cut"):
        archive().fetch("AAA-USDT", START, START + DAY)


def test_names_in_any_script_are_read_with_their_checksums(archive, bars, tmp_path):
    name = "币安人生USDT"
    put_bars(tmp_path, DAILY, name, bars, bar="1h")
    same_bars(archive({"venue_symbol": name}).fetch("AAA-USDT", START, END).table, bars)
    with ArchiveServer(tmp_path) as server:
        daily = f"{server.url}/{DAILY}"
        same_bars(archive({"venue_symbol": name}, daily=daily, monthly="").fetch("AAA-USDT", START, END).table, bars)


def test_an_outage_of_a_whole_day_does_not_keep_the_venue_from_being_asked(archive, bars, tmp_path, venue):
    outage = {"start": "2024-01-30T00:00:00Z", "end": "2024-01-31T00:00:00Z", "reason": "upgrade"}
    answered = archive(universe={"outages": [outage]}, fallback=FALLBACK).fetch("AAA-USDT", START, START + DAY)
    assert "not archived" in answered.source
    assert len(answered.table), "what the venue has is told of, and left out when bars are validated"


def test_the_lines_that_a_missing_archive_offers_are_of_its_asset_and_day(archive, bars, tmp_path):
    with pytest.raises(SourceError, match="no such archive") as caught:
        archive().fetch("AAA-USDT", START, START + DAY)
    told = tomllib.loads("\n".join(str(caught.value).splitlines()[1:]))
    assert told["outages"][0]["assets"] == ["AAA-USDT"]
    assert archive(universe=told).fetch("AAA-USDT", START, START + DAY).table.empty
    with pytest.raises(SourceError, match="no such archive"):
        archive(universe=told).fetch("AAA-USDT", START + DAY, START + 2 * DAY)


def test_a_file_that_is_no_table_of_bars_is_an_error_that_names_the_archive(archive, tmp_path):
    path = tmp_path / DAILY.format(venue_symbol="AAAUSDT", bar="1h", date="2024-01-30")
    put(path, zipped("x.csv", f"{HEADER}\n1,2\n".encode()))
    with pytest.raises(SourceError, match=rf"^{path}: row 1 has 2 fields; allowed: 12"):
        archive().fetch("AAA-USDT", START, START + DAY)


def test_an_archive_larger_than_allowed_is_an_error(archive, bars, tmp_path):
    put_bars(tmp_path, DAILY, "AAAUSDT", bars, bar="1h")
    with pytest.raises(SourceError, match=r"bytes unpacked; allowed: at most 1000 bytes \(source.max_bytes\)"):
        archive(max_bytes=1000).fetch("AAA-USDT", START, END)


def test_a_missing_archive_is_an_error_that_says_what_is_allowed(archive, bars, tmp_path):
    (path, *_) = put_bars(tmp_path, DAILY, "AAAUSDT", bars, bar="1h")
    path.unlink()
    with pytest.raises(
        SourceError,
        match=r"1h-2024-01-30\.zip: no such archive, and no \S*1h-2024-01\.zip; allowed: .*source\.fallback",
    ):
        archive().fetch("AAA-USDT", START, END)


@pytest.fixture
def venue(monkeypatch, bars):
    """The windows that a venue was asked for; it has all of the bars."""
    import lem.sources.ccxt_venue as ccxt_venue

    windows = []

    class Ccxt:
        def __init__(self, universe, credentials, *rest):
            assert universe.source.kind == "ccxt"
            assert universe.source.venue == "binance"

        def fetch(self, symbol, start, end):
            windows.append((start, end))
            table = bars[(bars["ts"] >= start) & (bars["ts"] < end)].assign(source="binance:AAA/USDT", source_row=1)
            return RawBars(table.astype(RAW_DTYPES), "binance:AAA/USDT", NOW)

        def forget(self, symbol):
            windows.append(symbol)

    monkeypatch.setattr(ccxt_venue, "Ccxt", Ccxt)
    return windows


FALLBACK = {"kind": "ccxt", "venue": "binance", "bar": "1h"}


def test_days_that_are_not_archived_yet_come_from_the_venue_and_the_answer_says_so(archive, bars, tmp_path, venue):
    put_bars(tmp_path, DAILY, "AAAUSDT", bars[bars["ts"] < START + 2 * DAY], bar="1h")
    source, until = archive(fallback=FALLBACK), END - dt.timedelta(hours=3)
    raw = source.fetch("AAA-USDT", START, until)
    same_bars(raw.table, bars.iloc[:-3])
    assert venue == [(START + 2 * DAY, until)]
    assert raw.source.endswith(
        f", binance:AAA/USDT (not archived: {source.url('AAA-USDT', dt.date(2024, 2, 1))} to AAAUSDT-1h-2024-02-02.zip)"
    )
    assert set(raw.table["source"].iloc[48:]) == {"binance:AAA/USDT"}


def test_the_venue_is_told_to_forget_too_and_a_day_that_is_archived_by_now_comes_from_there(
    archive, bars, tmp_path, venue
):
    source = archive(fallback=FALLBACK)
    source.forget("AAA-USDT")
    source.fetch("AAA-USDT", START, START + DAY)
    source.forget("AAA-USDT")
    assert venue == [(START, START + DAY), "AAA-USDT"]
    put_bars(tmp_path, DAILY, "AAAUSDT", bars, bar="1h")
    assert source.fetch("AAA-USDT", START, START + DAY).source == source.url("AAA-USDT", START.date())


def test_a_damaged_archive_is_not_replaced_by_the_venue(archive, bars, tmp_path, venue):
    (path, *_) = put_bars(tmp_path, DAILY, "AAAUSDT", bars, bar="1h")
    put(path, b"", checksum="0" * 64)
    with pytest.raises(SourceError, match="tried 7 times, at last: wrong checksum"):
        archive(fallback=FALLBACK).fetch("AAA-USDT", START, END)
    assert venue == []


def test_a_fallback_with_other_bars_is_an_error(archive):
    with pytest.raises(
        SourceError, match=r"source\.fallback\.bar is '1min' and source\.bar is '1h'; allowed: the same"
    ):
        archive(fallback={"kind": "ccxt", "venue": "binance"})


def test_days_without_a_listing_need_no_archive_and_are_not_asked_for(archive, bars, tmp_path, asked):
    put_bars(tmp_path, DAILY, "AAAUSDT", bars[bars["ts"] < START + 2 * DAY], bar="1h")
    raw = archive({"delisted": "2024-01-31"}).fetch("AAA-USDT", START, END)
    same_bars(raw.table, bars.iloc[:48])
    assert "no bars expected" in raw.source
    assert not any("-2024-02" in url for url in asked)


def test_a_day_that_is_all_outage_needs_no_archive_and_half_a_day_does(archive, bars, tmp_path):
    paths = put_bars(tmp_path, DAILY, "AAAUSDT", bars, bar="1h")
    paths[1].unlink()
    outage = {"start": "2024-01-31T00:00:00Z", "end": "2024-02-01T00:00:00Z", "reason": "upgrade"}
    raw = archive(universe={"outages": [outage]}).fetch("AAA-USDT", START, END)
    same_bars(raw.table, pd.concat([bars.iloc[:24], bars.iloc[48:]]))
    outage["end"] = "2024-01-31T23:00:00Z"
    for universe in ({"outages": [outage]}, {"outages": [outage], "bar": "4h"}):
        with pytest.raises(SourceError, match="no such archive"):
            archive(universe=universe).fetch("AAA-USDT", START, END)


@pytest.mark.parametrize(
    ("keys", "rule"),
    [
        ({"daily": "x/{symbl}-{date}.zip"}, "source.daily .*unknown field 'symbl'; allowed in braces: data, symbol"),
        ({"daily": "x/{symbol}-{month}.zip"}, "source.daily .*unknown field 'month'"),
        ({"monthly": "x/{symbol}-{date}.zip"}, "source.monthly .*unknown field 'date'"),
        ({"daily": "x/{symbol}-{date!r}.zip"}, "a format in braces"),
        ({"daily": "x/{symbol}-{date:>12}.zip"}, "a format in braces"),
        ({"daily": "x/{symbol}-{date.zip"}, "source.daily"),
        ({"daily": "x/{symbol}.zip"}, r"lacks a field; allowed: one with \{date\} and \{venue_symbol\} or \{symbol\}"),
        ({"daily": "x/{date}.zip"}, "lacks a field"),
        ({"daily": "x/{symbol}-{date}.csv"}, r"ends in \.zip"),
        ({"daily": "https://a/{symbol}-{date}.zip?x=.zip"}, "without query"),
        ({"daily": "https://a/{symbol}-{date}.zip#x.zip"}, "without query"),
    ],
)
def test_a_template_that_cannot_work_is_an_error_before_anything_is_fetched(archive, keys, rule):
    with pytest.raises(SourceError, match=rule):
        archive(**keys)


def test_only_a_universe_of_its_own_kind_is_taken(make_universe):
    with pytest.raises(SourceError, match=r"small: source\.kind is 'simulated', not 'archive'"):
        Archive(make_universe(), "", {})


def test_a_password_in_a_url_is_refused_and_not_shown(archive, make_universe):
    template = "https://desk:hunter2@a/{symbol}-{date}.zip"
    with pytest.raises(SourceError, match="user or password") as caught:
        archive(daily=template)
    assert "hunter2" not in str(caught.value)
    universe = make_universe(source={"kind": "archive", "daily": "{data}/{symbol}-{date}.zip", "bar": "1h"})
    with pytest.raises(SourceError, match="user or password") as caught:
        Archive(universe, "s3://key:hunter2@bucket", {})
    assert "hunter2" not in str(caught.value)
    with pytest.raises(SourceError, match="LEM_DATA"):
        Archive(universe, "", {})


def test_an_unknown_protocol_is_an_error(archive):
    with pytest.raises(SourceError, match=r"gopher://.*allowed: a URL that fsspec can read"):
        archive(daily="gopher://a/{venue_symbol}-{date}.zip", monthly="").fetch("AAA-USDT", START, END)


def test_archives_that_appear_later_are_seen_by_a_new_source(archive, bars, tmp_path):
    path = put_bars(tmp_path, DAILY, "AAAUSDT", bars, bar="1h")[0].parents[1]
    shutil.move(path, path.with_name("elsewhere"))
    source = archive()
    with pytest.raises(SourceError, match="no such archive"):
        source.fetch("AAA-USDT", START, END)
    shutil.move(path.with_name("elsewhere"), path)
    same_bars(source.fetch("AAA-USDT", START, END).table, bars)
