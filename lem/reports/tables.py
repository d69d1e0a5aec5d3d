"""Summary tables of the backtest: pure functions of the orders table.

An orders table has one row per order and strategy, with the columns `COLUMNS`. All gains are in bps or in sigma, and
positive is good. Every statistic is there twice. With costs "off" it is of the gain before costs and without a
participation cap; with costs "on" it is of the gain after costs and under the cap. Comparisons are paired: the same
orders under two strategies, with the difference summarised like a gain.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

import numpy as np

from lem.backtest.bootstrap import cvar, grouped_means
from lem.backtest.capacity import capacity
from lem.backtest.comparisons import grouped_p_values
from lem.execution.costs_config import CostsConfig
from lem.late import pd
from lem.strategies.rules import rule_names

MODEL = "lem"
RIVALS = ("optimal_with_risk", "optimal_with_costs", "optimal_stopping", "twap")
"""The rules that the first screen compares the model with: those that know costs, the best one that does not, TWAP."""
FIRST_RIVAL = {"off": "optimal_stopping", "on": RIVALS[0]}
"""The rule that the model must beat first, costs off and on."""
SCENARIO = ["side", "benchmark", "target"]
ORDER = ["asset", "date", "arrival", *SCENARIO, "min_bars", "max_bars"]
BOUNDS = ["bound_bps", "net_bound_bps", "oracle_bps"]
"""What no strategy gains: on a driftless market before costs and after them (dynamic programming), and, before costs,
knowing every price."""
FIXED = {
    "arrival_bps": "gain_arrival_bps",
    "full_vwap_bps": "gain_full_vwap_bps",
    "full_twap_bps": "gain_full_twap_bps",
}
"""Gains against prices that do not move with the order's end: the arrival price, VWAP and TWAP of all N bars."""
WORTH = "worth_bps"
"""The column of what gains after costs are worth, where there is one: see `lem.reports.worth`."""
GAINS = ["gain_bps", *FIXED.values(), "capped_gain_bps", "net_gain_bps"]
NOISE_BPS = 1e-6
"""Gains and differences of gains smaller than this, up or down, are 0. The simulator's sums are exact to some 1e-12
bps: TWAP against its own TWAP would be above 0 in half of its orders, and fills "better" than the same fills. What is
real is larger by far: a cent of 100,000 dollars is 0.001 bps."""
NUMBERS = ["sigma_bps", *GAINS, *BOUNDS]
COLUMNS = [*ORDER, "strategy", "model_id", "status", "reason", *NUMBERS, "end_bar", "net_end_bar", "slices"]
COSTS = {"off": ("gain_bps", "end_bar"), "on": ("net_gain_bps", "net_end_bar")}
"""Costs off and on: the columns of the gain and of the bars used."""
STATISTICS = [
    *("orders", "blocks", "mean_bps", "low_bps", "high_bps", "mean_sigma", "median_bps", "std_bps", "p5_bps"),
    *("p95_bps", "cvar5_bps", "hit_rate", *FIXED, "capped_bps", "end_bar", *BOUNDS, "capacity", "p_value"),
    *("worth_mean_bps", "worth_low_bps", "worth_high_bps", "worth_p_value"),
]
LEVELS = {"scenario and m": [*SCENARIO, "min_bars"], "m": ["min_bars"], "all": []}
"""How far orders are pooled: each level names the columns that stay apart."""
GROUPS = ("asset", "hour", "weekday", "volatility", "age", "model")
"""Further levels, all m and scenarios pooled: one column each (see `lem.reports.groups`), for the model and RIVALS."""


TOGETHER = 500_000
"""Rows that are summarised at a time."""


def without_noise(table: pd.DataFrame) -> None:
    """Set the gains below `NOISE_BPS` to 0, in place; NaN stays."""
    for name in GAINS:
        table[name] = table[name].mask(table[name].abs() < NOISE_BPS, 0.0)


def executed(orders: pd.DataFrame) -> pd.DataFrame:
    """The executed rows of a prepared table, with `against` "" (a gain, not a difference)."""
    return orders[orders["status"] == "done"].assign(against="")


def differences(orders: pd.DataFrame, strategy: str, against: str) -> pd.DataFrame:
    """The orders that both strategies executed, with gains and bars used of `strategy` minus those of `against`.

    The bounds are NaN.
    """
    compared = [name for name in (*GAINS, WORTH, "end_bar", "net_end_bar") if name in orders]
    other = executed(orders.loc[orders["strategy"] == against, ["order", "status", *compared]])
    both = executed(orders[orders["strategy"] == strategy]).merge(
        other[["order", *compared]],
        on="order",
        suffixes=("", "_other"),
        validate="one_to_one",
    )
    for name in compared:
        both[name] -= both.pop(f"{name}_other")
    without_noise(both)
    return both.assign(against=against, **dict.fromkeys(BOUNDS, math.nan))


def summarise(gains: pd.DataFrame, by: Sequence[str], costs: CostsConfig, *, resamples: int, seed: int) -> pd.DataFrame:
    """The statistics of the orders of each strategy, `against` and group of `by`.

    Args:
        gains: rows of `executed` and of `differences`.
        by: columns whose values stay apart.
        costs: those that the backtest charged.
        resamples: of the bootstrap.
        seed: of the bootstrap.

    Returns:
        Two rows for each, with costs "off" and "on". In rows with `against` all statistics are of the paired
        difference, and bounds and capacity are NaN. The columns are `costs`, those that stay apart, and:

        - `orders`, `blocks`: how many orders and blocks of days.
        - `mean_bps`: mean gain; `low_bps` and `high_bps` are its 95 % interval.
        - `mean_sigma`: mean gain in sigma of each order.
        - `median_bps`, `std_bps`, `p5_bps`, `p95_bps`: of the gains of single orders.
        - `cvar5_bps`: mean of the worst 5 %.
        - `hit_rate`: share of orders with a gain above 0.
        - the names of `FIXED`: mean gains against these prices; only with costs "off".
        - `capped_bps`: mean gain under the cap, before costs; only with costs "on".
        - `end_bar`: mean number of bars used.
        - the names of `BOUNDS`: their means.
        - `capacity`: see `lem.backtest.capacity`; only with costs "on".
        - `p_value`: of the difference (`lem.backtest.comparisons`), for this comparison alone; only in rows with
          `against`.
        - `worth_mean_bps`, `worth_low_bps`, `worth_high_bps`, `worth_p_value`: the same of what gains after costs are
          worth; only with costs "on", and where `gains` has them (`lem.reports.worth`).
    """
    keys = ["strategy", "against", *by]
    grouped = gains.groupby(keys, sort=True, observed=True)
    number_O = grouped.ngroup().to_numpy()
    means = [*FIXED.values(), "capped_gain_bps", "end_bar", "net_end_bar", *BOUNDS]
    pooled = grouped[means].mean().reset_index()
    rows_G = np.split(np.argsort(number_O, kind="stable"), np.cumsum(np.bincount(number_O))[:-1]) if len(gains) else []
    capped_O, sigma_O = gains["capped_gain_bps"].to_numpy(), gains["sigma_bps"].to_numpy()
    parts = []
    worth = _worth(gains, number_O, resamples=resamples, seed=seed)
    for name, (column, bars) in COSTS.items():
        intervals = grouped_means(gains[column], gains["block"], number_O, resamples=resamples, seed=seed)
        p_value_G = grouped_p_values(gains[column], gains["block"], number_O)
        gain_O, rows = gains[column].to_numpy(), []
        for interval, rows_O, p_value, valued in zip(intervals, rows_G, p_value_G, worth, strict=True):
            gain = gain_O[rows_O]
            p5, median, p95 = np.quantile(gain, [0.05, 0.5, 0.95])
            first = gains["against"].iat[rows_O[0]]
            rows.append(
                {
                    "orders": interval.orders,
                    "blocks": interval.blocks,
                    "mean_bps": interval.mean,
                    "low_bps": interval.low,
                    "high_bps": interval.high,
                    "mean_sigma": (gain / sigma_O[rows_O]).mean(),
                    "median_bps": median,
                    "std_bps": gain.std(ddof=1) if len(gain) > 1 else math.nan,
                    "p5_bps": p5,
                    "p95_bps": p95,
                    "cvar5_bps": cvar(gain),
                    "hit_rate": float((gain > 0).mean()),
                    "capacity": math.nan if first or name == "off" else capacity(capped_O[rows_O], gain, costs),
                    "p_value": p_value if first else math.nan,
                    **(valued if name == "on" else dict.fromkeys(valued, math.nan)),
                    **({} if first else {"worth_p_value": math.nan}),
                }
            )
        both = pooled[keys].join(pd.DataFrame(rows, columns=[c for c in STATISTICS if c not in _POOLED]))
        both = both.assign(
            costs=name,
            **{statistic: pooled[column] if name == "off" else math.nan for statistic, column in FIXED.items()},
            capped_bps=pooled["capped_gain_bps"] if name == "on" else math.nan,
            end_bar=pooled[bars],
            **{bound: pooled[bound] for bound in BOUNDS},
        )
        parts.append(both[["costs", *keys, *STATISTICS]])
    return pd.concat(parts, ignore_index=True)


def _worth(gains: pd.DataFrame, number_O: np.ndarray, *, resamples: int, seed: int) -> list[dict[str, float]]:
    """Mean, interval and p-value of what the gains of each group are worth; NaN where there is no such column."""
    names = ("worth_mean_bps", "worth_low_bps", "worth_high_bps", "worth_p_value")
    if WORTH not in gains:
        return [dict.fromkeys(names, math.nan)] * (int(number_O.max()) + 1 if len(number_O) else 0)
    intervals = grouped_means(gains[WORTH], gains["block"], number_O, resamples=resamples, seed=seed)
    p_value_G = grouped_p_values(gains[WORTH], gains["block"], number_O)
    return [
        dict(zip(names, (found.mean, found.low, found.high, float(p)), strict=True))
        for found, p in zip(intervals, p_value_G, strict=True)
    ]


_POOLED = (*FIXED, "capped_bps", "end_bar", *BOUNDS)


def full_table(orders: pd.DataFrame, costs: CostsConfig, *, resamples: int, seed: int) -> pd.DataFrame:
    """All statistics of gains and of the model's paired differences, at all levels: what the CSV holds.

    Args:
        orders: prepared; of `GROUPS` the levels are made whose columns are there, beside those of `LEVELS`.
        costs: those that the backtest charged.
        resamples: of the bootstrap.
        seed: of the bootstrap.

    Returns:
        Strategies in the order of `strategy_rank`, with these columns and then those of `summarise`:

        - `level`: a key of `LEVELS` or one of `GROUPS`.
        - `costs`: "off" or "on".
        - `strategy`, `against`: whose gain it is; `against` is "" unless it is a difference.
        - `side`, `benchmark`, `target`, `min_bars`: "all" where they are pooled.
        - `group`: the group at a level of `GROUPS`, "" at those of `LEVELS`.
    """
    there, parts = [name for name in GROUPS if name in orders.columns], []
    for gains in _series(orders):
        # Grouping by strings would take most of the report's time.
        gains = gains.astype(dict.fromkeys({"strategy", "against", *SCENARIO, *there}, "category"))
        shown = gains[gains["strategy"].isin([MODEL, *RIVALS]) & gains["against"].isin(["", *RIVALS])]
        for level, by in (LEVELS | {name: [name] for name in there}).items():
            part = summarise(shown if level in there else gains, by, costs, resamples=resamples, seed=seed)
            part = part.rename(columns={level: "group"}) if level in there else part.assign(group="")
            pooled = {name: "all" for name in LEVELS["scenario and m"] if name not in by}
            part = part.assign(level=level, **pooled).astype({"min_bars": object, "group": str})
            parts.append(part.astype(dict.fromkeys(["strategy", "against", *SCENARIO], str)))
    table = pd.concat(parts, ignore_index=True)
    names = sorted({*table["strategy"], *table["against"]}, key=lambda name: (name != "", *strategy_rank(name)))
    order = {name: place for place, name in enumerate(names)}
    table = table.assign(place=table["strategy"].map(order), rival=table["against"].map(order), row=range(len(table)))
    table = table.sort_values(["level", "costs", "rival", "place", "row"])
    keys = ["level", "costs", "strategy", "against", *LEVELS["scenario and m"], "group"]
    return table[[*keys, *STATISTICS]].reset_index(drop=True)


def _series(orders: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """The gains of each strategy and then the model's differences, as many at a time as have `TOGETHER` rows.

    One at a time would cost a small report what pandas takes a call, and all at once a large one gigabytes.
    """
    strategies, held, rows = list(orders["strategy"].unique()), [executed(orders[:0])], 0
    gains = (executed(orders[orders["strategy"] == name]) for name in strategies)
    compared = (differences(orders, MODEL, name) for name in strategies if name != MODEL)
    for one in chain(gains, compared):
        if rows and rows + len(one) > TOGETHER:
            yield pd.concat(held, ignore_index=True)
            held, rows = [], 0
        held.append(one)
        rows += len(one)
    yield pd.concat(held, ignore_index=True)


def select(table: pd.DataFrame, level: str, costs: str = "off", against: str | None = "") -> pd.DataFrame:
    """The rows of a `full_table` at one level.

    Args:
        table: from `full_table`.
        level: one of its levels.
        costs: "off" or "on".
        against: "" for gains, a rule for the differences to it, None for all differences.
    """
    rows = (table["level"] == level) & (table["costs"] == costs)
    rows &= table["against"] != "" if against is None else table["against"] == against
    return table[rows].reset_index(drop=True)


def one_row(part: pd.DataFrame, costs: str, against: str) -> dict[Any, Any] | None:
    """The first row with these costs and this rival, None without one."""
    found = part[(part["costs"] == costs) & (part["against"] == against)].to_dict("records")
    return found[0] if found else None


def joined(parts: Sequence[pd.DataFrame], columns: Sequence[str]) -> pd.DataFrame:
    """The tables one below the other; without any, no rows of these columns."""
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=list(columns))


def known_strategies() -> list[str]:
    """The model, then the rules that it is compared with, then the other rules."""
    return list(dict.fromkeys((MODEL, *RIVALS, *rule_names())))


def strategy_rank(strategy: str) -> tuple[int, str]:
    """Sorting key: those of `known_strategies`, then others by name."""
    first = known_strategies()
    return (first.index(strategy) if strategy in first else len(first), strategy)
