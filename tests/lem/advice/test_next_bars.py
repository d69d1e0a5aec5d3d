"""New bars of all assets are looked at together, and what the desk sees stays what the night makes, to the bit."""

from __future__ import annotations

import datetime as dt
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lem.advice.feed
from lem.advice.clock import moment
from lem.advice.feed import Feed
from lem.advice.market import LiveMarket
from lem.data.bars import TABLE_SCHEMA as BARS
from lem.data.bars import validate_bars
from lem.data.features import TABLE_SCHEMA as FEATURES
from lem.data.features import compute_features
from lem.data.panel import Panel, panel_table
from lem.errors import SourceError
from lem.lake import Lake
from lem.lineage.quarantine import quarantine_path
from lem.sources.base import PRICES, RawBars
from lem.sources.simulated import Simulated
from lem.universe.calendars import (
    bar_close,
    expected_bars,
    offset_partition,
    outage_mask,
    partition_dates,
    partition_window,
)
from lem.universe.windows import history_dates, warmup_days

SYMBOLS = ("AAA-USD", "BBB-USD", "CCC-USD")
FILES = {"kind": "files", "url": "{data}/{symbol}.csv"}
SESSIONS = {"calendar": "XNYS", "start": "2024-11-04", "end": "2024-12-20"}
KINDS: dict[str, dict[str, Any]] = {
    "hours": {"bar": "1h", "source": FILES},
    "hours of quarters": {"bar": "1h", "source": FILES | {"bar": "15min"}},
    "hours without those that nobody traded in": {"bar": "1h", "source": FILES | {"absent": "no_trades"}},
    "days": {"bar": "1d", "source": FILES},
    "hours of sessions": {"bar": "1h", "source": FILES, **SESSIONS},
    "sessions": {"bar": "1d", "source": FILES, **SESSIONS},
}
FIRST = {"24/7": dt.date(2024, 1, 15), "XNYS": dt.date(2024, 11, 26)}
"""Day of the first bar that is followed: over midnight, Thanksgiving, the half day after it, a weekend."""


EVENING = {
    "hours": 16,
    "hours of quarters": 16,
    "hours without those that nobody traded in": 16,
    "hours of sessions": 0,
}
"""Number of the first bar that is followed, some hours before the end of its day."""


class Desk:
    """Recorded bars, a source that answers from them, and a market that follows it.

    Args:
        universe: of the assets.
        raw: of each asset, in time order.
        spoiled: by asset and end of the window, what becomes of the first answer.
        together: whether new bars are looked at together.
    """

    def __init__(self, universe, lake, raw, spoiled, together=True):
        self.raw, self.spoiled, self.asked = raw, dict(spoiled), []
        self.feed = Feed(universe, lake, self)
        self.quick = []
        go_on = self.feed.go_on

        def watched(wanted, at):
            found = go_on(wanted, at) if together else {}
            self.quick += found
            return found

        self.feed.go_on = watched
        self.market = LiveMarket(universe, lake, None, self.feed)

    def fetch(self, symbol, start, end):
        self.asked.append((symbol, start, end))
        rows = self.raw[symbol]
        answer = rows[(rows["ts"] >= start) & (rows["ts"] < end)].reset_index(drop=True)
        change = self.spoiled.pop((symbol, end), None)
        return RawBars(change(answer) if change else answer, "recorded", start)

    def forget(self, symbol):
        pass

    def refresh(self, wanted, at):
        return self.market.refresh(wanted, at)

    def panel(self, symbol):
        return self.market._panels[symbol]


def raw_bars(universe, rng) -> dict[str, pd.DataFrame]:
    """Bars with some volumes of 0 and days without quote volume; those in outages are there for some assets."""
    market = Simulated(universe.model_copy(update={"bar": universe.source_bar, "source": SIMULATED}))
    window = (partition_window(universe.start)[0], partition_window(universe.end)[1])
    found = {}
    for symbol in SYMBOLS:
        rows = market.fetch(symbol, *window).table
        still = rng.random(len(rows)) < 0.1
        rows.loc[still, ["volume", "quote_volume"]] = 0.0
        days = rows["ts"].dt.date
        rows.loc[days.isin(rng.choice(days.unique(), 6)), "quote_volume"] = np.nan
        if universe.source.capabilities.absent == "no_trades":
            ends = (days != days.shift(1)) | (days != days.shift(-1))
            rows = rows[ends | (rng.random(len(rows)) > 0.15)]
        # A venue may tell of bars in an outage: they are dropped.
        told = ~outage_mask(universe, symbol, pd.DatetimeIndex(rows["ts"])) | (rng.random() < 0.5)
        found[symbol] = rows[told].reset_index(drop=True)
    return found


def refused(_rows):
    raise SourceError("the venue does not answer")


def priced(rows, value):
    return rows.assign(**{name: rows[name].where(rows.index < len(rows) - 1, value) for name in PRICES})


SPOILS = {
    "late": lambda rows: rows.iloc[:-1],
    "nothing": lambda rows: rows.iloc[:0],
    "refused": refused,
    "negative": lambda rows: priced(rows, -1.0),
    "not a number": lambda rows: priced(rows, np.nan),
    "volume below 0": lambda rows: rows.assign(volume=-1.0),
    "VWAP outside": lambda rows: rows.assign(quote_volume=rows["quote_volume"] * 2),
    "twice": lambda rows: pd.concat([rows, rows.iloc[-1:]], ignore_index=True),
    "twice, not alike": lambda rows: pd.concat([rows, rows.iloc[-1:].assign(volume=7.0)], ignore_index=True),
    "no quote volume": lambda rows: rows.assign(quote_volume=np.nan),
    "off the grid": lambda rows: rows.assign(ts=rows["ts"] + pd.Timedelta(1, "s")),
    "backwards": lambda rows: rows.iloc[::-1].reset_index(drop=True),
    "whole numbers": lambda rows: rows.assign(volume=rows["volume"].round().astype("int64")),
    "a column more": lambda rows: rows.assign(more=1.0),
}


def night(universe, raw, first, last) -> dict[str, pd.DataFrame]:
    """Feature tables of whole days, by asset."""
    tables = {}
    for symbol in SYMBOLS:
        dates = [d for d in partition_dates(universe, first, last) if d >= universe.start]
        read = sorted({d for date in dates for d in (*history_dates(universe, date), date)})
        rows, bars = raw[symbol], {}
        for date in read:
            start, end = partition_window(date)
            day = rows[(rows["ts"] >= start) & (rows["ts"] < end)].reset_index(drop=True)
            bars[date] = validate_bars(day, universe, symbol, date).table
        empty = BARS.empty_table().to_pandas()
        made = [
            compute_features(
                pd.concat([bars[d] for d in history_dates(universe, date)] or [empty]),
                bars[date],
                universe.features,
                universe.clock,
            )
            for date in dates
        ]
        tables[symbol] = pd.concat(made, ignore_index=True)
    return tables


def same_bits(one: Panel, other: Panel) -> None:
    for field in fields(Panel):
        a, b = getattr(one, field.name), getattr(other, field.name)
        assert (
            a == b if field.name == "assets" else (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())
        ), field.name


@pytest.fixture(scope="module")
def universe_of(make_universe, tiny_keys):
    def make(kind: str, outages=()):
        keys = tiny_keys(**KINDS[kind], assets={symbol: {} for symbol in SYMBOLS}, outages=list(outages))
        keys["training"] = keys["training"] | {"window_days": 504 if kind in ("days", "sessions") else 8}
        return make_universe(**keys)

    return make


SIMULATED: Any = None


@pytest.fixture(scope="module", autouse=True)
def simulated(make_universe):
    global SIMULATED
    SIMULATED = make_universe().source


def followed_bars(universe, count) -> list[pd.Timestamp]:
    """Closes of the bars that are followed."""
    day = FIRST[universe.calendar]
    opens = pd.DatetimeIndex(
        np.concatenate(
            [
                expected_bars(universe, SYMBOLS[0], d).tz_localize(None)
                for d in partition_dates(universe, day, universe.end)
            ]
        )
    ).tz_localize("UTC")
    return list(bar_close(universe, opens)[:count])


@pytest.mark.parametrize(
    "kind",
    [kind if kind == "hours" else pytest.param(kind, marks=pytest.mark.slow) for kind in sorted(KINDS)],
)
@settings(max_examples=2, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), faults=st.booleans(), gaps=st.booleans())
def test_bars_looked_at_together_tell_what_each_day_alone_and_the_night_tell(
    universe_of, tmp_path_factory, kind, seed, faults, gaps
):
    rng = np.random.default_rng(seed)
    plain = universe_of(kind)
    closes = followed_bars(plain, 5) if plain.bars_per_day == 1 else followed_bars(plain, 26)[EVENING[kind] :]
    outages = []
    for assets in (None, ["BBB-USD"]) if gaps else ():
        hour = closes[int(rng.integers(len(closes)))].floor("h") - pd.Timedelta(int(rng.integers(1, 30)), "h")
        window = {
            "start": f"{hour.isoformat()}",
            "end": f"{(hour + pd.Timedelta(2, 'h')).isoformat()}",
            "reason": "down",
        }
        outages.append(window | ({"assets": assets} if assets else {}))
    universe = universe_of(kind, outages)
    raw = raw_bars(universe, rng)
    spoils = list(SPOILS)
    spoiled = {
        (symbol, close.to_pydatetime()): SPOILS[spoils[int(rng.integers(len(spoils)))]]
        for close in closes
        for symbol in SYMBOLS
        if faults and rng.random() < 0.15
    }
    lake = Lake(str(tmp_path_factory.mktemp("lake")))
    together, alone = Desk(universe, lake, raw, spoiled), Desk(universe, lake, raw, spoiled, together=False)
    date = closes[0].date()
    first = max(universe.start, offset_partition(universe, date, -warmup_days(universe)))
    tables = {} if faults else night(universe, raw, first, closes[-1].date())
    for close in closes:
        if rng.random() < 0.1:
            continue  # nobody asked
        at = moment(universe, close.to_pydatetime())
        if rng.random() < 0.05:
            date = at.bar.date()
        wanted = dict.fromkeys(SYMBOLS, date)
        found = together.refresh(wanted, at)
        assert found == alone.refresh(wanted, at)
        for symbol in set(SYMBOLS) - set(found):
            same_bits(together.panel(symbol), alone.panel(symbol))
            if faults:
                continue  # some of what is odd keeps the rules, and is believed
            whole = Panel.from_table(panel_table({symbol: tables[symbol]}))
            place = int(np.searchsorted(whole.ts_T, together.panel(symbol).ts_T[0]))
            ours = together.panel(symbol)
            made = whole.cut(place, place + ours.bars)
            # A part of a session counts its bars from its own first one.
            same_bits(replace(made, slot_T=ours.slot_T), ours)
    for symbol in set(SYMBOLS) - set(found):
        # What was made together is put together for whoever asks for the days.
        seen = [desk.feed.features(symbol, first, at) for desk in (together, alone)]
        pd.testing.assert_frame_equal(*seen, check_exact=True)
        days = {day for _, day in alone.feed._bars}
        seen = [pd.concat([desk.feed.bars(symbol, day, at) for day in sorted(days)]) for desk in (together, alone)]
        pd.testing.assert_frame_equal(*seen, check_exact=True)
    assert sorted(together.asked) == sorted(alone.asked)
    assert not alone.quick
    if not (faults or gaps):
        assert together.quick


@pytest.mark.parametrize(
    "kind",
    [
        "hours",
        "days",
        *(pytest.param(k, marks=pytest.mark.thorough) for k in ("hours of quarters", "hours of sessions")),
    ],
)
def test_where_bars_simply_go_on_no_day_is_read_again_and_midnight_is_no_exception(
    universe_of, tmp_path, monkeypatch, kind
):
    universe = universe_of(kind)
    raw, closes = raw_bars(universe, np.random.default_rng(1)), followed_bars(universe, 30 if kind != "days" else 6)
    desk = Desk(universe, Lake(str(tmp_path)), raw, {})
    wanted = dict.fromkeys(SYMBOLS, closes[0].date())
    ats = [moment(universe, close.to_pydatetime()) for close in closes]
    assert not desk.refresh(wanted, ats[0])
    days: list[dt.date] = []
    judged = lem.advice.feed.validate_bars

    def counted(rows, judging, symbol, date):
        days.append(date)
        return judged(rows, judging, symbol, date)

    monkeypatch.setattr(lem.advice.feed, "validate_bars", counted)
    for at in ats[1:]:
        assert not desk.refresh(wanted, at)
        assert desk.market.known(at) == set(SYMBOLS)
    holiday = {dt.date(2024, 11, 28), dt.date(2024, 11, 29)}
    assert len({close.date() for close in closes}) > 1
    assert set(days) <= holiday, "only the day behind a holiday, on which the source is asked too, is read as a whole"
    first = desk.panel("AAA-USD").date_T[0].item()
    made = Panel.from_table(panel_table({"AAA-USD": night(universe, raw, first, closes[-1].date())["AAA-USD"]}))
    ours = desk.panel("AAA-USD")
    same_bits(replace(made.cut(0, ours.bars), slot_T=ours.slot_T), ours)
    windows = {(end - start) for _, start, end in desk.asked[-len(SYMBOLS) :]}
    assert windows == {universe.bar_length.to_pytimedelta()} or kind == "hours of sessions"


def hourly(universe_of, tmp_path, spoiled=None, **options):
    universe = universe_of("hours")
    raw, closes = raw_bars(universe, np.random.default_rng(2)), followed_bars(universe, 30)
    desk = Desk(universe, Lake(str(tmp_path)), raw, spoiled(closes) if spoiled else {}, **options)
    return desk, dict.fromkeys(SYMBOLS, closes[0].date()), [moment(universe, close.to_pydatetime()) for close in closes]


@pytest.mark.parametrize("spoil", sorted(SPOILS))
def test_an_asset_whose_answer_is_odd_does_not_slow_the_others(universe_of, tmp_path, spoil):
    harmless = {"BBB-USD"} if spoil in ("backwards", "whole numbers") else set()
    desk, wanted, ats = hourly(
        universe_of, tmp_path, lambda closes: {("BBB-USD", closes[3].to_pydatetime()): SPOILS[spoil]}
    )
    for at in ats[:3]:
        assert not desk.refresh(wanted, at)
    desk.quick.clear()
    assert set(desk.refresh(wanted, ats[3])) <= {"BBB-USD"}
    # One row alone is not backwards, and whole numbers among others are numbers like them.
    assert {"AAA-USD", "CCC-USD"} | harmless == set(desk.quick)
    assert not desk.refresh(wanted, ats[3]), "what is odd is asked for again"
    desk.quick.clear()
    assert not desk.refresh(wanted, ats[4])
    assert sorted(desk.quick) == list(SYMBOLS), "after that it goes on with them"


def test_a_day_that_is_quarantined_is_refused_though_the_bars_go_on(universe_of, tmp_path):
    desk, wanted, ats = hourly(universe_of, tmp_path)
    lake = Lake(str(tmp_path))
    for at in ats[:3]:
        assert not desk.refresh(wanted, at)
    path = quarantine_path("tiny", ats[0].last.date() - dt.timedelta(days=1), "BBB-USD")
    lake.write_bytes(path, b"broken")
    found = desk.refresh(wanted, ats[3])
    assert list(found) == ["BBB-USD"]
    assert "quarantined" in found["BBB-USD"]
    lake.remove(path)
    asked = len(desk.asked)
    assert not desk.refresh(wanted, ats[4])
    again = [start for symbol, start, _ in desk.asked[asked:] if symbol == "BBB-USD"]
    assert min(again).date() < ats[0].last.date(), "of a repaired day nothing that was read before is used"


@pytest.mark.parametrize("kind", ["bars", "features"])
def test_a_day_that_the_night_has_stored_before_its_last_bar_is_read_from_the_lake(universe_of, tmp_path, kind):
    desk, wanted, ats = hourly(universe_of, tmp_path)
    lake, universe, date = Lake(str(tmp_path)), universe_of("hours"), ats[0].last.date()
    over = next(n for n, at in enumerate(ats) if at.as_of.date() > date)
    for at in ats[:over]:
        assert not desk.refresh(wanted, at)
    start, end = partition_window(date)
    rows = desk.raw["AAA-USD"]
    day = rows[(rows["ts"] >= start) & (rows["ts"] < end)].reset_index(drop=True)
    tables = {
        "bars": validate_bars(day, universe, "AAA-USD", date).table,
        "features": night(universe, desk.raw, date, date)["AAA-USD"],
    }
    other = tables[kind].assign(volume=tables[kind]["volume"] * 3)
    lake.write_table(lake.path("tiny", kind, date, "AAA-USD"), other, {"bars": BARS, "features": FEATURES}[kind])
    desk.quick.clear()
    assert not desk.refresh(wanted, ats[over])
    assert sorted(desk.quick) == ["BBB-USD", "CCC-USD"]
    np.testing.assert_array_equal(desk.panel("AAA-USD").volume_NT[0, -24:], other["volume"])


def test_an_order_that_arrived_earlier_has_its_days_read(universe_of, tmp_path):
    desk, wanted, ats = hourly(universe_of, tmp_path)
    universe = universe_of("hours")
    for at in ats[:3]:
        assert not desk.refresh(wanted, at)
    earlier = ats[0].last.date() - dt.timedelta(days=2)
    assert not desk.refresh(wanted | {"AAA-USD": earlier}, ats[3])
    first = earlier - dt.timedelta(days=warmup_days(universe))
    assert desk.panel("AAA-USD").date_T[0] == np.datetime64(first)
    assert desk.panel("BBB-USD").date_T[0] > np.datetime64(first)
