"""How much of the theoretical bound the model reaches on a driftless market, for every m, and how long that takes.

On such a market no strategy gains more on average than the dynamic-programming bound, and with a fixed end (m = N) none
gains anything: a figure clearly above either is a look-ahead. The policy is the deterministic one that is used live.

The mean gain is measured against optimal stopping on the same orders, whose expectation is the bound itself:
bound + mean(LEM - optimal stopping). That has the same expectation as the plain mean and a fraction of its noise; both
are in the file. Standard errors are over blocks of whole days.

After the default costs the measure is the rule of the dynamic programme, which earns on such a market what can be
earned: volumes vary, so its value is measured, on the same orders.

Shapes: A = arrivals, M = values of m, S = scenarios.
"""

from __future__ import annotations

import argparse
import datetime as dt
import time
from dataclasses import replace

import numpy as np

from benchmarks.common import Column, Row, command_line, each_seed, one_or_more, parser, publish, spread
from benchmarks.evaluate import arrivals, gains
from lem.backtest.bootstrap import Interval, block_mean
from lem.backtest.driftless import SIGMA, driftless_panel
from lem.execution.costs import BPS
from lem.execution.costs_config import CostsConfig
from lem.execution.orders import SCENARIOS, Benchmark, Side
from lem.strategies.bounds import bound
from lem.strategies.optimal_stopping import OptimalStopping
from lem.strategies.optimal_with_costs import OptimalWithCosts
from lem.training.trainer import train
from lem.universe.model_config import ModelConfig
from lem.universe.training_config import TrainingConfig

NAME, HORIZON = "bound", 12
MIN_BARS = tuple(range(1, HORIZON + 1))
RISK_AVERSION = (0.0, 0.1)
"""Low, since the bound is one of means; but not 0 alone, at which the schedule would not matter at all."""
TRAINING = TrainingConfig(risk_aversion=RISK_AVERSION, steps=500)
COLUMNS = (
    Column("side", "side"),
    Column("m", "m", "d"),
    Column("bound", "bound (sigma)", ".4f"),
    Column("gain", "LEM (sigma)", ".4f"),
    Column("share", "share of the bound", ".1%"),
    Column("share_sd", "sd over seeds", ".1%"),
    Column("standard_error", "standard error (sigma)", ".4f"),
    Column("net_rule", "after costs, the rule", ".4f"),
    Column("net_gain", "LEM", ".4f"),
    Column("net_share", "share", ".1%"),
)


def one_seed(seed: int, training: TrainingConfig, days: int, assets: int) -> tuple[list[Row], float]:
    """Rows by side and m of one model, and its training time in seconds."""
    started = time.monotonic()
    panel = driftless_panel(assets, days, seed=1000 + seed)
    trained = train(panel, HORIZON, ModelConfig(), training.model_copy(update={"seed": seed}), CostsConfig())
    seconds = time.monotonic() - started
    test = driftless_panel(assets, days, seed=5000 + seed)
    day_T = test.date_T
    orders = arrivals(test, day_T[0].item() + dt.timedelta(days=5), day_T[-1].item(), HORIZON)
    # The rule reaches the bound only with the true volatility; the model has only the trailing one.
    exact = replace(test, sigma_NT=np.full_like(test.sigma_NT, SIGMA))
    costs = CostsConfig(fee_bps=0.0, half_spread_bps=0.0)
    (model, net), (rule, _), (_, net_rule) = (
        (made.before_AMS / (SIGMA * BPS), made.net_AMS / (SIGMA * BPS))
        for made in (
            gains(market, orders, strategy, MIN_BARS, HORIZON, 0.0, costs)
            for market, strategy in ((test, trained.model), (exact, OptimalStopping()), (exact, OptimalWithCosts()))
        )
    )
    rows = []
    for side in Side:
        heads = [i for i, s in enumerate(SCENARIOS) if s.side is side and s.benchmark is Benchmark.TWAP]
        for i, m in enumerate(MIN_BARS):
            paired = block_mean((model[:, i, heads] - rule[:, i, heads]).mean(1), orders.day_A)
            plain = block_mean(model[:, i, heads].mean(1), orders.day_A)
            limit = bound(m, HORIZON)
            rows.append(
                {
                    "seed": seed,
                    "side": str(side),
                    "m": m,
                    "bound": limit,
                    "gain": limit + paired.mean,
                    "plain_gain": plain.mean,
                    "net_gain": float(net[:, i, heads].mean()),
                    "net_rule": float(net_rule[:, i, heads].mean()),
                    "standard_error": _standard_error(paired),
                    "orders": plain.orders,
                    "days": plain.blocks,
                }
            )
    return rows, seconds


def _standard_error(interval: Interval) -> float:
    return (interval.high - interval.low) / (2 * 1.96)


def over_seeds(rows: list[Row]) -> list[Row]:
    """Mean over seeds by side and m, the spread of the share, and the standard error of the mean."""
    out = []
    for side in Side:
        for m in MIN_BARS:
            mine = [row for row in rows if row["side"] == str(side) and row["m"] == m]
            gain, limit = spread([row["gain"] for row in mine]), mine[0]["bound"]
            share = gain.mean / limit if m < HORIZON else None
            out.append(
                {
                    "side": str(side),
                    "m": m,
                    "bound": limit,
                    "gain": gain.mean,
                    "share": share,
                    "share_sd": gain.sd / limit if m < HORIZON else None,
                    "net_gain": (net := spread([row["net_gain"] for row in mine])).mean,
                    "net_rule": (net_rule := spread([row["net_rule"] for row in mine])).mean,
                    "net_share": net.mean / net_rule.mean if net_rule.mean > 0 else None,
                    "standard_error": float(np.sqrt(sum(r["standard_error"] ** 2 for r in mine)) / len(mine)),
                }
            )
    return out


def main(argv: list[str] | None = None) -> None:
    """Run the benchmark from the command line."""
    made = parser(NAME, "share of the theoretical bound on a driftless market")
    made.add_argument(
        "--steps", type=one_or_more, default=TRAINING.steps, help=f"training steps (default {TRAINING.steps})"
    )
    arguments: argparse.Namespace = made.parse_args(argv)
    training = TRAINING.model_copy(update={"steps": 20 if arguments.quick else arguments.steps})
    days, assets = (40, 2) if arguments.quick else (400, 10)
    seeds = range(1 if arguments.quick else arguments.seeds)
    found = each_seed(one_seed, seeds, arguments.jobs, training, days, assets)
    rows = [row for made_rows, _ in found for row in made_rows]
    seconds = [took for _, took in found]
    worst = min(row["share"] for row in over_seeds(rows) if row["m"] <= HORIZON - 2)
    publish(
        NAME,
        f"Share of the bound on a driftless market, N = {HORIZON}, TWAP orders, {training.steps} steps "
        f"({spread(seconds).mean:.0f} s); lowest for m up to {HORIZON - 2}: {worst:.1%}",
        COLUMNS,
        over_seeds(rows),
        arguments,
        train_seconds=seconds,
        training=training.model_dump(mode="json"),
        by_seed=rows,
    )


if __name__ == "__main__":
    command_line(main)
