"""What each part of the model contributes to what is kept after costs: the model without it, on the crypto split.

A variant's figures stand beside the full model's on the same orders, with the same seeds and steps. If the difference
is within the spread over seeds, the part does not help here.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from benchmarks.common import Column, Row, command_line, console, each_seed, one_or_more, parser, publish, spread
from benchmarks.evaluate import Arrivals, gains
from benchmarks.markets import data_root
from benchmarks.real import RISK_AVERSION, crypto_year
from benchmarks.splits import HORIZON, Split
from lem.backtest.bootstrap import cvar
from lem.data.features import FEATURES
from lem.data.panel import Panel
from lem.execution.orders import SCENARIOS, Benchmark
from lem.training.trainer import train
from lem.universe import Universe

NAME = "ablation"
MIN_BARS = (1, 6, HORIZON)
COLUMNS = (
    Column("variant", "variant"),
    Column("parameters", "parameters", ",d"),
    Column("m1_bps", "kept, m = 1", ".2f"),
    Column("m1_seeds", "sd over seeds", ".2f"),
    Column("m1_sd", "sd", ".1f"),
    Column("m1_cvar", "worst 5 %", ".1f"),
    Column("m6_bps", "kept, m = 6", ".2f"),
    Column("m6_seeds", "sd over seeds", ".2f"),
    Column("m6_sd", "sd", ".1f"),
    Column("m6_cvar", "worst 5 %", ".1f"),
    Column("vwap_sd", "tracking VWAP, sd", ".1f"),
    Column("seconds", "training, s", ".0f"),
)


@dataclass(frozen=True)
class Variant:
    """What differs from the default.

    Args:
        name: shown in the table.
        model: fields of the model's configuration.
        training: fields of the training's configuration.
        without: features that are left out.
        risk_aversion: the orders' lambda.
    """

    name: str
    model: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    without: tuple[str, ...] = ()
    risk_aversion: float = RISK_AVERSION


VARIANTS = (
    Variant("full"),
    Variant("LSTM for TKAN", {"recurrence": "lstm"}),
    Variant("no recurrence", {"recurrence": "none"}),
    Variant("no variable selection", {"variable_selection": False}),
    Variant("no attention", {"attention": False}),
    Variant("no close-to-VWAP", without=("close_to_vwap",)),
    Variant("one head for all scenarios", {"independent_heads": False}),
    Variant("no risk term", training={"risk_aversion": (0.0, 0.01)}, risk_aversion=0.0),
    Variant("no mirrored sequences", training={"mirror": False}),
    Variant("no theory below the heads", {"base": "even"}),
    Variant("signs of returns in the context", {"signed": True}),
    Variant("no martingale out of the mean", training={"direction": 1.0, "direction_vwap": 1.0}),
    Variant("the martingale wholly out of the mean", training={"direction_vwap": 0.0}),
    Variant("deviation for shortfall", training={"risk": "deviation"}),
)


def without(panel: Panel, names: tuple[str, ...]) -> Panel:
    """The panel with the named features always 0."""
    features_NTF = panel.features_NTF.copy()
    features_NTF[..., [FEATURES.index(name) for name in names]] = 0.0
    return replace(panel, features_NTF=features_NTF)


def one_seed(
    seed: int, panel: Panel, split: Split, universe: Universe, orders: Arrivals, variants: tuple[Variant, ...]
) -> list[Row]:
    """One row for each variant."""
    rows = []
    vwap = np.array([scenario.benchmark is Benchmark.VWAP for scenario in SCENARIOS])
    for variant in variants:
        market = without(panel, variant.without) if variant.without else panel
        training = split.training.model_copy(update=variant.training | {"seed": seed})
        config = universe.model.model_copy(update=variant.model)
        started = time.monotonic()
        model = train(market.between(None, split.train_end), HORIZON, config, training, universe.costs).model
        seconds = time.monotonic() - started
        made = gains(market, orders, model, MIN_BARS, HORIZON, variant.risk_aversion, universe.costs)
        net_AMS, tracking_S = made.net_AMS, made.before_AMS[:, 2].std(0)
        row: Row = {"seed": seed, "variant": variant.name}
        row["parameters"] = sum(parameter.numel() for parameter in model.parameters())
        for i, m in enumerate(MIN_BARS[:2]):
            row |= {f"m{m}_bps": float(net_AMS[:, i].mean()), f"m{m}_sd": float(net_AMS[:, i].std())}
            row[f"m{m}_cvar"] = cvar(net_AMS[:, i].ravel())
        row |= {"vwap_sd": float(tracking_S[vwap].mean()), "seconds": seconds}
        rows.append(row)
    return rows


def main(argv: list[str] | None = None) -> None:
    """Run the benchmark from the command line."""
    made = parser(NAME, "what each part of the model contributes (LEM_DATA names the folder of the bars)", seeds=3)
    names = [variant.name for variant in VARIANTS]
    made.add_argument("--variant", action="append", choices=names, help="only these, beside the full model")
    made.add_argument("--steps", type=one_or_more, help="training steps (default: those of `benchmarks.real`)")
    made.add_argument("--every", type=one_or_more, default=3, help="take every n-th arrival alone (default 3)")
    arguments = made.parse_args(argv)
    root = data_root()
    if root is None:
        console.print("ablation: LEM_DATA is not set: no real bars here, nothing was measured")
        return
    split, universe, panel, orders = crypto_year(root, arguments.quick, arguments.every)
    if arguments.steps and not arguments.quick:
        split = replace(split, training=split.training.model_copy(update={"steps": arguments.steps}))
    wanted = tuple(v for v in VARIANTS if not arguments.variant or v.name in ("full", *arguments.variant))
    seeds = range(1 if arguments.quick else arguments.seeds)
    found = [
        row
        for rows in each_seed(one_seed, seeds, arguments.jobs, panel, split, universe, orders, wanted)
        for row in rows
    ]
    rows = []
    for variant in wanted:
        mine = [row for row in found if row["variant"] == variant.name]
        row: Row = {key: spread([m[key] for m in mine]).mean for key in mine[0] if key not in ("seed", "variant")}
        row |= {f"m{m}_seeds": spread([r[f"m{m}_bps"] for r in mine]).sd for m in MIN_BARS[:2]}
        rows.append(row | {"variant": variant.name, "parameters": mine[0]["parameters"]})
    title = f"Without each part: crypto test year, all scenarios, bps, {split.training.steps} steps"
    publish(NAME, title, COLUMNS, rows, arguments, by_seed=found)


if __name__ == "__main__":
    command_line(main)
