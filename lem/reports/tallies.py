"""What is counted of an orders table, without intervals: orders left out, bars used, days, bins of the gains, models.

The columns of an orders table, and what its rows are, stand in `lem.reports.tables`.
"""

from __future__ import annotations

import numpy as np

from lem.late import pd
from lem.reports.tables import COSTS, FIRST_RIVAL, MODEL, ORDER, executed, strategy_rank


def excluded_table(orders: pd.DataFrame) -> pd.DataFrame:
    """How many parent orders were not executed, by reason and asset.

    Columns: reason, asset, orders, share (of the asset's orders).
    """
    excluded = orders[orders["status"] == "excluded"].drop_duplicates([*ORDER, "reason"])
    counts = _counted(excluded, ["reason", "asset"])
    total = _counted(orders.drop_duplicates(ORDER), ["asset"]).set_index("asset")["orders"]
    return counts.assign(share=counts["orders"] / counts["asset"].map(total).astype(np.float64))


def end_bar_table(orders: pd.DataFrame) -> pd.DataFrame:
    """How many orders end in each bar, by strategy and m.

    Columns: strategy, min_bars, end_bar (bars used), orders, share (of the strategy's orders with that m).
    """
    counts = _counted(executed(orders), ["strategy", "min_bars", "end_bar"])
    return counts.assign(share=counts["orders"] / counts.groupby(["strategy", "min_bars"])["orders"].transform("sum"))


def daily_table(orders: pd.DataFrame, costs: str = "off") -> pd.DataFrame:
    """Gain of each strategy by arrival day, with costs "off" or "on".

    Columns: strategy, date, orders, mean_bps (of the day), cumulative_bps (running sum of the days' means).
    """
    gain = COSTS[costs][0]
    days = executed(orders).groupby(["strategy", "date"])[gain].agg(orders="size", mean_bps="mean").reset_index()
    days = days.astype({"strategy": str, "date": str})
    return days.assign(cumulative_bps=days.groupby("strategy")["mean_bps"].cumsum())


def histogram(gains: pd.DataFrame, costs: str = "off", bins: int = 60) -> pd.DataFrame:
    """Histogram of the gains of the model and of its `FIRST_RIVAL`, or of the strategies there are.

    Args:
        gains: rows of `executed`.
        costs: "off" or "on".
        bins: how many.

    Returns:
        One row for each strategy and bin: the edges `low_bps` and `high_bps`, and the `share` of the strategy's orders.
        The outer 0.5 % on each side are in no bin.
    """
    column, there = COSTS[costs][0], sorted(gains["strategy"].unique(), key=strategy_rank)
    shown = [name for name in (MODEL, FIRST_RIVAL[costs]) if name in there] or there
    low, high = np.quantile(gains.loc[gains["strategy"].isin(shown), column], [0.005, 0.995])
    edges = np.linspace(low, high if high > low else low + 1.0, bins + 1)
    parts = []
    for name in shown:
        gain = gains.loc[gains["strategy"] == name, column].to_numpy()
        share = np.histogram(gain, edges)[0] / len(gain)
        parts.append(pd.DataFrame({"strategy": name, "low_bps": edges[:-1], "high_bps": edges[1:], "share": share}))
    return pd.concat(parts, ignore_index=True)


def model_table(orders: pd.DataFrame) -> pd.DataFrame:
    """Which models executed the model's orders, by first day.

    Columns: model_id, first and last (arrival days), days and orders (how many).
    """
    done = executed(orders)
    own = done.loc[done["strategy"] == MODEL, ["model_id", "date"]].astype(str)
    days = own.groupby("model_id")["date"].agg(first="min", last="max", days="nunique", orders="size")
    return days.reset_index().sort_values(["first", "last"])


def _counted(orders: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """How many rows there are of each combination of these columns, whose texts are plain ones again."""
    counts = orders.groupby(by, observed=True).size().rename("orders").reset_index()
    return counts.astype({name: str for name in by if isinstance(counts[name].dtype, pd.CategoricalDtype)})
