"""Days that are not archived yet: a loopback archive, and behind it a loopback exchange with the real ccxt client."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from lem.data.bars import validate_bars, validate_days
from lem.errors import BarsError, SourceError
from lem.lake import Lake
from lem.sources.archive import Archive
from lem.sources.base import NUMBERS
from lem.sources.ccxt_venue import Ccxt
from lem.universe import load_universe
from lem.universe.calendars import partition_window
from tests.conftest import ROOT
from tests.exchange import faults as wrong
from tests.exchange.archive_server import DAILY, ArchiveServer, minute_bars, put_bars
from tests.exchange.clock import FakeClock
from tests.exchange.faults import Answer
from tests.exchange.faults_table import check, record
from tests.exchange.server import Exchange

PART = "An archive with a venue behind it (`source.fallback`)"
ARCHIVED, LATER = dt.date(2024, 1, 31), dt.date(2024, 2, 1)
NOON = dt.datetime(2024, 2, 1, 12, tzinfo=dt.UTC)
TRUTH = minute_bars(ARCHIVED, 2, bar="15min")


@dataclass(frozen=True)
class Case:
    """What is done to the exchange. `blocked` is the error's text; without one all bars of both days arrive."""

    fault: str
    do: Callable[[Exchange], object]
    told: str
    blocked: str = ""


def always(answer: Answer) -> Callable[[Exchange], None]:
    return lambda exchange: exchange.faults.answer(answer, on=None)


CASES = [
    Case(
        "a day that is not archived yet", lambda exchange: None, "the venue is asked, and the source says so: all bars"
    ),
    Case(
        "a venue that does not answer, once",
        lambda exchange: exchange.faults.answer(Answer(503, body=b"upstream"), on=(1,)),
        "asked again, all bars",
    ),
    Case(
        "a venue that does not answer, always",
        always(Answer(503, body=b"upstream")),
        "blocked after the retries: the venue's error",
        r"binance: AAA-USDT \[2024-02-01 00:00, .* UTC: no answer in 3 attempt\(s\); the last: HTTP 503",
    ),
    Case(
        "a day that is not over by the venue's clock",
        lambda exchange: setattr(exchange, "now", NOON),
        "blocked before any bar is asked for: until when the venue has closed bars",
        r"the venue has closed bars only until 2024-02-01 11:45 UTC",
    ),
    Case(
        "a venue that lacks bars of the day",
        lambda exchange: exchange.faults.rows(wrong.without(int(NOON.timestamp() * 1000))),
        "asked again, then blocked at validation",
        "missing bars: 1 from 2024-02-01 12:00 to 2024-02-01 12:15 UTC",
    ),
    Case(
        "a venue that has no such market",
        lambda exchange: exchange.rename("AAAUSDT", "NEWUSDT"),
        "blocked: nearest names, and where renames are listed",
        "binance has no market 'AAAUSDT'",
    ),
]


def keys(archive: ArchiveServer, exchange: Exchange, bar: str) -> dict:
    """What a user writes, but for the two base URLs, the bar length and the retries."""
    venue = {"kind": "ccxt", "venue": "binance", "bar": bar, "url": exchange.url, "retries": 2}
    return {"kind": "archive", "daily": f"{archive.url}/{DAILY}", "bar": bar, "retries": 2, "fallback": venue}


@pytest.fixture
def place(tmp_path, make_universe):
    """An archive of the first day, an exchange with both, and a source that reads from the two."""
    put_bars(tmp_path, DAILY, "AAAUSDT", TRUTH[TRUTH["ts"].dt.date == ARCHIVED], bar="15m")
    with ArchiveServer(tmp_path) as archive, Exchange({"AAAUSDT": TRUTH}, interval="15min") as exchange:
        assets = {"AAA-USDT": {"venue_symbol": "AAAUSDT"}}
        source = keys(archive, exchange, "15min")
        universe = make_universe(bar="15min", end="2024-02-29", source=source, assets=assets)
        clock = FakeClock()
        yield SimpleNamespace(archive=archive, exchange=exchange, universe=universe, clock=clock)


def read(place: SimpleNamespace) -> tuple[pd.DataFrame, str]:
    """Validated bars of both days, and what the source calls itself."""
    start, end = partition_window(ARCHIVED)[0], partition_window(LATER)[1]
    raw = Archive(place.universe, "", {}, place.clock).fetch("AAA-USDT", start, end)
    days = [
        validate_bars(raw.table[raw.table["ts"].dt.date == day].reset_index(drop=True), place.universe, "AAA-USDT", day)
        for day in (ARCHIVED, LATER)
    ]
    return pd.concat([day.table for day in days], ignore_index=True), raw.source


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.fault)
def test_a_day_that_is_not_archived_yet_comes_whole_from_the_venue_or_is_blocked(case, place):
    case.do(place.exchange)
    lost = duplicated = invented = 0
    if case.blocked:
        with pytest.raises((SourceError, BarsError)) as caught:
            read(place)
        assert re.search(case.blocked, str(caught.value)), caught.value
    else:
        bars, source = read(place)
        same = bars.merge(TRUTH, on=["ts", *NUMBERS], how="left", indicator=True)["_merge"] == "both"
        lost, duplicated = int((~TRUTH["ts"].isin(bars["ts"])).sum()), int(bars["ts"].duplicated().sum())
        invented = int((~same).sum())
        urls = [
            f"{place.archive.url}/{DAILY.format(venue_symbol='AAAUSDT', bar='15m', date=d)}" for d in (ARCHIVED, LATER)
        ]
        assert source == f"{urls[0]}, binance/AAAUSDT/15m (not archived: {urls[1]})"
        starts = {int(query["startTime"]) for query in place.exchange.requests}
        assert starts == {int(partition_window(LATER)[0].timestamp() * 1000)}, "the archived day is not asked for"
    assert (lost, duplicated, invented) == (0, 0, 0)
    record(case.fault, case.told, lost, duplicated, invented, part=PART)


def test_the_venue_and_the_archive_have_the_same_bars_to_the_last_bit(place):
    window = partition_window(ARCHIVED)
    archived = Archive(place.universe, "", {}, place.clock).fetch("AAA-USDT", *window).table
    venue = place.universe.model_copy(update={"source": place.universe.source.fallback})
    asked = Ccxt(venue, {}, place.clock).fetch("AAA-USDT", *window).table
    columns = ["ts", *NUMBERS, "adjustment"]
    pd.testing.assert_frame_equal(archived[columns], asked[columns], check_exact=True)


def test_the_docs_have_the_table_of_these_faults():
    check(PART, [case.fault for case in CASES])


@pytest.mark.thorough
def test_a_backfill_reads_archive_and_venue_and_takes_the_archive_of_a_day_once_it_is_there(
    tmp_path: Path, tiny_keys, write_universe, lem_command, monkeypatch
):
    monkeypatch.setattr("lem_pipeline.cli.app._today", lambda: dt.date(2024, 1, 13))
    bars = {
        name: minute_bars(dt.date(2024, 1, 5), 8, bar="4h", seed=n) for n, name in enumerate(("AAAUSDT", "BBBUSDT"))
    }
    folder, day = tmp_path / "archive", dt.timedelta(days=1)

    def archived(first: dt.date, last: dt.date) -> None:
        for name, table in bars.items():
            put_bars(folder, DAILY, name, table[table["ts"].dt.date.between(first, last)], bar="4h")

    def told(date: dt.date) -> str:
        raw = lake.read_table(lake.path("tiny", "raw_bars", date, "BBB-USDT"))
        return raw["source"][0]

    archived(dt.date(2024, 1, 5), dt.date(2024, 1, 10))
    with ArchiveServer(folder) as server, Exchange(bars, interval="4h") as exchange:
        assets = {f"{name[:3]}-USDT": {"venue_symbol": name} for name in bars}
        write_universe(tmp_path / "universes", tiny_keys(source=keys(server, exchange, "4h"), assets=assets))
        lake = Lake(str(tmp_path / "home/lake"))

        def backfill() -> str:
            done = lem_command(tmp_path, "backfill", "-u", "tiny", "--from", "2024-01-10", "--to", "2024-01-12")
            assert done.code == 0, done.out + done.err
            return done.out

        backfill()
        for asset, name in (("AAA-USDT", "AAAUSDT"), ("BBB-USDT", "BBBUSDT")):
            days = [dt.date(2024, 1, 5) + n * day for n in range(8)]
            made = pd.concat([lake.read_table(lake.path("tiny", "bars", d, asset)) for d in days], ignore_index=True)
            pd.testing.assert_frame_equal(made[["ts", *NUMBERS]], bars[name][["ts", *NUMBERS]], check_exact=True)
        asked = [(query["symbol"], int(query["startTime"])) for query in exchange.requests]
        opens = [int(partition_window(dt.date(2024, 1, n))[0].timestamp() * 1000) for n in (11, 12)]
        assert sorted(asked) == [(name, ts) for name in bars for ts in opens]
        eleventh, twelfth = dt.date(2024, 1, 11), dt.date(2024, 1, 12)
        assert told(eleventh) == told(twelfth) == "binance/BBBUSDT/4h"

        archived(eleventh, eleventh)
        out = backfill()
        assert told(eleventh) == f"{server.url}/{DAILY.format(venue_symbol='BBBUSDT', bar='4h', date=eleventh)}"
        assert told(twelfth) == "binance/BBBUSDT/4h"
        # Another source is a revision of the raw bars; the same bars make nothing else anew.
        assert "bars  AAA-USDT|2024-01-11 ... BBB-USDT|2024-01-11" in out
        assert "features" not in re.sub("0 runs to do, .*", "", out)


def test_the_shipped_universe_of_binance_reads_archive_and_venue_with_nothing_changed_but_the_base_urls(tmp_path):
    text, venue = (ROOT / "universes/binance.toml").read_text(), "[source.fallback]"
    bars, name = minute_bars(ARCHIVED, 2), "BTCUSDT"
    put_bars(tmp_path, f"data/{DAILY}", name, bars[bars["ts"].dt.date == ARCHIVED])
    with ArchiveServer(tmp_path) as archive, Exchange({name: bars}) as exchange:
        text = text.replace("https://data.binance.vision/", f"{archive.url}/")
        head, section, tail = text.partition(venue)
        (tmp_path / "binance.toml").write_text(f'{head}{section}\nurl = "{exchange.url}"{tail}')
        universe = load_universe(tmp_path / "binance.toml")
        source = Archive(universe, "", {}, FakeClock())
        raw = {day: source.fetch("BTC-USDT", *partition_window(day)).table for day in (ARCHIVED, LATER)}
    assert archive.asked[0].endswith("/data/spot/monthly/klines/BTCUSDT/1m/BTCUSDT-1m-2024-01.zip"), "not there yet"
    assert archive.asked[-1].endswith("BTCUSDT-1m-2024-02-01.zip")
    assert set(raw[LATER]["source"]) == {"binance/BTCUSDT/1m"}
    for day, result in validate_days(raw, universe, "BTC-USDT").items():
        truth = bars[bars["ts"].dt.date == day]
        pd.testing.assert_frame_equal(raw[day][["ts", *NUMBERS]], truth[["ts", *NUMBERS]].reset_index(drop=True))
        hours = truth.set_index("ts")["volume"].resample("1h").sum()
        assert list(result.table["volume"]) == pytest.approx(list(hours), rel=1e-12)
        assert set(result.table["vwap_kind"]) == {"exact"}
