"""What is kept in which market, what is paid against the arrival price, and where the market goes after an order.

Three tables of `benchmarks.real`. The model stands there at one risk aversion, its gains are each order's means over
the seeds; the rule is, of those that know costs, the one that keeps most of all orders of that m. The intervals of a
table hold for all its rows of a market together (`lem.backtest.bootstrap.simultaneous_means`).

Shapes: A = arrivals, C = rows of a table (comparisons).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from benchmarks.common import Column, Row
from benchmarks.evaluate import Arrivals, Gains
from benchmarks.marks import MARK_OUTS, Marks, over_seeds
from lem.backtest.bootstrap import Interval, simultaneous_means
from lem.data.panel import Panel
from lem.execution.costs import BPS
from lem.strategies.rules import RULES_WITH_COSTS

MARKED = (1, 6, 9)
"""The values of m of these tables."""
MARKED_RULES = (*RULES_WITH_COSTS, "twap")
"""The rules whose marks are kept, beside the model's."""
TREND_BARS = 24
"""Bars before the arrival over which the trend is measured."""
TERCILES = {"volatility": ("low", "middle", "high"), "trend": ("falling", "flat", "rising")}
JOINT = (Column("low", "from", "+.2f"), Column("high", "to", "+.2f"))
SLICES = (
    Column("market", "market"),
    Column("m", "m", "d"),
    Column("kind", "by"),
    Column("slice", "slice"),
    Column("arrivals", "arrivals", "d"),
    Column("net_bps", "model keeps", ".2f"),
    Column("rule", "rule"),
    Column("rule_net_bps", "rule keeps", ".2f"),
    Column("difference", "model more", "+.2f"),
    *JOINT,
)
SHORTFALLS = (
    Column("market", "market"),
    Column("m", "m", "d"),
    Column("strategy", "strategy"),
    Column("shortfall_bps", "paid against arrival", "+.2f"),
    Column("sd_bps", "sd", ".1f"),
    *JOINT,
)
MARKOUTS = (
    Column("market", "market"),
    Column("m", "m", "d"),
    Column("strategy", "strategy"),
    Column("bars", "bars after", "d"),
    Column("arrivals", "arrivals", "d"),
    Column("markout_bps", "market's move", "+.2f"),
    *JOINT,
)


def market_slices(panel: Panel, orders: Arrivals) -> dict[str, NDArray]:
    """The slice of each arrival by volatility, trend and day of the week, (A,); "" where it is in none.

    Volatility is that of a bar at the arrival. The trend is the move of the last `TREND_BARS` bars over what a walk of
    that volatility moves; an arrival without a close so long before has none. Terciles are of all arrivals together.
    """
    before_A = orders.bar_A - 1
    first_A = before_A - TREND_BARS
    close_A = panel.close_NT[orders.asset_A, before_A]
    move_A = np.log(close_A / panel.close_NT[orders.asset_A, np.maximum(first_A, 0)])
    trend_A = np.where(first_A >= 0, move_A * BPS / (orders.sigma_A * TREND_BARS**0.5), np.nan)
    monday_A = (orders.day_A.astype("datetime64[D]").astype(np.int64) + 3) % 7
    return {
        "volatility": _tercile(orders.sigma_A, TERCILES["volatility"]),
        "trend": _tercile(trend_A, TERCILES["trend"]),
        "day": np.where(monday_A < 5, "weekday", "weekend"),
    }


def _tercile(values_A: NDArray, names: Sequence[str]) -> NDArray:
    known_A = np.isfinite(values_A)
    if not known_A.any():
        return np.full(len(values_A), "", dtype="<U8")
    edges = np.quantile(values_A[known_A], [1 / 3, 2 / 3])
    place_A = np.searchsorted(edges, np.where(known_A, values_A, 0.0), side="left")
    return np.where(known_A, np.array(names)[place_A], "")


def best_rule(by_seed: Mapping[str, Sequence[Gains]], place: int) -> str:
    """Of the rules that know costs, the one that keeps most.

    Args:
        by_seed: gains by strategy.
        place: of the m among the values of the gains.
    """
    return max(RULES_WITH_COSTS, key=lambda rule: float(by_seed[rule][0].net_AMS[:, place].mean()))


def slice_rows(
    market: str,
    slices: Mapping[str, NDArray],
    orders: Arrivals,
    by_seed: Mapping[str, Sequence[Gains]],
    model: str,
    min_bars: Sequence[int],
    block_days: int,
) -> list[Row]:
    """What the model and the rule keep in each slice; a kind with a single slice tells nothing and is left out.

    Args:
        market: named in the rows.
        slices: from `market_slices`.
        orders: the arrivals.
        by_seed: gains of each seed by strategy.
        model: the model's name among them.
        min_bars: the values of m of the gains.
        block_days: days of one bootstrap block.
    """
    rows: list[Row] = []
    columns, inside = [], []
    for m in MARKED:
        place = min_bars.index(m)
        rule = best_rule(by_seed, place)
        ours_A, theirs_A = (
            np.mean([run.net_AMS[:, place].mean(axis=1, dtype=np.float64) for run in by_seed[name]], axis=0)
            for name in (model, rule)
        )
        for kind, of_A in slices.items():
            order = [*TERCILES.get(kind, ("weekday", "weekend"))]
            names = [name for name in order if (of_A == name).any()]
            for name in names if len(names) > 1 else []:
                in_A = of_A == name
                kept = {
                    "net_bps": float(ours_A[in_A].mean()),
                    "rule": rule,
                    "rule_net_bps": float(theirs_A[in_A].mean()),
                }
                rows.append({"market": market, "m": m, "kind": kind, "slice": name, "arrivals": int(in_A.sum())} | kept)
                columns.append(ours_A - theirs_A)
                inside.append(in_A)
    return _with_intervals(rows, "difference", columns, inside, orders, block_days)


def marked_rows(
    market: str,
    orders: Arrivals,
    by_seed: Mapping[str, Sequence[Gains]],
    model: str,
    min_bars: Sequence[int],
    block_days: int,
) -> tuple[list[Row], list[Row]]:
    """What the model, the rule and TWAP pay against the arrival price, and the moves after the model's and rule's ends.

    Args:
        market: named in the rows.
        orders: the arrivals.
        by_seed: gains of each seed by strategy, with marks of the model's and of `MARKED_RULES`.
        model: the model's name among them.
        min_bars: the values of m of the gains.
        block_days: days of one bootstrap block.
    """
    paid: list[Row] = []
    outs: list[Row] = []
    paid_columns, out_columns, out_inside = [], [], []
    for i, m in enumerate(MARKED):
        rule = best_rule(by_seed, min_bars.index(m))
        found = {name: over_seeds(_marks(by_seed[name])) for name in (model, rule, "twap")}
        for name, marks in found.items():
            mean_A, square_A = marks.shortfall_AM[:, i], marks.square_AM[:, i]
            sd = float(np.sqrt(max(0.0, square_A.mean() - mean_A.mean() ** 2)))
            paid.append({"market": market, "m": m, "strategy": name, "sd_bps": sd})
            paid_columns.append(mean_A)
            # TWAP's buys and sells end together, so their mean is zero whatever the market does.
            for j, bars in enumerate(MARK_OUTS if name != "twap" else ()):
                out_A = marks.markout_AMJ[:, i, j]
                there_A = np.isfinite(out_A)
                outs.append({"market": market, "m": m, "strategy": name, "bars": bars, "arrivals": int(there_A.sum())})
                out_columns.append(out_A)
                out_inside.append(there_A)
        for name in (rule, "twap"):
            paid.append({"market": market, "m": m, "strategy": f"{model} minus {name}", "sd_bps": None})
            paid_columns.append(found[model].shortfall_AM[:, i] - found[name].shortfall_AM[:, i])
    return (
        _with_intervals(paid, "shortfall_bps", paid_columns, None, orders, block_days),
        _with_intervals(outs, "markout_bps", out_columns, out_inside, orders, block_days),
    )


def _marks(runs: Sequence[Gains]) -> list[Marks]:
    marks = [run.marks for run in runs if run.marks is not None]
    assert len(marks) == len(runs)
    return marks


def _with_intervals(
    rows: list[Row],
    key: str,
    columns: Sequence[NDArray],
    inside: Sequence[NDArray] | None,
    orders: Arrivals,
    block_days: int,
) -> list[Row]:
    """The rows with their mean as `key`, and intervals that hold for all of them together."""
    if not rows:
        return []
    within = None if inside is None else np.stack(inside, axis=1)
    intervals: list[Interval] = simultaneous_means(
        np.stack(columns, axis=1), orders.day_A, within=within, block_days=block_days
    )
    ends = [
        {key: found.mean, "low": found.low, "high": found.high, "comparisons": len(rows), "blocks": found.blocks}
        for found in intervals
    ]
    return [row | end for row, end in zip(rows, ends, strict=True)]
