"""The backtest table, apart from the code that makes it: its columns, and how many rows a partition has."""

from __future__ import annotations

import pyarrow as arrow

from lem.execution.orders import SCENARIOS
from lem.strategies.rules import rule_names
from lem.universe import Universe

BACKTEST_SCHEMA = arrow.schema(
    [
        ("asset", arrow.string()),
        ("arrival", arrow.timestamp("us", tz="UTC")),
        ("side", arrow.string()),
        ("benchmark", arrow.string()),
        ("target", arrow.string()),
        ("min_bars", arrow.int64()),
        ("max_bars", arrow.int64()),
        ("strategy", arrow.string()),
        ("model_id", arrow.string()),
        ("status", arrow.string()),
        ("reason", arrow.string()),
        ("sigma_bps", arrow.float64()),
        ("gain_bps", arrow.float64()),
        ("gain_sigma", arrow.float64()),
        ("gain_arrival_bps", arrow.float64()),
        ("gain_full_vwap_bps", arrow.float64()),
        ("gain_full_twap_bps", arrow.float64()),
        ("capped_gain_bps", arrow.float64()),
        ("net_gain_bps", arrow.float64()),
        ("bound_bps", arrow.float64()),
        ("net_bound_bps", arrow.float64()),
        ("oracle_bps", arrow.float64()),
        ("end_bar", arrow.int64()),
        ("net_end_bar", arrow.int64()),
        ("achieved", arrow.float64()),
        ("benchmark_price", arrow.float64()),
        ("slices", arrow.list_(arrow.field("element", arrow.float32()))),  # the name that Parquet gives items
    ]
)


def expected_rows(arrivals: int, universe: Universe, with_model: bool) -> int:
    """Rows of a backtest partition in which every order is accounted for."""
    return arrivals * len(universe.backtest.min_bars) * len(SCENARIOS) * (len(rule_names()) + with_model)
