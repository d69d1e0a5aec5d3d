"""The groups that the report looks into: asset, hour, weekday, volatility, age of the model, and model."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
import pandas as pd

from lem.reports.compact import compact, numbered
from lem.reports.tables import GROUPS, MODEL

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
BUCKETS = 5
"""Most buckets of volatility, of equal numbers of orders, and of age, of equal numbers of ages."""
TITLES = {
    "asset": "By asset",
    "hour": "By hour of arrival, UTC",
    "weekday": "By weekday of arrival, UTC",
    "volatility": "By volatility at arrival, bps a bar",
    "age": "By age of the model, trading days since its training ended",
    "model": "By model",
}


def add_groups(orders: pd.DataFrame, ages: Mapping[str, int] | None = None) -> pd.DataFrame:
    """The prepared orders with a categorical column for each of `GROUPS` (`asset` is there already).

    Args:
        orders: from `lem.reports.prepared.prepare_orders`.
        ages: partitions since the champion's training ended, by arrival day (ISO); days without a champion are left
            out.

    Returns:
        The orders, and these columns:

        - `hour`: 00 to 23, UTC.
        - `weekday`: Monday to Sunday.
        - `volatility`: bucket of sigma when the order arrived.
        - `age`: bucket of the age of the champion of its day, or "none" without a champion.
        - `model`: that champion's id, or "none".
    """
    arrival, index = pd.DatetimeIndex(orders["arrival"]), orders.index
    hours = [f"{hour:02d}" for hour in range(24)]
    sigma = orders.loc[orders["status"] == "done", "sigma_bps"]
    return orders.assign(
        hour=numbered(arrival.hour, hours, index),
        weekday=numbered(arrival.day_of_week, WEEKDAYS, index),
        volatility=_volatility(orders["sigma_bps"], sigma),
        age=compact(orders["date"], lambda day: _ages(ages or {}).get(day, "none")),
        model=_champions(orders),
    )


def _champions(orders: pd.DataFrame) -> pd.Series:
    """The model that traded each order, on the rows of every strategy."""
    own = orders.loc[orders["strategy"] == MODEL].drop_duplicates("order")
    number_O, ids = pd.factorize(own["model_id"])
    of_order = np.full(int(orders["order"].max()) + 1 if len(orders) else 0, -1)
    of_order[own["order"]] = number_O
    names = [*(str(id_) or "none" for id_ in ids), "none"]
    number_O = of_order[orders["order"]]
    return numbered(np.where(number_O < 0, len(names) - 1, number_O), names, orders.index)


def _volatility(values: pd.Series, executed: pd.Series) -> pd.Series:
    edges = np.unique(np.quantile(executed, np.linspace(0, 1, BUCKETS + 1))) if len(executed) else np.empty(0)
    spans = list(pairwise(edges))
    names = [f"{k + 1} of {len(spans)}: {low:.1f} to {high:.1f}" for k, (low, high) in enumerate(spans)]
    names = names or [f"1 of 1: {edge:.1f}" for edge in edges]
    last = len(names)
    place = np.clip(np.searchsorted(edges, values.to_numpy(), side="left") - 1, 0, max(last - 1, 0))
    return numbered(np.where(values.notna() & (last > 0), place, last), [*names, "none"], values.index)


def _ages(ages: Mapping[str, int]) -> dict[str, str]:
    """Name of the bucket of each day's age."""
    names = dict[int, str]()
    distinct = sorted(set(ages.values()))
    for bucket in np.array_split(np.array(distinct), min(BUCKETS, len(distinct))) if distinct else []:
        low, high = int(bucket[0]), int(bucket[-1])
        names |= dict.fromkeys(range(low, high + 1), f"{low} to {high}" if high > low else str(low))
    return {day: names[age] for day, age in ages.items()}


def group_rank(level: str, group: str) -> tuple[float, str]:
    """Sorting key of a level's groups: weekdays from Monday, numbers by size, "none" last."""
    if group == "none":
        return (np.inf, group)
    if level == "weekday":
        return (WEEKDAYS.index(group), group)
    if level == "age":
        return (int(group.split()[0]), group)
    return (0, group)


def levels_shown(table: pd.DataFrame) -> list[str]:
    """The levels of `GROUPS` that tell something: those with more than one group."""
    counts = table[table["level"].isin(GROUPS)].groupby("level")["group"].nunique()
    return [level for level in GROUPS if counts.get(level, 0) > 1]
