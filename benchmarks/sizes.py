"""How what is kept depends on the size of the order and on the assumed impact: one model, every rule, the crypto split.

The model is trained once, with the universe's costs; its orders are told their own size. Each row says whether a rule,
or a member of the family of rules that know costs and risk, keeps as much at an sd as low. Fees and half spread are not
varied: they take the same from every strategy.

Shapes: A = arrivals, S = scenarios.
"""

from __future__ import annotations

from typing import Any

from benchmarks.common import Column, Row, command_line, console, each_seed, one_or_more, parser, publish
from benchmarks.evaluate import Arrivals, gains
from benchmarks.frontier import dominators, point
from benchmarks.markets import data_root
from benchmarks.real import RISK_AVERSION, crypto_year, rules_beside
from benchmarks.splits import HORIZON, Split
from lem.data.panel import Panel
from lem.strategies.bounds import fill_law
from lem.training.trainer import train
from lem.universe import Universe

NAME = "sizes"
MIN_BARS = (1, 6)
CONDITIONS: tuple[dict[str, float], ...] = (
    *({"order_size": size} for size in (0.05, 0.1, 0.2, 0.5, 1.0)),
    *({"impact": impact} for impact in (0.25, 1.0)),
    *({"impact_decay": bars} for bars in (1.0, 3.0)),
)
"""What differs from the universe's costs; with `impact_decay` the impact is transient, which no strategy knows."""
RISK_AVERSIONS = (0.0, 0.25, RISK_AVERSION, 4.0)
"""The lambdas at which one model is used."""
COLUMNS = (
    Column("condition", "costs"),
    Column("m", "m", "d"),
    Column("strategy", "strategy"),
    Column("net_bps", "kept", ".2f"),
    Column("seeds_sd", "sd over seeds", ".2f"),
    Column("net_sd_bps", "sd", ".1f"),
    Column("net_cvar_bps", "worst 5 %", ".1f"),
    Column("dominated", "dominated by", "d"),
)


def one_seed(seed: int, panel: Panel, split: Split, universe: Universe, orders: Arrivals) -> dict[str, Any]:
    """Gains after costs of each condition and strategy, float32 (A, M, S); those of rules for the first seed alone."""
    window = panel.between(None, split.train_end)
    training = split.training.model_copy(update={"seed": seed})
    model = train(window, HORIZON, universe.model, training, universe.costs).model
    found: dict[str, Any] = {}
    for changes in CONDITIONS:
        decay = changes.get("impact_decay", 0.0)
        costs = universe.costs.model_copy(update={key: x for key, x in changes.items() if key != "impact_decay"})
        name = ", ".join(f"{key} {value:g}" for key, value in changes.items())
        made = {
            f"lem, lambda {each:g}": gains(panel, orders, model, MIN_BARS, HORIZON, each, costs, False, decay).net_AMS
            for each in RISK_AVERSIONS
        }
        if seed == 0:
            for rule, strategy in rules_beside(model, fill_law(window), costs).items():
                done = gains(panel, orders, strategy, MIN_BARS, HORIZON, RISK_AVERSION, costs, False, decay)
                made[rule] = done.net_AMS
        found[name] = made
    return found


def main(argv: list[str] | None = None) -> None:
    """Run the benchmark from the command line."""
    made = parser(NAME, "what is kept at other sizes and impacts (LEM_DATA names the folder of the bars)", seeds=1)
    made.add_argument("--every", type=one_or_more, default=9, help="take every n-th arrival alone (default 9)")
    arguments = made.parse_args(argv)
    root = data_root()
    if root is None:
        console.print("sizes: LEM_DATA is not set: no real bars here, nothing was measured")
        return
    split, universe, panel, orders = crypto_year(root, arguments.quick, arguments.every)
    seeds = range(1 if arguments.quick else arguments.seeds)
    runs = each_seed(one_seed, seeds, arguments.jobs, panel, split, universe, orders)
    rows: list[Row] = []
    for condition, strategies in runs[0].items():
        for i, m in enumerate(MIN_BARS):
            points = {
                name: point([run[condition][name][:, i] for run in runs if name in run[condition]])
                for name in strategies
            }
            rules = {name: at for name, at in points.items() if not name.startswith("lem")}
            for name, at in points.items():
                better = dominators(at, rules) if name not in rules else None
                rows.append(
                    {
                        "condition": condition,
                        "m": m,
                        "strategy": name,
                        "net_bps": at.mean,
                        "seeds_sd": at.seeds_sd,
                        "net_sd_bps": at.sd,
                        "net_cvar_bps": at.cvar,
                        "dominated": None if better is None else len(better),
                        "dominated_by": better,
                    }
                )
    publish(NAME, "Kept after costs by size and impact, crypto test year, bps", COLUMNS, rows, arguments)


if __name__ == "__main__":
    command_line(main)
