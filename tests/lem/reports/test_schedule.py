from __future__ import annotations

import numpy as np
import pandas as pd

from lem.reports.schedule import replay_table, replayed_orders, schedule_table
from tests.lem.reports.pages import exclude, make_orders, make_tape


def test_the_average_schedule_is_that_of_the_models_slices() -> None:
    orders = make_orders()
    table = schedule_table(orders)
    assert table.groupby("min_bars")["bar"].apply(list).to_dict() == {m: list(range(1, 13)) for m in (1, 6, 12)}
    for m, part in table.groupby("min_bars"):
        own = orders[(orders["strategy"] == "lem") & (orders["min_bars"] == m)]
        done = np.stack(own["slices"].to_list()).astype(float).cumsum(axis=1)
        np.testing.assert_allclose(part["mean_done"], done.mean(axis=0))
        np.testing.assert_allclose(part["p95"], np.quantile(done, 0.95, axis=0))
        np.testing.assert_allclose(part["mean_slice"].cumsum(), part["mean_done"])
        assert (part["orders"] == len(own)).all()
    at_m = table[table["bar"] == table["min_bars"]]
    np.testing.assert_allclose(at_m["mean_done"], 1.0, atol=1e-6)
    assert (table["p5"] <= table["p95"]).all()


def test_best_median_and_worst_order_are_those_of_the_model_by_gain() -> None:
    orders = make_orders()
    gains = orders.loc[orders["strategy"] == "lem", "gain_bps"].sort_values().to_list()
    found = replayed_orders(orders.sample(frac=1, random_state=2)).set_index("which")["gain_bps"]
    assert found.to_dict() == {"best": gains[-1], "median": gains[(len(gains) - 1) // 2], "worst": gains[0]}
    assert replayed_orders(exclude(orders)).empty
    assert replayed_orders(make_orders(strategies=("twap",))).empty


def test_a_replay_has_the_prices_of_the_tape_and_the_running_benchmark() -> None:
    orders, tape = make_orders(), make_tape()
    table = replay_table(orders, tape)
    assert table["which"].drop_duplicates().to_list() == ["best", "median", "worst"]
    for _, part in table.groupby("which"):
        first = part.iloc[0]
        own = tape[(tape["asset"] == first["asset"]) & (tape["ts"] >= first["arrival"])].head(12)
        np.testing.assert_array_equal(part["price"], own["vwap"])
        weight = own["volume"] if first["benchmark"] == "vwap" else pd.Series(1.0, index=own.index)
        last = part.iloc[-1]
        np.testing.assert_allclose(last["benchmark_price"], np.average(own["vwap"], weights=weight))
        np.testing.assert_allclose(last["done"], 1.0, atol=1e-6)
    assert replay_table(orders, tape.iloc[:3]).empty, "an order whose bars are not there is left out"
