from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd
import pytest

from lem.backtest.schema import BACKTEST_SCHEMA, expected_rows
from lem.backtest.walk_forward import backtest_day, day_arrivals
from lem.data.panel import Panel, panel_table
from lem.model.contender import Contender
from tests.lem.builders import START, TINY, brownian_bars, features_of, lively_model

FEATURES = features_of(brownian_bars(5))


@pytest.fixture(scope="module")
def universe(make_universe):
    return make_universe(horizon=4, backtest={"min_bars": [1, 4]}, model=TINY.model_dump())


def day(n: int) -> dt.date:
    return START + dt.timedelta(days=n)


def test_every_bar_of_the_day_is_an_arrival(universe):
    champion = Contender("one", lively_model(), START)
    table = backtest_day(FEATURES, universe, "AAA-USD", day(3), champion)
    assert len(table) == expected_rows(24, universe, with_model=True)
    assert set(table["arrival"].dt.date) == {day(3)}
    assert (table["status"] == "done").all()
    assert len(backtest_day(FEATURES, universe, "AAA-USD", day(3), None)) == expected_rows(24, universe, False)


@pytest.mark.parametrize("champion", [None, Contender("one", lively_model(), START)], ids=["rules", "model"])
@pytest.mark.parametrize("which", [0, 4], ids=["first", "last"])
def test_orders_before_or_after_which_there_are_no_bars_are_excluded_and_counted(universe, which, champion):
    """The first day of an asset has no bar before it; the last one, before a delisting, none after it."""
    table = backtest_day(FEATURES, universe, "AAA-USD", day(which), champion)
    assert len(table) == expected_rows(24, universe, champion is not None)
    excluded = table.loc[table["status"] == "excluded", "arrival"]
    assert sorted(set(excluded.dt.hour)) == (list(range(24)) if which == 0 else [21, 22, 23])


def test_a_day_without_bars_has_no_orders(universe):
    panel = Panel.from_table(panel_table({"AAA-USD": FEATURES}))
    for symbol, date in (("AAA-USD", day(9)), ("BBB-USD", day(3))):
        assert [len(x) for x in day_arrivals(panel, symbol, date)] == [0, 0]
    for features in (FEATURES, FEATURES.iloc[:0]):
        table = backtest_day(features, universe, "AAA-USD", day(9), None)
        assert table.empty
        assert list(table.columns) == BACKTEST_SCHEMA.names


def test_a_day_has_the_same_numbers_whatever_lies_before_its_warm_up_or_after_its_orders(universe):
    rows = (FEATURES["ts"] >= pd.Timestamp(day(2), tz="UTC")) & (FEATURES["ts"] < pd.Timestamp(day(4), tz="UTC"))
    longer = backtest_day(FEATURES, universe, "AAA-USD", day(3), None)
    near = backtest_day(FEATURES[rows], universe, "AAA-USD", day(3), None)
    both = (longer["status"] == "done") & (near["status"] == "done")
    assert both.sum() == np.sum(near["status"] == "done") > 0
    pd.testing.assert_frame_equal(longer[both], near[both])
