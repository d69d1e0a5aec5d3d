"""Tables of how the model trades: its average schedule, and the best, the median and the worst order bar by bar."""

from __future__ import annotations

import numpy as np
import pandas as pd

from lem.reports.tables import MODEL, ORDER

QUANTILES = {"p5": 0.05, "p25": 0.25, "p50": 0.5, "p75": 0.75, "p95": 0.95}
WHICH = ("best", "median", "worst")
SCHEDULE = ["min_bars", "bar", "orders", "mean_slice", "mean_done", *QUANTILES]
REPLAY = ["which", *ORDER, "sigma_bps", "gain_bps", "end_bar", "bar", "ts", "price", "benchmark_price", "slice", "done"]


def _traded(orders: pd.DataFrame) -> pd.DataFrame:
    """Executed orders of the model whose slices are known."""
    return orders[(orders["strategy"] == MODEL) & (orders["status"] == "done") & orders["slices"].notna()]


def schedule_table(orders: pd.DataFrame) -> pd.DataFrame:
    """The model's average schedule before costs, by m.

    Returns:
        One row for each m and bar (1 to N), with the columns `SCHEDULE`. Among them are:

        - `mean_slice`: mean share of the order traded in the bar.
        - `mean_done`: mean share traded by the bar's end.
        - `p5` to `p95`: quantiles over the orders of the share traded by the bar's end.
    """
    parts = []
    for m, part in _traded(orders).groupby("min_bars", sort=True):
        slice_OK = np.stack(part["slices"].to_list()).astype(np.float64)
        done_OK = slice_OK.cumsum(axis=1)
        fan = dict(zip(QUANTILES, np.quantile(done_OK, list(QUANTILES.values()), axis=0), strict=True))
        columns = {"mean_slice": slice_OK.mean(axis=0), "mean_done": done_OK.mean(axis=0)} | fan
        bars = np.arange(1, slice_OK.shape[1] + 1)
        parts.append(pd.DataFrame({"min_bars": m, "bar": bars, "orders": len(part)} | columns))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=SCHEDULE)


def replayed_orders(orders: pd.DataFrame) -> pd.DataFrame:
    """The model's executed orders with the largest, the median and the smallest gain before costs.

    Args:
        orders: a backtest with its partition `date`, prepared or not.

    Returns:
        Three rows, in this order, with `which` (best, median, worst); none without such orders. The median is the
        lower one of two, and of orders with equal gains the earliest is taken.
    """
    traded = _traded(orders)
    if traded.empty:
        return traded.assign(which=pd.Series(dtype=str))
    traded = traded.assign(date=traded["date"].astype(str).str[:10])
    gain = traded["gain_bps"].to_numpy()
    wanted = {"best": gain.max(), "median": np.partition(gain, (len(gain) - 1) // 2)[(len(gain) - 1) // 2]}
    wanted["worst"] = gain.min()
    rows = []
    for which, value in wanted.items():
        equal = traded[traded["gain_bps"] == value]
        rows.append(equal.sort_values(ORDER, kind="stable").head(1).assign(which=which))
    return pd.concat(rows, ignore_index=True)


def replay_table(orders: pd.DataFrame, tape: pd.DataFrame) -> pd.DataFrame:
    """The orders of `replayed_orders`, bar by bar.

    Args:
        orders: as in `replayed_orders`.
        tape: bars of at least these orders (columns `TAPE`, a bar's open as `ts`).

    Returns:
        One row for each order and each of its N bars, with the columns `REPLAY`. Among them are:

        - `end_bar`: the bar that the order ends in.
        - `price`: VWAP of the bar.
        - `benchmark_price`: the order's running benchmark, VWAP or TWAP of the bars so far.
        - `slice`: share of the order traded in the bar.
        - `done`: share traded by the bar's end.
    """
    parts = []
    for order in replayed_orders(orders).to_dict("records"):
        own = tape[(tape["asset"] == order["asset"]) & (tape["ts"] >= order["arrival"])].sort_values("ts")
        own = own.head(len(order["slices"]))
        if len(own) < len(order["slices"]):
            continue
        weight = own["volume"].to_numpy(float) if order["benchmark"] == "vwap" else np.ones(len(own))
        price = own["vwap"].to_numpy(float)
        slice_K = np.asarray(order["slices"], dtype=np.float64)
        parts.append(
            pd.DataFrame(
                {name: [order[name]] * len(own) for name in REPLAY[: REPLAY.index("bar")]}
                | {
                    "bar": np.arange(1, len(own) + 1),
                    "ts": own["ts"].to_numpy(),
                    "price": price,
                    "benchmark_price": (weight * price).cumsum() / weight.cumsum(),
                    "slice": slice_K,
                    "done": slice_K.cumsum(),
                }
            )
        )
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=REPLAY)
