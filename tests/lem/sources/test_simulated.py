from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lem.errors import SourceError
from lem.sources.simulated import Simulated


def day(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)


def days(source: Simulated, symbol: str, start: str, count: int) -> pd.DataFrame:
    return source.fetch(symbol, day(start), day(start) + dt.timedelta(days=count)).table


@settings(max_examples=25, deadline=None)
@given(
    start=st.datetimes(dt.datetime(2010, 1, 1), dt.datetime(2030, 1, 1)).map(lambda t: t.replace(tzinfo=dt.UTC)),
    hours=st.tuples(st.integers(1, 60), st.integers(1, 60)),
)
def test_a_window_is_the_same_bytes_as_its_parts_fetched_later_and_alone(make_universe, start, hours):
    universe = make_universe(source={"kind": "simulated", "seed": 7, "steps_per_bar": 5})
    middle, end = (start + dt.timedelta(hours=n) for n in (hours[0], sum(hours)))
    whole = Simulated(universe).fetch("AAA-USD", start, end).table
    late = Simulated(universe)
    parts = [late.fetch("AAA-USD", *window).table for window in ((middle, end), (start, middle))]
    pd.testing.assert_frame_equal(whole, pd.concat(parts[::-1], ignore_index=True), check_exact=True)


def test_other_seeds_and_other_assets_are_other_markets(make_universe):
    one, two = (Simulated(make_universe(source={"kind": "simulated", "seed": seed})) for seed in (1, 2))
    tables = [days(one, "AAA-USD", "2024-01-01", 1), days(two, "AAA-USD", "2024-01-01", 1)]
    tables.append(days(one, "BBB-USD", "2024-01-01", 1))
    for name in ("close", "volume"):
        assert len({table[name].iloc[0] for table in tables}) == 3


def test_the_price_has_no_gap_between_bars_or_days(make_universe):
    universe = make_universe(source={"kind": "simulated", "steps_per_bar": 5})
    table = days(Simulated(universe), "AAA-USD", "2023-12-30", 60)
    assert len(table) == 60 * 24
    assert (table["open"].to_numpy()[1:] == table["close"].to_numpy()[:-1]).all()


def test_a_day_does_not_depend_on_the_other_assets_or_on_the_dates_of_the_universe(make_universe):
    small = make_universe(assets={"BBB-USD": {}}, start="2020-01-01", end="2030-01-01")
    table = days(Simulated(small), "BBB-USD", "2024-01-05", 1)
    pd.testing.assert_frame_equal(table, days(Simulated(make_universe()), "BBB-USD", "2024-01-05", 1))


def test_no_bars_are_made_in_a_listed_outage_and_the_others_stay_as_they_were(make_universe):
    window = {"start": "2024-01-01T02:00:00Z", "end": "2024-01-01T05:00:00Z", "reason": "none made"}
    broken = days(Simulated(make_universe(outages=[window])), "AAA-USD", "2024-01-01", 1)
    whole = days(Simulated(make_universe()), "AAA-USD", "2024-01-01", 1)
    kept = whole[~whole["ts"].dt.hour.isin([2, 3, 4])].reset_index(drop=True)
    pd.testing.assert_frame_equal(broken, kept)


@pytest.mark.parametrize("mode", ["market", "brownian"])
def test_the_vwap_lies_inside_the_bar_and_differs_from_the_close(make_universe, mode):
    source = Simulated(make_universe(source={"kind": "simulated", "mode": mode}))
    table = days(source, "AAA-USD", "2024-01-01", 30)
    vwap = table["quote_volume"] / table["volume"]
    assert (table["low"] <= vwap).all()
    assert (vwap <= table["high"]).all()
    assert ((vwap / table["close"] - 1).abs() > 1e-5).mean() > 0.9


def test_brownian_bars_have_the_moments_of_brownian_motion(make_universe):
    """In units of the per-bar sigma: close - open has variance 1, VWAP - open 1/3, their covariance is 1/2.

    A sample variance of n normals has relative standard error sqrt(2/n), a sample covariance the standard
    error sqrt((1/3 + 1/4)/n), a mean sqrt(variance/n). The tolerance is 4 of them: a right one fails for one
    seed in 10^4. The bias of 20 steps, -1/(12 * 20^2) in the 1/3, and that of returns, sigma^2, are far less.
    """
    daily = 0.01
    keys = {
        "kind": "simulated",
        "mode": "brownian",
        "daily_volatility": daily,
        "seed": 3,
        "steps_per_bar": 20,
    }
    table = days(Simulated(make_universe(source=keys)), "AAA-USD", "2021-01-01", 730)
    sigma, n = daily / np.sqrt(24), len(table)
    close = (table["close"] / table["open"] - 1) / sigma
    mean = (table["quote_volume"] / table["volume"] / table["open"] - 1) / sigma
    assert n == 730 * 24
    assert abs(close.mean()) < 4 / np.sqrt(n)
    assert abs(mean.mean()) < 4 * np.sqrt(1 / 3 / n)
    assert abs(close.var() - 1) < 4 * np.sqrt(2 / n)
    assert abs(mean.var() - 1 / 3) < 4 / 3 * np.sqrt(2 / n)
    assert abs(np.cov(close, mean)[0, 1] - 1 / 2) < 4 * np.sqrt((1 / 3 + 1 / 4) / n)
    # Independent increments: neighbours, and the two ends of a day, which the bridge ties to one total.
    assert abs(np.corrcoef(close[1:], close[:-1])[0, 1]) < 4 / np.sqrt(n)
    by_day = close.to_numpy().reshape(730, 24)
    assert abs(np.corrcoef(by_day[:, 0], by_day[:, -1])[0, 1]) < 4 / np.sqrt(730)


@pytest.mark.parametrize("mode", ["market", "brownian"])
def test_the_price_has_no_drift_at_any_hour_so_that_waiting_earns_nothing(make_universe, mode):
    """At this volatility, a driftless logarithm makes the price rise by a multiple of the tolerance."""
    keys = {"kind": "simulated", "mode": mode, "daily_volatility": 0.5, "steps_per_bar": 2}
    table = days(Simulated(make_universe(source=keys)), "AAA-USD", "2021-01-01", 730)
    moves = (table["close"] / table["open"] - 1).groupby(table["ts"].dt.hour)
    assert (moves.mean().abs() < 4 * moves.std() / np.sqrt(730)).all()
    whole = table["close"].to_numpy()[23::24] / table["open"].to_numpy()[::24] - 1
    assert abs(whole.mean()) < 4 * whole.std() / np.sqrt(730)


def test_brownian_assets_are_independent_and_market_assets_share_a_factor(make_universe):
    returns = {}
    for mode in ("brownian", "market"):
        keys = {"kind": "simulated", "mode": mode} | ({"correlation": 0.8} if mode == "market" else {})
        source = Simulated(make_universe(source=keys))
        tables = [days(source, symbol, "2023-01-01", 120) for symbol in ("AAA-USD", "BBB-USD")]
        returns[mode] = np.corrcoef(*(np.log(t["close"] / t["open"]) for t in tables))[0, 1]
    assert abs(returns["brownian"]) < 4 / np.sqrt(120 * 24)
    # Correlation 0.8 of both with the factor is 0.64 with each other; volatility clusters add error.
    assert abs(returns["market"] - 0.64) < 0.1


def test_brownian_volume_is_constant(make_universe):
    table = days(Simulated(make_universe(source={"kind": "simulated", "mode": "brownian"})), "AAA-USD", "2024-01-01", 3)
    np.testing.assert_allclose(table["volume"], table["volume"].iloc[0], rtol=1e-12)


def test_market_volume_has_hours_weekdays_and_follows_volatility(make_universe):
    table = days(Simulated(make_universe()), "AAA-USD", "2022-01-03", 364)
    volume = table["volume"]
    by_hour = volume.groupby(table["ts"].dt.hour).mean()
    assert by_hour.max() > 1.5 * by_hour.min()
    assert by_hour.idxmax() in range(13, 17)
    by_weekday = volume.groupby(table["ts"].dt.day_of_week).mean()
    assert by_weekday[[5, 6]].max() < by_weekday[:5].min()
    daily = table.groupby(table["ts"].dt.date)
    spread = np.log(daily["high"].max() / daily["low"].min())
    assert np.corrcoef(np.log(daily["volume"].sum()), np.log(spread))[0, 1] > 0.4
    noise = np.log(volume / volume.groupby(table["ts"].dt.date).transform("mean"))
    assert noise.std() > 0.3


def test_market_volatility_clusters_around_the_configured_one(make_universe):
    source = Simulated(make_universe(bar="4h", source={"kind": "simulated", "daily_volatility": 0.03}))
    table = days(source, "AAA-USD", "2014-01-01", 1000)
    closes = table["close"].to_numpy()[5::6]
    returns = np.diff(np.log(closes))
    assert returns.std() == pytest.approx(0.03, rel=0.2)
    squares = returns**2
    assert np.corrcoef(squares[1:], squares[:-1])[0, 1] > 0.05


@pytest.mark.parametrize(("bar", "count"), [("1min", 1440), ("5min", 288), ("4h", 6)])
def test_any_bar_length_fills_its_day_and_ends_at_the_same_price(make_universe, bar, count):
    tables = [days(Simulated(make_universe(bar=length)), "AAA-USD", "2024-01-05", 1) for length in (bar, "1h")]
    assert len(tables[0]) == count
    assert tables[0]["open"].iloc[0] == tables[1]["open"].iloc[0]
    assert tables[0]["close"].iloc[-1] == tables[1]["close"].iloc[-1]


def test_an_exchange_has_bars_in_its_sessions_only(make_universe):
    table = days(Simulated(make_universe(calendar="XNYS")), "AAA-USD", "2023-12-29", 5)
    assert [str(ts) for ts in table["ts"]] == ["2023-12-29 14:30:00+00:00", "2024-01-02 14:30:00+00:00"]


def test_dates_before_the_epoch_are_an_error(make_universe):
    with pytest.raises(SourceError, match="no bars from 2009-12-31 to 2009-12-31; allowed: 2010-01-01 to 2099-12-31"):
        days(Simulated(make_universe()), "AAA-USD", "2009-12-31", 1)


def test_a_day_that_is_asked_for_again_is_the_same_though_the_first_answer_was_changed(make_universe):
    source = Simulated(make_universe())
    first = days(source, "AAA-USD", "2024-01-01", 1)
    kept = first.copy()
    first.loc[3, "close"] = -1.0
    first["volume"] *= 2
    pd.testing.assert_frame_equal(days(source, "AAA-USD", "2024-01-01", 1), kept)
    days(source, "AAA-USD", "2024-01-02", 1)
    pd.testing.assert_frame_equal(days(source, "AAA-USD", "2024-01-01", 1), kept)
