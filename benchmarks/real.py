"""The model on real bars that it was not trained on, beside every simple strategy and both bounds.

Crypto: trained on six pairs to the end of March 2021, tested on the year from July 2021, and on four pairs that it has
never seen. Dow: daily bars, trained to the end of 2018, tested from 2019. Every bar is an arrival, without rate limits,
in all eight scenarios and for every m. Gains are in bps, with costs off and on. Differences to optimal stopping are
paired, with intervals from a bootstrap of whole blocks of days across all assets. Optimal stopping and the bound are
given for fills at bar averages, and again for fills as they were in the training window.

Each seed is a training. Means and standard deviations are averages over seeds. The interval of a difference is made of
each order's mean gain over the seeds, so it shows the chance of the days, and not the chance of the training.

Shapes: A = arrivals, M = values of m, S = scenarios.
"""

from __future__ import annotations

import datetime as dt
import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.common import Column, Row, command_line, console, each_seed, parser, publish, spread
from benchmarks.evaluate import MEASURED, Arrivals, Gains, arrivals, bound_gains, gains
from benchmarks.markets import data_root, real_panel, real_universe
from lem.backtest.bootstrap import Interval, block_mean, cvar
from lem.data.panel import Panel
from lem.execution.costs_config import CostsConfig
from lem.execution.orders import SCENARIOS
from lem.model.lem import LEM
from lem.strategies.base import Setting, Strategy
from lem.strategies.bounds import FillLaw, fill_law
from lem.strategies.optimal_stopping import OptimalStopping
from lem.strategies.rules import make_rules
from lem.training.trainer import train
from lem.universe import Universe
from lem.universe.training_config import TrainingConfig

NAME, HORIZON = "real", 12
MIN_BARS = tuple(range(1, HORIZON + 1))
RISK_AVERSION = 1.0
"""The orders' lambda, the same in all scenarios: see `lem.training.objective`."""
SEEN = ("BTC-USDT", "ETH-USDT", "XRP-USDT", "ADA-USDT", "LTC-USDT", "LINK-USDT")
UNSEEN = ("BNB-USDT", "ETC-USDT", "TRX-USDT", "XLM-USDT")
RIVAL = "optimal_stopping"
COLUMNS = (
    Column("market", "market"),
    Column("m", "m", "d"),
    Column("strategy", "strategy"),
    Column("mean_bps", "mean", ".1f"),
    Column("seeds_sd", "sd over seeds", ".2f"),
    Column("sd_bps", "sd", ".1f"),
    Column("cvar_bps", "worst 5 %", ".1f"),
    Column("mean_sigma", "sigma", ".3f"),
    Column("net_bps", "net of costs", ".1f"),
    Column("difference", "minus optimal stopping", "+.2f"),
    Column("low", "from", "+.2f"),
    Column("high", "to", "+.2f"),
    Column("sd_ratio", "sd ratio", ".2f"),
    Column("means_ahead", "means ahead (of 8)", "d"),
    Column("sds_below", "sds below (of 8)", "d"),
)


@dataclass(frozen=True)
class Split:
    """A market with its training and test periods, and how the model is trained for it.

    Args:
        name: shown in the table.
        universe: name of the shipped universe.
        start: first date of training.
        train_end: first date after training.
        test_start: first date of the test.
        test_end: first date after the test.
        training: how the model is trained.
        seen: pairs of the training; if empty, the universe's assets.
        unseen: pairs of the test alone.
        block_days: days of one bootstrap block, at least as many as one order may last.
        quick_days: days before the test that a smoke run reads; they hold more bars than one training sequence.
    """

    name: str
    universe: str
    start: dt.date
    train_end: dt.date
    test_start: dt.date
    test_end: dt.date
    training: TrainingConfig
    seen: tuple[str, ...] = ()
    unseen: tuple[str, ...] = ()
    block_days: int = 1
    quick_days: int = 120

    def quick(self) -> Split:
        """The same in small, for a smoke run: some months, two assets if the split names some, five steps."""
        return replace(
            self,
            start=self.test_start - dt.timedelta(days=self.quick_days),
            train_end=self.test_start,
            test_end=self.test_start + dt.timedelta(days=40),
            training=self.training.model_copy(update={"steps": 5}),
            seen=self.seen[:2],
            unseen=self.unseen[:1],
        )


SPLITS = (
    Split(
        "crypto",
        "crypto",
        dt.date(2018, 7, 1),
        dt.date(2021, 4, 1),
        dt.date(2021, 7, 1),
        dt.date(2022, 6, 29),
        TrainingConfig(),
        SEEN,
        UNSEEN,
    ),
    Split(
        "dow",
        "dow",
        dt.date(2004, 7, 1),
        dt.date(2019, 1, 1),
        dt.date(2019, 1, 1),
        dt.date(2024, 3, 8),
        TrainingConfig(batch=24, sequence=96, steps=400),
        block_days=HORIZON,
        quick_days=400,
    ),
)


def crypto_year(root: str, quick: bool) -> tuple[Split, Universe, Panel, Arrivals]:
    """The crypto split with only the pairs of its training, and the arrivals of its test year."""
    split = next(split for split in SPLITS if split.name == "crypto")
    split = split.quick() if quick else split
    universe = real_universe(split.universe, split.start, split.test_end, split.seen)
    panel = real_panel(universe, root)
    return split, universe, panel, arrivals(panel, split.test_start, split.test_end, HORIZON)


def strategies(model: LEM, law: FillLaw, costs: CostsConfig) -> dict[str, Strategy | LEM]:
    """The rules, and the model whose training window gave the volume curve and the law of the fills."""
    measured: dict[str, Strategy | LEM] = {f"{RIVAL}{MEASURED}": OptimalStopping(law)}
    rules = make_rules(Setting.beside(model, HORIZON, costs))
    return {rule.name: rule for rule in rules} | measured | {"lem": model}


def training_window(panel: Panel, split: Split) -> Panel:
    """The bars that a model is trained on."""
    return (panel.of(split.seen) if split.seen else panel).between(None, split.train_end)


def trained_gains(
    seed: int, panel: Panel, split: Split, universe: Universe, groups: dict[str, Arrivals]
) -> dict[str, Any]:
    """One seed: the model trained before `train_end`, and its gains on each group of arrivals."""
    window = training_window(panel, split)
    started = time.monotonic()
    model = train(
        window, HORIZON, universe.model, split.training.model_copy(update={"seed": seed}), universe.costs
    ).model
    seconds = time.monotonic() - started
    wanted = strategies(model, fill_law(window), universe.costs) if seed == 0 else {"lem": model}
    made = {
        group: {
            name: gains(panel, orders, strategy, MIN_BARS, HORIZON, RISK_AVERSION, universe.costs)
            for name, strategy in wanted.items()
        }
        for group, orders in groups.items()
    }
    return {"seconds": seconds, "gains": made}


def statistics(
    market: str, orders: Arrivals, by_seed: dict[str, list[Gains]], block_days: int
) -> tuple[list[Row], list[Row]]:
    """Rows by m and strategy over all scenarios together, and rows by m, strategy and scenario."""
    together, apart = [], []
    for i, m in enumerate(MIN_BARS):
        rival_AS = by_seed[RIVAL][0].gross_AMS[:, i]
        for name, runs in by_seed.items():
            gross = [run.gross_AMS[:, i] for run in runs]
            mean_AS = np.mean(gross, axis=0)
            rows = []
            for s, scenario in enumerate(SCENARIOS):
                row = _row([g[:, s] for g in gross], [run.net_AMS[:, i, s] for run in runs], orders.sigma_A)
                row |= _difference(mean_AS[:, s] - rival_AS[:, s], orders, block_days)
                rows.append({"market": market, "m": m, "strategy": name, "scenario": str(scenario)} | row)
            every = _row(gross, [run.net_AMS[:, i] for run in runs], orders.sigma_A[:, None])
            every |= _difference((mean_AS - rival_AS).mean(1), orders, block_days)
            mean_S, sd_S = (np.array([row[key] for row in rows]) for key in ("mean_bps", "sd_bps"))
            every |= {
                "sd_ratio": every["sd_bps"] / float(rival_AS.std()),
                "means_ahead": int((mean_S >= rival_AS.mean(0)).sum()),
                "sds_below": int((sd_S < rival_AS.std(0)).sum()),
            }
            together.append({"market": market, "m": m, "strategy": name} | every)
            apart += rows
    return together, apart


def _row(gross: list[NDArray], net: list[NDArray], sigma: NDArray) -> Row:
    means = spread([float(g.mean()) for g in gross])
    return {
        "mean_bps": means.mean,
        "seeds_sd": means.sd,
        "sd_bps": spread([float(g.std()) for g in gross]).mean,
        "cvar_bps": spread([cvar(g.ravel()) for g in gross]).mean,
        "mean_sigma": spread([float((g / sigma).mean()) for g in gross]).mean,
        "net_bps": spread([float(n.mean()) for n in net]).mean,
    }


def _difference(values_A: NDArray, orders: Arrivals, block_days: int) -> Row:
    interval: Interval = block_mean(values_A, orders.day_A, block_days=block_days)
    return {
        "difference": interval.mean,
        "low": interval.low,
        "high": interval.high,
        "orders": interval.orders * len(SCENARIOS),
        "blocks": interval.blocks,
    }


def run(split: Split, root: str, seeds: int, jobs: int) -> tuple[list[Row], list[Row], list[float]]:
    """All rows of one market, and the training times in seconds."""
    universe = real_universe(split.universe, split.start, split.test_end, split.seen + split.unseen)
    panel = real_panel(universe, root)
    console.print(f"{split.name}: {len(panel.assets)} assets, {panel.bars} bars")
    named = {split.name: split.seen, f"{split.name}, unseen": split.unseen} if split.seen else {split.name: ()}
    groups = {
        name: arrivals(panel, split.test_start, split.test_end, HORIZON, assets) for name, assets in named.items()
    }
    law = fill_law(training_window(panel, split))
    console.print(f"{split.name}: fills in the training window: {law}")
    runs = each_seed(trained_gains, range(seeds), jobs, panel, split, universe, groups)
    together: list[Row] = []
    apart: list[Row] = []
    for name, orders in groups.items():
        by_seed = {strategy: [one] for strategy, one in runs[0]["gains"][name].items()}
        by_seed["lem"] = [made["gains"][name]["lem"] for made in runs]
        rows = statistics(name, orders, by_seed, split.block_days)
        together += rows[0]
        apart += rows[1]
        together += bound_gains(name, panel, orders, MIN_BARS, HORIZON, law)
    return together, apart, [made["seconds"] for made in runs]


def main(argv: list[str] | None = None) -> None:
    """Run the benchmark from the command line."""
    made = parser(
        NAME, "the model on real bars, beside every rule and both bounds (LEM_DATA names the folder of the bars)"
    )
    made.add_argument("--market", choices=[split.name for split in SPLITS], help="only this one")
    arguments = made.parse_args(argv)
    root = data_root()
    if root is None:
        console.print("real: LEM_DATA is not set: no real bars here, nothing was measured")
        return
    together: list[Row] = []
    apart: list[Row] = []
    seconds: dict[str, list[float]] = {}
    for split in SPLITS:
        if arguments.market in (None, split.name):
            one = split.quick() if arguments.quick else split
            count = 1 if arguments.quick else arguments.seeds
            rows, detailed, seconds[split.name] = run(one, root, count, arguments.jobs)
            together += rows
            apart += detailed
    publish(
        NAME,
        "Real bars, gains in bps over all eight scenarios",
        COLUMNS,
        together,
        arguments,
        by_scenario=apart,
        train_seconds=seconds,
        risk_aversion=RISK_AVERSION,
    )


if __name__ == "__main__":
    command_line(main)
