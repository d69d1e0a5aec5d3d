"""The model on real bars that it was not trained on: what is kept after costs, at which risk, beside every rule.

Crypto: trained on six pairs to the end of March 2021, tested on the year from July 2021, and on four pairs that it has
never seen. Dow: daily bars, trained to the end of 2018, tested from 2019. `--split FILE` names other bars and dates
(`benchmarks.splits`). Every bar is an arrival, in all eight scenarios. Beside the model stand every rule, the family of
the rule that knows costs and risk over its one number, and the bounds.

Each seed is a training; one model serves all risk aversions. Figures are averages over seeds. The differences at equal
risk are of each order's mean gain over the seeds, so their intervals show the chance of the days, and not the chance of
the training; they hold for all comparisons of a table together (`lem.backtest.bootstrap.simultaneous_means`).

Shapes: A = arrivals, M = values of m, S = scenarios.
"""

from __future__ import annotations

import pickle
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.common import (
    BenchmarkError,
    Column,
    Row,
    command_line,
    console,
    each_seed,
    one_or_more,
    parser,
    publish,
    show,
)
from benchmarks.evaluate import MEASURED, Arrivals, Gains, arrivals, bound_gains, gains
from benchmarks.frontier import at_equal_risk, compared, dominators, draw, point
from benchmarks.markets import data_root, real_panel
from benchmarks.slices import (
    MARKED,
    MARKED_RULES,
    MARKOUTS,
    SHORTFALLS,
    SLICES,
    marked_rows,
    market_slices,
    slice_rows,
)
from benchmarks.splits import HORIZON, Split, read_split, shipped_splits
from lem.code import code_version
from lem.data.panel import Panel
from lem.execution.costs_config import CostsConfig
from lem.execution.orders import SCENARIOS, Benchmark
from lem.model.lem import LEM
from lem.strategies.base import Setting, Strategy
from lem.strategies.bounds import FillLaw, fill_law
from lem.strategies.optimal_stopping import OptimalStopping
from lem.strategies.optimal_with_risk import RISKS, OptimalWithRisk
from lem.strategies.rules import make_rules
from lem.training.trainer import train
from lem.universe import Universe

NAME = "real"
MIN_BARS = (1, 3, 6, 9, 11, 12)
RISK_AVERSION = 1.0
"""The orders' lambda where nothing else is said: see `lem.training.objective`."""
RISK_AVERSIONS = (0.0, 0.1, 0.25, 0.5, 0.7, 1.0, 2.0, 4.0)
"""The lambdas at which one model is used after costs, near enough to each other to meet a rule at its own sd."""
FAMILY = "optimal_with_risk "
"""Before the number of a member of the family of rules that know costs and risk."""
COLUMNS = (
    Column("market", "market"),
    Column("m", "m", "d"),
    Column("strategy", "strategy"),
    Column("net_bps", "kept", ".1f"),
    Column("seeds_sd", "sd over seeds", ".2f"),
    Column("net_sd_bps", "sd", ".1f"),
    Column("net_cvar_bps", "worst 5 %", ".1f"),
    Column("dominated", "dominated by", "d"),
    Column("mean_bps", "before costs", ".1f"),
    Column("sd_bps", "sd", ".1f"),
    Column("cvar_bps", "worst 5 %", ".1f"),
    Column("net_sigma", "kept, sigma", ".3f"),
    Column("tracking_mad", "|gain| against VWAP", ".2f"),
)
AHEAD = (
    Column("market", "market"),
    Column("m", "m", "d"),
    Column("rule", "rule"),
    Column("model", "model at no larger sd"),
    Column("difference", "kept more", "+.2f"),
    Column("low", "from", "+.2f"),
    Column("high", "to", "+.2f"),
)
MODEL = f"lem, lambda {RISK_AVERSION:g}"
"""The model in the tables of slices, shortfall and mark-outs."""
TABLES = {
    "slices": (f"Kept after costs in slices of the market, bps; {MODEL}", SLICES),
    "shortfall": ("Paid against the arrival price, after costs, bps", SHORTFALLS),
    "markouts": ("The market's move after the order's last bar, in its direction, bps", MARKOUTS),
}
JOINTLY = "(intervals hold for all rows of a market together)"


def crypto_year(root: str, quick: bool, every: int = 1) -> tuple[Split, Universe, Panel, Arrivals]:
    """The crypto split with only the pairs of its training, and every n-th arrival of its test year."""
    split = shipped_splits()[0]
    split = split.quick() if quick else split
    seen = {"assets": {name: split.universe.assets[name] for name in split.seen}}
    universe = Universe.model_validate(split.universe.model_dump() | seen)
    panel = real_panel(universe, root)
    return split, universe, panel, arrivals(panel, split.test_start, split.test_end, HORIZON, every=every)


def rules_beside(model: LEM, law: FillLaw, costs: CostsConfig) -> dict[str, Strategy]:
    """Every rule, with what was fitted on the model's training window, and the family of the rule that fears risk."""
    rules: dict[str, Strategy] = {rule.name: rule for rule in make_rules(Setting.beside(model, HORIZON, costs))}
    rules[f"optimal_stopping{MEASURED}"] = OptimalStopping(law)
    return rules | {f"{FAMILY}{risk:g}": OptimalWithRisk(risk) for risk in RISKS}


def training_window(panel: Panel, split: Split) -> Panel:
    """The bars that a model is trained on."""
    return (panel.of(split.seen) if split.seen else panel).between(None, split.train_end)


def seed_gains(seed: int, panel: Panel, split: Split, groups: dict[str, Arrivals], keep: Path | None) -> dict[str, Any]:
    """One seed: the model trained before `train_end`, and its gains on each group of arrivals, in float32.

    With `keep` the figures are written there as soon as they are known, and read from there where they are.

    Raises:
        BenchmarkError: what lies in `keep` is of other code or settings.
    """
    universe, training = split.universe, split.training.model_copy(update={"seed": seed})
    counts = {name: len(orders.bar_A) for name, orders in groups.items()}
    said = repr((code_version(), split, universe.model, training, universe.costs, counts))
    place = keep / f"{split.name}-seed{seed}.pickle" if keep else None
    if place and place.exists():
        kept: dict[str, Any] = pickle.loads(place.read_bytes())
        if kept["said"] != said:
            raise BenchmarkError(f"--keep {place}: of other code or settings; allowed: a folder of this run alone")
        return kept
    window, started = training_window(panel, split), time.monotonic()
    model = train(window, HORIZON, universe.model, training, universe.costs).model
    seconds = time.monotonic() - started
    made: dict[str, dict[str, Gains]] = {}
    for group, orders in groups.items():
        found = {
            f"lem, lambda {each:g}": gains(
                panel,
                orders,
                model,
                MIN_BARS,
                HORIZON,
                each,
                universe.costs,
                before_costs=each == RISK_AVERSION,
                marked=MARKED if each == RISK_AVERSION else (),
            )
            for each in RISK_AVERSIONS
        }
        if seed == 0:
            for name, rule in rules_beside(model, fill_law(window), universe.costs).items():
                both = not name.startswith(FAMILY)
                marked = MARKED if name in MARKED_RULES else ()
                terms = MIN_BARS, HORIZON, RISK_AVERSION, universe.costs
                found[name] = gains(panel, orders, rule, *terms, before_costs=both, marked=marked)
        made[group] = found
    document = {"said": said, "seconds": seconds, "rule_risk": float(model.rule_risk), "gains": made}
    if place:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.with_suffix(".part").write_bytes(pickle.dumps(document))
        place.with_suffix(".part").rename(place)
    return document


def statistics(
    market: str, orders: Arrivals, by_seed: dict[str, list[Gains]], block_days: int
) -> tuple[list[Row], list[Row]]:
    """Rows by m and strategy over all scenarios, and rows of the comparisons at equal risk."""
    rows: list[Row] = []
    differences: dict[tuple[int, str], tuple[str, NDArray]] = {}
    against_vwap = [s for s, scenario in enumerate(SCENARIOS) if scenario.benchmark is Benchmark.VWAP]
    for i, m in enumerate(MIN_BARS):
        net = {name: [run.net_AMS[:, i] for run in runs] for name, runs in by_seed.items()}
        rules = {name: runs for name, runs in net.items() if not name.startswith("lem")}
        models = {name: runs for name, runs in net.items() if name.startswith("lem")}
        points = {name: point(runs) for name, runs in net.items()}
        for name, runs in by_seed.items():
            gross = [run.gross_AMS[:, i] for run in runs if run.gross_AMS is not None]
            before, after = point(gross) if gross else None, points[name]
            tracked = [float(np.abs(each[:, against_vwap]).mean()) for each in gross]
            better = dominators(after, {rule: points[rule] for rule in rules}) if name in models else []
            rows.append(
                {
                    "market": market,
                    "m": m,
                    "strategy": name,
                    "net_bps": after.mean,
                    "seeds_sd": after.seeds_sd,
                    "net_sd_bps": after.sd,
                    "net_cvar_bps": after.cvar,
                    "dominated": len(better) if name in models else None,
                    "dominated_by": better,
                    "mean_bps": before.mean if before else None,
                    "sd_bps": before.sd if before else None,
                    "cvar_bps": before.cvar if before else None,
                    "net_sigma": float(np.mean([(g / orders.sigma_A[:, None]).mean() for g in net[name]])),
                    "tracking_mad": float(np.mean(tracked)) if m == HORIZON and tracked else None,
                }
            )
        if m < HORIZON:
            differences |= {(m, rule): found for rule, found in at_equal_risk(rules, models).items()}
    ahead = compared(differences, orders.day_A, block_days)
    return rows, [{"market": market} | row for row in ahead]


def run(
    split: Split, root: str, seeds: int, jobs: int, every: int, keep: Path | None
) -> tuple[dict[str, list[Row]], Row]:
    """The rows of each table of one market, by name, and what was measured of the trainings."""
    panel = real_panel(split.universe, root)
    console.print(f"{split.name}: {len(panel.assets)} assets, {panel.bars} bars")
    named = {split.name: split.seen, f"{split.name}, unseen": split.unseen} if split.seen else {split.name: ()}
    groups = {
        name: arrivals(panel, split.test_start, split.test_end, HORIZON, assets, every)
        for name, assets in named.items()
    }
    law = fill_law(training_window(panel, split))
    console.print(f"{split.name}: fills in the training window: {law}")
    runs = each_seed(seed_gains, range(seeds), jobs, panel, split, groups, keep)
    found: dict[str, list[Row]] = {name: [] for name in ("rows", "at_equal_risk", *TABLES)}
    for name, orders in groups.items():
        by_seed = {
            strategy: [made["gains"][name][strategy] for made in runs if strategy in made["gains"][name]]
            for strategy in runs[0]["gains"][name]
        }
        rows, ahead = statistics(name, orders, by_seed, split.block_days)
        found["rows"] += rows + bound_gains(name, panel, orders, MIN_BARS, HORIZON, law, split.universe.costs)
        found["at_equal_risk"] += ahead
        at = MODEL, MIN_BARS, split.block_days
        found["slices"] += slice_rows(name, market_slices(panel, orders), orders, by_seed, *at)
        paid, outs = marked_rows(name, orders, by_seed, *at)
        found["shortfall"] += paid
        found["markouts"] += outs
    told = {"train_seconds": [made["seconds"] for made in runs], "rule_risk": [made["rule_risk"] for made in runs]}
    return found, told


def main(argv: list[str] | None = None) -> None:
    """Run the benchmark from the command line."""
    made = parser(NAME, "what the model keeps on real bars, beside every rule and the bounds (LEM_DATA: their folder)")
    chosen = made.add_mutually_exclusive_group()
    chosen.add_argument("--market", choices=("crypto", "dow"), help="only this one")
    chosen.add_argument("--split", type=Path, help="a TOML file that names a universe, dates of training and of test")
    made.add_argument("--keep", type=Path, help="folder for each seed's figures; those there are not made again")
    made.add_argument("--every", type=one_or_more, default=1, help="take every n-th arrival alone (default 1: all)")
    arguments = made.parse_args(argv)
    root = data_root()
    if root is None:
        console.print("real: LEM_DATA is not set: no real bars here, nothing was measured")
        return
    splits = [read_split(arguments.split)] if arguments.split else shipped_splits()
    found: dict[str, list[Row]] = {}
    told: dict[str, Row] = {}
    for split in splits:
        if arguments.market in (None, split.name):
            one = split.quick() if arguments.quick else split
            count = 1 if arguments.quick else arguments.seeds
            more, told[split.name] = run(one, root, count, arguments.jobs, arguments.every, arguments.keep)
            for name, rows in more.items():
                found.setdefault(name, []).extend(rows)
    rows, ahead = found.pop("rows"), found.pop("at_equal_risk")
    show(f"After costs, at no larger sd than each rule, bps {JOINTLY}", AHEAD, ahead)
    for name, (title, columns) in TABLES.items():
        show(f"{title} {JOINTLY}", columns, found[name])
    path = publish(
        NAME,
        "Real bars, bps over all eight scenarios; kept: after costs",
        COLUMNS,
        rows,
        arguments,
        at_equal_risk=ahead,
        slices=found["slices"],
        shortfall=found["shortfall"],
        markouts=found["markouts"],
        trainings=told,
        risk_aversions=list(RISK_AVERSIONS),
    )
    for market in dict.fromkeys(str(row["market"]) for row in rows):
        picture = path.with_name(f"{path.stem}-{market.replace(', ', '-')}.svg")
        draw(rows, market, MIN_BARS[:4], picture)
        console.print(f"drawn: {picture}")


if __name__ == "__main__":
    command_line(main)
