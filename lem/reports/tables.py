"""Summary tables of the backtest, and the answers of the report's first screen: pure functions of the orders
table.

An orders table has one row per order and strategy, with the columns `COLUMNS`; all gains are in bps or in
sigma, and positive is good. Comparisons are paired: the same orders under two strategies, the difference
summarised like a gain.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from lem.backtest.bootstrap import EvaluationError, Interval, cvar, day_blocks, grouped_means

MODEL = "lem"
RIVALS = ("optimal_stopping", "twap")
SCENARIO = ["side", "benchmark", "target"]
ORDER = ["asset", "date", "arrival", *SCENARIO, "min_bars", "max_bars"]
GAINS = ["gain_bps", "gain_sigma", "gain_arrival_bps", "bound_bps"]
COLUMNS = [*ORDER, "strategy", "model_id", "status", "reason", *GAINS, "end_bar"]
STATISTICS = [
    *(
        "orders",
        "blocks",
        "mean_bps",
        "low_bps",
        "high_bps",
        "mean_sigma",
        "median_bps",
        "std_bps",
        "p5_bps",
        "p95_bps",
    ),
    *("cvar5_bps", "hit_rate", "arrival_bps", "bound_bps"),
]
LEVELS = {"scenario and m": [*SCENARIO, "min_bars"], "m": ["min_bars"], "all": []}
"""How far orders are pooled: each level names the columns that stay apart."""


@dataclass(frozen=True)
class Comparison:
    """The model against a rule on the same orders: the paired difference in bps and what it allows to say."""

    against: str
    interval: Interval
    verdict: str


@dataclass(frozen=True)
class Headline:
    """What the first screen says.

    status: complete, incomplete, no model, or no orders. problems: what was not as it should be, in
    sentences. decision, reasons, champion_id: of the promotion gate for `date` ("" and () where it made
    none). last_day: latest arrival day with an executed order ("" without one). orders, blocks: executed
    parent orders, and independent blocks of days. comparisons: one for each of `RIVALS` that traded the
    model's orders.
    """

    date: str
    status: str
    problems: tuple[str, ...]
    last_day: str
    champion_id: str
    decision: str
    reasons: tuple[str, ...]
    orders: int
    blocks: int
    comparisons: tuple[Comparison, ...]


def prepare_orders(orders: pd.DataFrame, block_days: int = 1) -> pd.DataFrame:
    """Check an orders table; return it in one row order, `date` as ISO strings, with each order's `block`.

    block_days: days of a bootstrap block (see `day_blocks`); blocks are made of the days with executed
    orders, and excluded orders have block -1.

    Raises:
        EvaluationError: a column is missing, a status is unknown, an executed order has no finite result, or
        a row is there twice.
    """
    missing = [name for name in COLUMNS if name not in orders.columns]
    if missing:
        raise EvaluationError(f"orders table: missing column(s) {', '.join(missing)}; needed: {', '.join(COLUMNS)}")
    table = orders.assign(date=pd.to_datetime(orders["date"].astype(str)).dt.strftime("%Y-%m-%d"))
    # dictionary-encoded columns of Parquet arrive as categories, whose groupby keeps empty groups
    for name in ["asset", *SCENARIO, "strategy", "model_id", "status", "reason"]:
        table[name] = table[name].astype(str)
    key = [*ORDER, "strategy"]
    table = table.sort_values(key, kind="stable", ignore_index=True)
    unknown = sorted(set(table["status"].unique()) - {"done", "excluded"})
    if unknown:
        raise EvaluationError(f"orders table: status {unknown}; allowed: done, excluded")
    twice = table.duplicated(key)
    if twice.any():
        raise EvaluationError(f"orders table: {int(twice.sum())} row(s) twice, the first {_name(table, twice)}")
    done = table["status"] == "done"
    table[GAINS] = table[GAINS].astype(np.float64)
    broken = done & ~np.isfinite(table[GAINS].to_numpy()).all(axis=1)
    if broken.any():
        raise EvaluationError(
            f"orders table: {int(broken.sum())} executed order(s) without finite {', '.join(GAINS)}, "
            f"the first {_name(table, broken)}; allowed: finite, or status excluded"
        )
    table["block"] = -1
    table.loc[done, "block"] = day_blocks(table.loc[done, "date"], block_days)
    return table


def _name(table: pd.DataFrame, mask: pd.Series) -> str:
    row = table.iloc[int(np.argmax(mask))]
    return f"{row['strategy']} {row['asset']} {row['arrival']} {' '.join(row[SCENARIO])} m {row['min_bars']}"


def executed(orders: pd.DataFrame) -> pd.DataFrame:
    """The executed rows of a prepared table, with `against` "" (a gain, not a difference)."""
    return orders[orders["status"] == "done"].assign(against="")


def differences(orders: pd.DataFrame, strategy: str, against: str) -> pd.DataFrame:
    """The orders that both strategies executed, with gains `strategy` - `against`; the bound's difference is
    NaN.
    """
    done = executed(orders)
    keys = [*ORDER, "block"]
    both = done[done["strategy"] == strategy].merge(
        done.loc[done["strategy"] == against, [*keys, *GAINS]],
        on=keys,
        suffixes=("", "_other"),
        validate="one_to_one",
    )
    for name in GAINS[:-1]:
        both[name] -= both.pop(f"{name}_other")
    return both.drop(columns="bound_bps_other").assign(against=against, bound_bps=np.nan)


def summarise(gains: pd.DataFrame, by: Sequence[str], *, resamples: int, seed: int) -> pd.DataFrame:
    """One row per strategy, `against` and group of `by`: the statistics of its orders.

    Columns: orders, blocks, mean_bps with its 95 % interval low_bps and high_bps, mean_sigma, median_bps,
    std_bps, p5_bps, p95_bps, cvar5_bps (mean of the worst 5 %), hit_rate (share with a gain above 0),
    arrival_bps (mean gain against the arrival price), bound_bps (mean bound). In rows with `against`, all are
    of the paired difference.
    """
    keys = ["strategy", "against", *by]
    grouped = gains.groupby(keys, sort=True)
    number = grouped.ngroup().to_numpy()
    intervals = grouped_means(gains["gain_bps"], gains["block"], number, resamples=resamples, seed=seed)
    means = grouped[["gain_sigma", "gain_arrival_bps", "bound_bps"]].mean().reset_index()
    rows = []
    for g, interval in enumerate(intervals):
        gain = gains["gain_bps"].to_numpy()[number == g]
        p5, median, p95 = np.quantile(gain, [0.05, 0.5, 0.95])
        rows.append(
            {
                "orders": interval.orders,
                "blocks": interval.blocks,
                "mean_bps": interval.mean,
                "low_bps": interval.low,
                "high_bps": interval.high,
                "mean_sigma": means.loc[g, "gain_sigma"],
                "median_bps": median,
                "std_bps": gain.std(ddof=1) if len(gain) > 1 else math.nan,
                "p5_bps": p5,
                "p95_bps": p95,
                "cvar5_bps": cvar(gain),
                "hit_rate": float((gain > 0).mean()),
                "arrival_bps": means.loc[g, "gain_arrival_bps"],
                "bound_bps": means.loc[g, "bound_bps"],
            }
        )
    return means[keys].join(pd.DataFrame(rows, columns=STATISTICS))


def full_table(orders: pd.DataFrame, *, resamples: int, seed: int) -> pd.DataFrame:
    """All statistics at every level of `LEVELS`, gains and the model's paired differences: what the CSV
    holds.

    Columns: level, strategy, against ("" for a gain), side, benchmark, target, min_bars ("all" where pooled),
    then those of `summarise`. Strategies in the order of `strategy_rank`.
    """
    gains = pd.concat([executed(orders), *(differences(orders, MODEL, rival) for rival in RIVALS)], ignore_index=True)
    parts = []
    for level, by in LEVELS.items():
        part = summarise(gains, by, resamples=resamples, seed=seed)
        pooled = {name: "all" for name in LEVELS["scenario and m"] if name not in by}
        parts.append(part.assign(level=level, **pooled).astype({"min_bars": object}))
    table = pd.concat(parts, ignore_index=True)
    order = {strategy: place for place, strategy in enumerate(sorted(table["strategy"].unique(), key=strategy_rank))}
    table = table.assign(place=table["strategy"].map(order), row=range(len(table)))
    table = table.sort_values(["level", "against", "place", "row"])
    return table[["level", "strategy", "against", *LEVELS["scenario and m"], *STATISTICS]].reset_index(drop=True)


def select(table: pd.DataFrame, level: str, against: str = "") -> pd.DataFrame:
    """The rows of a `full_table` at one level of pooling."""
    return table[(table["level"] == level) & (table["against"] == against)].reset_index(drop=True)


def strategy_rank(strategy: str) -> tuple[int, str]:
    """Sorting key: the model, then the rules it must beat, then the others by name."""
    first = (MODEL, *RIVALS)
    return (first.index(strategy) if strategy in first else len(first), strategy)


def excluded_table(orders: pd.DataFrame) -> pd.DataFrame:
    """Parent orders that were not executed, by reason and asset: reason, asset, orders, share (of the asset's
    orders).
    """
    excluded = orders[orders["status"] == "excluded"].drop_duplicates([*ORDER, "reason"])
    counts = excluded.groupby(["reason", "asset"]).size().rename("orders").reset_index()
    total = orders.drop_duplicates(ORDER).groupby("asset").size()
    return counts.assign(share=counts["orders"] / counts["asset"].map(total).astype(np.float64))


def end_bar_table(orders: pd.DataFrame) -> pd.DataFrame:
    """When orders end: strategy, min_bars, end_bar (bars used), orders, share (of that strategy's orders with
    that m).
    """
    counts = executed(orders).groupby(["strategy", "min_bars", "end_bar"]).size().rename("orders").reset_index()
    return counts.assign(share=counts["orders"] / counts.groupby(["strategy", "min_bars"])["orders"].transform("sum"))


def daily_table(orders: pd.DataFrame) -> pd.DataFrame:
    """Gain by arrival day: strategy, date, orders, mean_bps of the day, cumulative_bps (running sum of the
    days' means).
    """
    days = executed(orders).groupby(["strategy", "date"])["gain_bps"].agg(orders="size", mean_bps="mean").reset_index()
    return days.assign(cumulative_bps=days.groupby("strategy")["mean_bps"].cumsum())


def model_table(orders: pd.DataFrame) -> pd.DataFrame:
    """Which models executed the model's orders: model_id, first, last (arrival day), days, orders; by first
    day.
    """
    done = executed(orders)
    days = done[done["strategy"] == MODEL].groupby("model_id")["date"]
    return days.agg(first="min", last="max", days="nunique", orders="size").reset_index().sort_values(["first", "last"])


def row_interval(row: Mapping[Any, Any]) -> Interval:
    """The interval of a row of `full_table`."""
    return Interval(row["mean_bps"], row["low_bps"], row["high_bps"], int(row["orders"]), int(row["blocks"]))


def verdict(interval: Interval) -> str:
    """What a paired difference allows to say: better, worse, not distinguishable, or too few days to say."""
    if not interval.known:
        return "too few days to say"
    if interval.low > 0:
        return "better"
    return "worse" if interval.high < 0 else "not distinguishable"


def headline(
    orders: pd.DataFrame, table: pd.DataFrame, promotions: Sequence[Mapping[str, Any]], date: str, due: str
) -> Headline:
    """Answer the first screen: did it work, is the model better, by how much, how sure.

    orders: from `prepare_orders`. table: from `full_table` of the same orders. promotions: dicts with date,
    decision, champion_id and reasons. date: the report's, ISO. due: the arrival day up to which orders should
    have been executed.
    """
    done = executed(orders)
    overall = table[table["level"] == "all"]
    comparisons = tuple(
        Comparison(str(row["against"]), interval, verdict(interval))
        for rival in RIVALS
        for _, row in overall[overall["against"] == rival].iterrows()
        for interval in [Interval(row["mean_bps"], row["low_bps"], row["high_bps"], row["orders"], row["blocks"])]
    )
    gate = next((dict(row) for row in promotions if str(row["date"])[:10] == date), {})
    last_day = str(done["date"].max()) if len(done) else ""
    problems = [] if gate else [f"No decision of the promotion gate is recorded for {date}."]
    problems += _problems(orders, done, last_day, due)
    if not len(done):
        status = "no orders"
    elif MODEL not in done["strategy"].unique():
        status = "no model"
    else:
        status = "incomplete" if problems else "complete"
    return Headline(
        date=date,
        status=status,
        problems=tuple(problems),
        last_day=last_day,
        champion_id=str(gate.get("champion_id") or ""),
        decision=str(gate.get("decision") or ""),
        reasons=tuple(map(str, gate.get("reasons") or ())),
        orders=len(done.drop_duplicates(ORDER)),
        blocks=done["block"].nunique(),
        comparisons=comparisons,
    )


def _problems(orders: pd.DataFrame, done: pd.DataFrame, last_day: str, due: str) -> list[str]:
    """What was not as it should be on the latest day with executed orders."""
    if not len(done):
        return ["No order was executed."]
    problems = []
    if last_day < due:
        problems.append(f"The latest executed orders arrived on {last_day}; those up to {due} should be there.")
    last = done[done["date"] == last_day]
    idle = sorted(set(orders["asset"].unique()) - set(last["asset"].unique()))
    if idle:
        problems.append(f"No order in {', '.join(idle)} was executed on {last_day}.")
    if MODEL in done["strategy"].unique() and MODEL not in last["strategy"].unique():
        problems.append(f"The model executed no order on {last_day}.")
    return problems
