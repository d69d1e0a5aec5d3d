"""Numbers that are hardly possible together are told of with their bar; an ordinary market is not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from lem.data.doubts import doubts, told
from tests.lem.builders import brownian_bars


@pytest.fixture
def rows():
    """Two hundred ordinary hourly bars."""
    return brownian_bars(9, seed=4).iloc[:200].assign(adjustment=1.0)


PRICES = ["open", "high", "low", "close"]


def only(rows, bar):
    """The one doubt of these rows, which is about this bar."""
    found = doubts(rows)
    assert [doubt.ts for doubt in found] == [rows["ts"][bar]], found
    return found[0]


@pytest.mark.parametrize("seed", range(6))
def test_an_ordinary_market_is_not_doubted(seed):
    assert doubts(brownian_bars(30, seed=seed).assign(adjustment=1.0)) == []


@pytest.mark.parametrize("flat", [False, True])
def test_a_price_that_moves_without_volume_is_doubted(rows, flat):
    rows.loc[150, ["volume", "quote_volume"]] = 0.0
    if flat:
        rows.loc[150, PRICES] = rows["close"][150]
    assert only(rows, 150).text.startswith("volume is 0 although the price moved (low ")


def test_a_bar_without_trades_at_the_last_price_is_not_doubted(rows):
    rows.loc[150, ["volume", "quote_volume"]] = 0.0
    rows.loc[150, PRICES] = rows["close"][149]
    assert doubts(rows) == []


@pytest.mark.parametrize("factor", [100.0, 0.01, 1.3, 0.7])
@pytest.mark.parametrize("bars", [1, 3])
def test_a_level_that_jumps_and_returns_is_doubted_where_it_jumped(rows, factor, bars):
    rows.loc[150 : 149 + bars, PRICES] *= factor
    found = only(rows, 150)
    assert found.kind == "the level jumps and returns"
    assert f"returns at {rows['ts'][150 + bars]:%Y-%m-%d %H:%M}" in found.text


def test_a_whole_day_in_pence_is_one_doubt(rows):
    rows.loc[150:173, PRICES] *= 100
    assert "by a factor of 10" in only(rows, 150).text
    assert "pence for pounds" in only(rows.iloc[:160], 150).text, "the day after is not known yet"


def test_two_bars_are_enough_to_see_a_hundredfold_price(rows):
    rows = rows.iloc[:3].copy()
    rows.loc[1, PRICES] *= 100
    assert only(rows, 1).kind == "the level jumps and returns"


@pytest.mark.parametrize("split", [2.0, 4.0, 20.0])
def test_a_split_that_prices_show_and_volume_does_not_is_doubted(rows, split):
    rows.loc[150:, PRICES] /= split
    found = only(rows, 150)
    assert found.kind == "a split that prices show and volume does not"
    rows.loc[150:, "volume"] *= split
    assert only(rows, 150).kind == "a split that is not adjusted for"


def test_a_split_of_the_adjusted_close_that_volume_does_not_show_is_doubted(rows):
    adjustment = np.where(np.arange(200) < 150, 0.25, 1.0)
    rows = rows.assign(adjustment=adjustment, volume=rows["volume"] / adjustment)
    assert "shows a split of 4, and volume does not" in only(rows, 150).text
    scaled = rows.assign(volume=rows["volume"] * adjustment)
    assert doubts(scaled) == [], "volume that was in shares of its day is divided rightly"


def test_a_price_inside_a_bar_that_is_far_from_the_others_is_doubted(rows):
    rows.loc[150, "low"] /= 1000
    assert only(rows, 150).kind == "prices inside a bar lie far apart"


def test_many_doubts_of_one_kind_are_counted(rows):
    rows.loc[100:140, "volume"] = 0.0
    lines = told(doubts(rows))
    assert len(lines) == 6
    assert lines[0].startswith(f"bar of {rows['ts'][100]:%Y-%m-%d %H:%M} UTC: volume is 0")
    assert lines[-1] == "and 36 more of: volume is 0 although the price moved"


def test_no_rows_are_not_doubted(rows):
    assert doubts(rows.iloc[:0]) == []
    assert isinstance(told([]), list)
    assert pd.Series(doubts(rows.iloc[:1]), dtype=object).empty
