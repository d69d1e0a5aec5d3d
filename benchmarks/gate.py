"""How often the promotion gate is wrong, and how long a better model waits: years of nightly promotions, simulated.

No model is trained. Every night the gate's own decision function (`lem.gate.judge.compare`) gets the gains of a
candidate, the champion and the rules on the orders of the last days, as a crypto universe has them. Gains before costs
and after are the same here, and so are those of all rules but TWAP. The windows of two successive nights share all days
but one. The orders of a day move together. The candidates of successive nights move together too, as they are trained
on nearly the same data. The spreads are those of a walk-forward run of the crypto universe: day effects of 1 bp between
two models, of 3 bps between a model and the rules.

Three questions, each by the candidate's true edge over the champion (bps): in how many nights is it promoted, how many
nights does it wait, and what does a year of promotions do to the champion?

Shapes: D = days, A = orders of a day, Y = years.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.common import Column, Row, command_line, each_seed, parser, publish
from lem.gate.gains import GateOrders, worth
from lem.gate.judge import PairedComparison, compare
from lem.registry.records import REFUSED
from lem.strategies.rules import RULES_WITH_COSTS
from lem.universe.backtest_config import GateConfig

NAME = "gate"
NIGHTS, WINDOW_DAYS, ORDERS = 365, 14, 24
GAIN, GAIN_SD, DAY_SD = 24.0, 35.0, 8.0
"""Mean of a model's gains, and their standard deviations within a day and between days, in bps."""
MODEL_DAY_SD, RULE_DAY_SD, ORDER_SD = 1.0, 3.0, 8.0
"""Standard deviations in bps: day effect of candidate minus champion, of model minus rule, and noise of one order."""
SHARED = 0.9
"""Share of the day effect's variance that is common to the candidates of all nights."""
EDGES = (-4.0, -2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 4.0)
RULES = (*RULES_WITH_COSTS, "optimal_stopping")
TAILS = (1.0, 1.1, 1.25, 1.5)
"""Factors on a candidate's losses compared with the champion's, at the same mean."""
OVER_RULE = 1.0
"""True edge of the champion over the rules, in bps."""
SIGMA, RISK_AVERSION = 70.0, 1.0
"""Volatility of a bar when an order arrives, in bps, and lambda of the orders."""
QUALITY_SD, BAD_SHARE, BAD_EDGE = 0.7, 0.05, -8.0
"""In a living year: spread of the candidates' true edges, share of trainings that fail, and their edge, in bps."""
COLUMNS = (
    Column("case", "candidate"),
    Column("promoted", "nights promoted", ".1%"),
    Column("mean", "refused for the mean", ".1%"),
    Column("tail", "for the tail", ".1%"),
    Column("rule", "for the rule", ".1%"),
    Column("wait_median", "nights until promoted (median)", ".0f"),
    Column("wait_p90", "(9 of 10 within)", ".0f"),
    Column("champion", "champion's edge at the end (bps)", "+.2f"),
)


@dataclass(frozen=True)
class Market:
    """Gains and day effects of one simulated year, in bps.

    Args:
        common_DA: gains of the champion.
        rule_D: day effects of the champion against the rule.
        shared_D: day effects of every candidate against the champion.
    """

    common_DA: NDArray
    rule_D: NDArray
    shared_D: NDArray


def market(rng: np.random.Generator, nights: int) -> Market:
    """A year of days, and before it the window of its first night."""
    days = nights + WINDOW_DAYS
    common_DA = GAIN + DAY_SD * rng.standard_normal((days, 1)) + GAIN_SD * rng.standard_normal((days, ORDERS))
    shared_D = MODEL_DAY_SD * np.sqrt(SHARED) * rng.standard_normal(days)
    return Market(common_DA, RULE_DAY_SD * rng.standard_normal(days), shared_D)


def night(
    world: Market, first: int, edge: float, tail: float, rng: np.random.Generator, level: float = 0.0
) -> pd.DataFrame:
    """The gate's orders of one night: arrival, and gains (bps) of candidate, champion, the rules and TWAP.

    Args:
        world: the year.
        first: first day of the night's window.
        edge: true edge of the candidate over the first champion, in bps.
        tail: factor on the candidate's losses.
        rng: of the noise.
        level: true edge of the champion over the first champion, in bps.
    """
    rows = slice(first, first + WINDOW_DAYS)
    common_DA = world.common_DA[rows]
    own_D = world.shared_D[rows] + MODEL_DAY_SD * np.sqrt(1 - SHARED) * rng.standard_normal(WINDOW_DAYS)
    noise_DA = ORDER_SD * rng.standard_normal(common_DA.shape)
    stretched_DA = common_DA if tail == 1.0 else np.where(common_DA < 0, tail * common_DA, common_DA)
    moved_DA = stretched_DA - (stretched_DA.mean() - common_DA.mean())
    gains = {
        "candidate": moved_DA + edge + own_D[:, None] + noise_DA,
        "champion": common_DA + level,
        **dict.fromkeys(RULES, common_DA - OVER_RULE - world.rule_D[rows][:, None]),
        "twap": common_DA - GAIN,
    }
    start = pd.Timestamp("2024-01-01", tz="UTC") + pd.Timedelta(first, "D")
    arrival = start + pd.to_timedelta(np.repeat(np.arange(WINDOW_DAYS), ORDERS), unit="D")
    return pd.DataFrame({"arrival": arrival} | {name: values.ravel() for name, values in gains.items()})


def gate_orders(gains: pd.DataFrame) -> GateOrders:
    """The gains of `night` as the gate reads them."""
    net = gains.drop(columns="arrival")
    return GateOrders(gains["arrival"], net, net, worth(net, SIGMA, RISK_AVERSION))


def reasons(texts: list[str]) -> Row:
    """Which of the gate's three rules refused, from its reasons."""
    refused = [text for text in texts if text.startswith(REFUSED)]
    words = {"mean": "mean gain after costs", "tail": "worst 5 %", "rule": "needs no training"}
    return {name: any(word in text for text in refused) for name, word in words.items()}


def still_year(seed: int, case: str, edge: float, tail: float, nights: int, how: PairedComparison) -> list[Row]:
    """A year in which the champion never changes: each night's answer about a new candidate with this edge."""
    rng = np.random.default_rng([seed, round(1000 * edge) + 100_000, round(1000 * tail)])
    world, rows = market(rng, nights), []
    for first in range(nights):
        verdict = compare(gate_orders(night(world, first, edge, tail, rng)), how)
        rows.append({"case": case, "promoted": verdict.decision == "promoted"} | reasons(verdict.reasons))
    return rows


def living_year(seed: int, rule: str, nights: int, how: PairedComparison) -> float:
    """The champion's true edge over the first champion, mean over the last quarter of a year (bps).

    Args:
        seed: of the year.
        rule: `gate`, `always` (every candidate is promoted) or `surely better` (its interval must lie above zero).
        nights: of the year.
        how: the gate's settings.
    """
    rng = np.random.default_rng([seed, 77])
    world, level, levels = market(rng, nights), 0.0, []
    for first in range(nights):
        bad, quality = rng.random() < BAD_SHARE, QUALITY_SD * rng.standard_normal()
        edge = BAD_EDGE if bad else quality
        orders = night(world, first, edge, 1.0, rng, level)
        if rule == "always":
            taken = True
        else:
            verdict = compare(gate_orders(orders), how)
            gate = verdict.figures.gate
            low = gate.net_candidate_minus_champion.low_bps if gate and gate.net_candidate_minus_champion else None
            taken = verdict.decision == "promoted" and (rule == "gate" or (low is not None and low > 0))
        level = edge if taken else level
        levels.append(level)
    return float(np.mean(levels[-max(1, nights // 4) :]))


def one_seed(seed: int, nights: int, how: PairedComparison) -> tuple[list[Row], Row]:
    """All nights of one year of every case, and for each rule the champion's edge after a living year."""
    rows = [row for edge in EDGES for row in still_year(seed, f"{edge:+.1f} bps", edge, 1.0, nights, how)]
    for tail in TAILS[1:]:
        rows += still_year(seed, f"losses x {tail:g}", 0.0, tail, nights, how)
    return rows, {rule: living_year(seed, rule, nights, how) for rule in ("gate", "always", "surely better")}


def waits(promoted_YN: NDArray) -> NDArray:
    """Nights until the next promotion in the same year, from each night on that has one."""
    out = []
    for promoted_N in promoted_YN:
        (when,) = np.nonzero(promoted_N)
        if len(when):
            starts = np.arange(when[-1] + 1)
            out.append(when[np.searchsorted(when, starts)] - starts + 1)
    return np.concatenate(out) if out else np.array([np.nan])


def main(argv: list[str] | None = None) -> None:
    """Run the benchmark from the command line."""
    made = parser(NAME, "wrong promotions and the delay of right ones over years of simulated nights", seeds=2)
    arguments = made.parse_args(argv)
    nights = 20 if arguments.quick else NIGHTS
    how = PairedComparison(GateConfig(), block_days=1, resamples=200 if arguments.quick else 500, seed=0)
    years = each_seed(one_seed, range(1 if arguments.quick else arguments.seeds), arguments.jobs, nights, how)
    rows: list[Row] = []
    for case in dict.fromkeys(row["case"] for row in years[0][0]):
        by_year = [[row for row in nights_of if row["case"] == case] for nights_of, _ in years]
        mine = [row for year in by_year for row in year]
        wait = waits(np.array([[row["promoted"] for row in year] for year in by_year]))
        shares = {key: float(np.mean([row[key] for row in mine])) for key in ("promoted", "mean", "tail", "rule")}
        quantiles = {"wait_median": float(np.median(wait)), "wait_p90": float(np.quantile(wait, 0.9))}
        rows.append({"case": case, **shares, **quantiles, "champion": None, "nights": len(mine)})
    for rule in years[0][1]:
        edges = [living[rule] for _, living in years]
        blank = dict.fromkeys(("promoted", "mean", "tail", "rule", "wait_median", "wait_p90"))
        name = f"a year of changing candidates, promoted: {rule}"
        rows.append({"case": name, **blank, "champion": float(np.mean(edges)), "by_year": edges})
    publish(
        NAME,
        f"The promotion gate over {len(years)} years of {nights} nights, {WINDOW_DAYS} days of orders each",
        COLUMNS,
        rows,
        arguments,
        settings={
            "gate": how.gate.model_dump(),
            "resamples": how.resamples,
            "model_day_sd_bps": MODEL_DAY_SD,
            "rule_day_sd_bps": RULE_DAY_SD,
            "order_sd_bps": ORDER_SD,
            "shared": SHARED,
            "over_rule_bps": OVER_RULE,
            "sigma_bps": SIGMA,
            "risk_aversion": RISK_AVERSION,
            "quality_sd_bps": QUALITY_SD,
            "bad_share": BAD_SHARE,
            "bad_edge_bps": BAD_EDGE,
        },
    )


if __name__ == "__main__":
    command_line(main)
