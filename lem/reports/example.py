"""One order of a report in full: what it was, what TWAP made of it and what the model made of it."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import pandas as pd

from lem.errors import LakeError
from lem.lake import Lake
from lem.lineage.tables import read_range
from lem.reports.tables import MODEL, ORDER
from lem.universe import Universe
from lem.universe.calendars import offset_partition, partition_dates

TWAP = "twap"


@dataclass(frozen=True)
class Traded:
    """What a strategy made of the order.

    Args:
        strategy: its name.
        price: average price of its fills before costs.
        benchmark_price: VWAP of the bars from the arrival to the order's end.
        bars: that the order lasted.
        gain_bps: against that VWAP before costs; positive is good.
        net_gain_bps: what is kept of it after costs, under the cap.
    """

    strategy: str
    price: float
    benchmark_price: float
    bars: int
    gain_bps: float
    net_gain_bps: float


@dataclass(frozen=True)
class Example:
    """One order to buy a fixed quantity against VWAP.

    Args:
        asset: that is bought.
        arrival: open of its first bar, UTC.
        quantity: to buy, in units of the asset.
        min_bars: that it lasts at least.
        max_bars: that it lasts at most.
        bar: length of a bar.
        among: number of orders that it is the median of.
        traded: TWAP and the model.
    """

    asset: str
    arrival: pd.Timestamp
    quantity: float
    min_bars: int
    max_bars: int
    bar: str
    among: int
    traded: tuple[Traded, ...]


def example_of(lake: Lake, universe: Universe, date: dt.date, orders: pd.DataFrame) -> Example:
    """The median order of a report, by what the model kept of it after costs.

    Of the orders to buy a quantity against VWAP with the middle one of the report's minimums m; of two in the middle
    the one that kept less, of equal ones the earliest.

    Args:
        lake: with the features, which have the volumes.
        universe: of the report.
        date: of the report.
        orders: its backtests.

    Raises:
        LakeError: the model executed no such order, or the features of its arrival are missing.
    """
    kind = (orders["side"] == "buy") & (orders["benchmark"] == "vwap") & (orders["target"] == "quantity")
    done = orders[kind & (orders["status"] == "done")]
    own = done[done["strategy"] == MODEL]
    if own.empty:
        raise LakeError(
            f"{universe.name}: the report of {date} has no executed order of a model to show, only those of rules; "
            f"allowed: a report with a model (lem report -u {universe.name} shows which strategies traded)"
        )
    limits = sorted(own["min_bars"].unique())
    own = own[own["min_bars"] == limits[len(limits) // 2]]
    own = own.sort_values(["net_gain_bps", "arrival", "asset"], kind="stable")
    chosen = own.iloc[(len(own) - 1) // 2]
    same = done[(done[ORDER] == chosen[ORDER]).all(axis=1)].set_index("strategy")
    arrival = pd.Timestamp(chosen["arrival"])
    return Example(
        asset=str(chosen["asset"]),
        arrival=arrival,
        quantity=universe.costs.order_size * _mean_volume(lake, universe, str(chosen["asset"]), arrival),
        min_bars=int(chosen["min_bars"]),
        max_bars=int(chosen["max_bars"]),
        bar=universe.bar,
        among=len(own),
        traded=tuple(_traded(name, same.loc[name]) for name in (TWAP, MODEL)),
    )


def _traded(name: str, row: pd.Series) -> Traded:
    prices = float(row["achieved"]), float(row["benchmark_price"])
    return Traded(name, *prices, int(row["end_bar"]), float(row["gain_bps"]), float(row["net_gain_bps"]))


def _mean_volume(lake: Lake, universe: Universe, asset: str, arrival: pd.Timestamp) -> float:
    """Trailing mean volume of a bar when the order arrives."""
    day = arrival.date()
    first = max(universe.start, offset_partition(universe, day, -1))
    table, _ = read_range(lake, universe, "features", partition_dates(universe, first, day), asset)
    return float(table[table["close_ts"] <= arrival].sort_values("close_ts")["mean_volume"].iloc[-1])
