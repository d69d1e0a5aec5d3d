"""The markets of the benchmarks: the driftless one is what it says, the real one is what the nightly pipeline makes."""

from __future__ import annotations

import dataclasses
import datetime as dt
import itertools

import numpy as np
import pandas as pd
import pytest

from benchmarks import markets
from benchmarks.common import BenchmarkError
from benchmarks.markets import real_panel, real_universe
from lem.backtest.driftless import SIGMA, driftless_panel
from lem.data.bars import validate_bars
from lem.data.features import compute_features
from lem.data.panel import Panel, panel_table
from lem.errors import SourceError
from lem.sources.files import Files
from lem.universe.calendars import partition_dates, partition_window
from lem.universe.windows import history_dates

ERRORS = 4.5
"""Standard errors that a mean may lie off: one in 150,000 does."""


def close_to(values, expected):
    values = np.asarray(values)
    error = values.std(ddof=1) / np.sqrt(values.size)
    return abs(values.mean() - expected) < ERRORS * error


def assert_same_bits(one, two):
    for field in dataclasses.fields(Panel):
        ours, theirs = getattr(one, field.name), getattr(two, field.name)
        if field.name == "assets":
            assert ours == theirs
        else:
            assert (ours.dtype, ours.shape, ours.tobytes()) == (theirs.dtype, theirs.shape, theirs.tobytes()), (
                field.name
            )


@pytest.fixture(scope="module")
def wild():
    """A driftless market so volatile that a logarithm without its drift would show."""
    return driftless_panel(4, 240, seed=2, sigma=0.1)


def test_the_driftless_price_is_a_martingale_from_bar_to_bar_and_within_the_bar(wild):
    growth_NT = wild.close_NT[:, 1:] / wild.close_NT[:, :-1]
    vwap_NT = wild.vwap_NT[:, 1:] / wild.close_NT[:, :-1]
    before_NT = np.sign(np.log(growth_NT[:, :-1]))
    assert close_to(growth_NT, 1.0)
    assert close_to(vwap_NT, 1.0)
    for later_NT in (growth_NT, vwap_NT):
        assert close_to(before_NT * (later_NT[:, 1:] - 1.0), 0.0)
    assert not close_to(np.log(growth_NT), 0.0)


def test_the_driftless_market_has_the_stated_volatility_in_the_joint_law_of_close_and_mean(wild):
    for panel, sigma in ((driftless_panel(2, 120, seed=1), SIGMA), (wild, 0.1)):
        e_NT = (np.diff(np.log(panel.close_NT)) + sigma**2 / 2) / sigma
        y_NT = (panel.vwap_NT[:, 1:] / panel.close_NT[:, :-1] - 1.0) / sigma
        assert close_to(e_NT**2, 1.0)
        assert close_to(y_NT**2, 1 / 3)
        assert close_to(e_NT * y_NT, 1 / 2)
        assert panel.sigma_NT == pytest.approx(sigma, rel=0.35)


def test_driftless_assets_are_independent_with_volumes_that_know_nothing_and_no_bar_is_masked(wild):
    ret_NT, volume_NT = np.diff(np.log(wild.close_NT)), np.log(wild.volume_NT)[:, 1:]
    for one, two in itertools.combinations(range(4), 2):
        assert close_to(ret_NT[one] * ret_NT[two], 0.0)
    assert close_to(ret_NT * volume_NT, 0.0)
    assert close_to(volume_NT[:, 24:] * volume_NT[:, :-24], 0.0)
    assert wild.valid_NT.all()
    assert wild.features_NTF.shape == (4, 24 * 240, 13)


def test_a_seed_is_a_driftless_market(wild):
    assert_same_bits(driftless_panel(2, 3, seed=5), driftless_panel(2, 3, seed=5))
    assert not np.array_equal(driftless_panel(2, 3, seed=5).close_NT, driftless_panel(2, 3, seed=6).close_NT)


def nightly_panel(universe, root, dates):
    """The panel of `dates`, each made as the pipeline makes it: one partition, and the partitions before it."""
    source, bars = Files(universe, root), {}
    for symbol in universe.symbols:
        for date in partition_dates(universe, universe.start, universe.end):
            raw = source.fetch(symbol, *partition_window(date)).table
            bars[symbol, date] = validate_bars(raw, universe, symbol, date).table
    nights = []
    for date in dates:
        tables = {}
        for symbol in universe.symbols:
            past = [bars[symbol, day] for day in history_dates(universe, date)]
            history = pd.concat(past, ignore_index=True) if past else bars[symbol, date].iloc[:0]
            tables[symbol] = compute_features(history, bars[symbol, date], universe.features, universe.clock)
        nights.append(panel_table(tables))
    return Panel.from_table(pd.concat(nights, ignore_index=True))


def test_real_hourly_bars_are_what_the_nights_make_one_by_one_outage_included(shared_data):
    root = str(shared_data("crypto_1h").parent)
    universe = real_universe("crypto", dt.date(2020, 4, 18), dt.date(2020, 4, 27), ("BTC-USDT", "BNB-USDT"))
    panel = real_panel(universe, root)
    assert panel.assets == ("BNB-USDT", "BTC-USDT")
    assert panel.valid_NT.any()
    assert np.isnan(panel.close_NT[:, panel.date_T == np.datetime64("2020-04-25")]).sum() == 2 * 2
    assert_same_bits(panel, nightly_panel(universe, root, partition_dates(universe, universe.start, universe.end)))


def test_real_daily_bars_are_what_the_nights_make_one_by_one_from_the_first_session_on(shared_data):
    root = str(shared_data("dow_1d").parent)
    universe = real_universe("dow", dt.date(2019, 12, 2), dt.date(2020, 3, 18))
    universe = universe.model_copy(update={"assets": {"KO": universe.assets["KO"]}})
    panel, dates = real_panel(universe, root), partition_dates(universe, universe.start, universe.end)
    assert panel.date_T[0] == np.datetime64("2019-12-02")
    assert panel.valid_NT.any()
    few = [*dates[:2], *dates[-5:]]
    kept = np.isin(panel.date_T, np.array(few, "datetime64[D]"))
    cuts = [panel.cut(t, t + 1) for t in np.flatnonzero(kept)]
    nightly = nightly_panel(universe, root, few)
    assert len(cuts) == nightly.bars == 7
    for t, cut in enumerate(cuts):
        assert_same_bits(cut, nightly.cut(t, t + 1))


@pytest.fixture
def half_a_day(tmp_path, make_universe):
    """Folder and universe of an asset that was listed at noon of 2024-01-05, hourly bars to the end of 2024-01-06."""
    ts = pd.date_range("2024-01-05 12:00", "2024-01-06 23:00", freq="h")
    one = np.ones(len(ts))
    columns = {"ts": ts, **{name: one for name in ("open", "high", "low", "close", "volume", "quote_volume")}}
    pd.DataFrame(columns).to_csv(tmp_path / "AAA-USD.csv", index=False)
    source = {"kind": "files", "url": "{data}/{symbol}.csv"}
    keys = {"source": source, "assets": {"AAA-USD": {}}, "start": "2024-01-04"}
    return str(tmp_path), lambda end: make_universe(**keys, end=end)


def test_the_days_before_an_assets_first_whole_day_are_no_gap(half_a_day):
    root, universe = half_a_day
    panel = real_panel(universe("2024-01-06"), root)
    assert set(panel.date_T.astype(str)) == {"2024-01-06"}


def test_a_universe_without_a_whole_day_of_an_asset_or_without_an_end_is_an_error(half_a_day):
    root, universe = half_a_day
    for end in ("2024-01-04", "2024-01-05"):
        with pytest.raises(BenchmarkError, match=rf"AAA-USD\.csv: no whole day of bars from 2024-01-04 to {end}"):
            real_panel(universe(end), root)
    with pytest.raises(BenchmarkError, match="small: no end; allowed"):
        real_panel(universe(None), root)


def test_without_lem_data_there_is_no_root_and_a_market_of_real_bars_says_what_to_set(monkeypatch):
    for value in (None, ""):
        monkeypatch.delenv("LEM_DATA", raising=False)
        if value is not None:
            monkeypatch.setenv("LEM_DATA", value)
        assert markets.data_root() is None
    with pytest.raises(SourceError, match=r"\{data\} has no value; set LEM_DATA to a folder"):
        real_panel(real_universe("crypto", dt.date(2020, 4, 18), dt.date(2020, 4, 27)), "")
    monkeypatch.setenv("LEM_DATA", "/bars")
    assert markets.data_root() == "/bars"


def test_a_root_without_the_files_names_the_file_that_is_not_there(tmp_path):
    universe = real_universe("crypto", dt.date(2020, 4, 18), dt.date(2020, 4, 27), ("XYZ-USDT",))
    with pytest.raises(SourceError, match=r"crypto_1h/XYZUSDT\.parquet: no such file"):
        real_panel(universe, str(tmp_path))
