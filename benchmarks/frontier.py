"""Mean against risk after costs: who dominates whom, and by how much at equal risk, adjusted for the comparisons made.

Shapes: A = arrivals, S = scenarios, C = cells (comparisons that are made together).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from benchmarks.common import Row, spread
from lem.backtest.bootstrap import Interval, cvar, simultaneous_means


@dataclass(frozen=True)
class Point:
    """A strategy on the frontier of one m, in bps; means over seeds.

    Args:
        mean: of the gains.
        sd: of the gains of single orders.
        cvar: mean of the worst 5 %.
        seeds_sd: standard deviation of the mean over seeds; NaN of one.
    """

    mean: float
    sd: float
    cvar: float
    seeds_sd: float


def point(runs: Sequence[NDArray]) -> Point:
    """Where a strategy lies.

    Args:
        runs: gains of each seed, bps, (A, S).
    """
    means = spread([float(gains_AS.mean()) for gains_AS in runs])
    return Point(
        means.mean,
        spread([float(gains_AS.std()) for gains_AS in runs]).mean,
        spread([cvar(gains_AS.ravel()) for gains_AS in runs]).mean,
        means.sd,
    )


def dominators(one: Point, others: Mapping[str, Point]) -> list[str]:
    """The strategies whose mean is as high at an sd as low."""
    return [name for name, other in others.items() if other.mean >= one.mean and other.sd <= one.sd]


def at_equal_risk(
    rules: Mapping[str, Sequence[NDArray]], models: Mapping[str, Sequence[NDArray]]
) -> dict[str, tuple[str, NDArray]]:
    """For each rule the model of the highest mean whose sd is no larger, and the difference of their gains, (A,).

    A rule with a smaller sd than every model has none.

    Args:
        rules: gains of each seed, bps, (A, S), by rule.
        models: likewise, of one model at several risk aversions.
    """
    points = {name: point(runs) for name, runs in models.items()}
    found = {}
    for rule, runs in rules.items():
        most = point(runs).sd
        fit = {name: at.mean for name, at in points.items() if at.sd <= most}
        if fit:
            best = max(fit, key=lambda name: fit[name])
            ours, theirs = (np.mean(each, axis=0).mean(axis=1) for each in (models[best], runs))
            found[rule] = best, ours - theirs
    return found


def compared(differences: Mapping[tuple[int, str], tuple[str, NDArray]], days: NDArray, block_days: int) -> list[Row]:
    """One row a comparison, with an interval that holds for all of them together.

    Args:
        differences: by m and rule: the model's name, and the differences of the arrivals, bps, (A,).
        days: of the arrivals.
        block_days: days of one bootstrap block.
    """
    if not differences:
        return []
    values_AC = np.stack([values_A for _, values_A in differences.values()], axis=1)
    intervals: list[Interval] = simultaneous_means(values_AC, days, block_days=block_days)
    return [
        {
            "m": m,
            "rule": rule,
            "model": model,
            "difference": interval.mean,
            "low": interval.low,
            "high": interval.high,
            "comparisons": len(differences),
            "blocks": interval.blocks,
        }
        for ((m, rule), (model, _)), interval in zip(differences.items(), intervals, strict=True)
    ]


def draw(rows: Sequence[Row], market: str, min_bars: Sequence[int], path: Path) -> None:
    """Write an SVG: what is kept against sd and against the worst 5 %, a column an m; family and model as lines.

    Rules far below (TWAP, bang-bang, volume curve) are left out, so that the others can be told apart.

    Args:
        rows: of `benchmarks.real`.
        market: the one that is drawn.
        min_bars: the values of m that are drawn.
        path: of the file.
    """
    figure = Figure(figsize=(3.6 * len(min_bars), 6.4), layout="constrained")
    risks = (("net_sd_bps", "standard deviation, bps"), ("net_cvar_bps", "mean of the worst 5 %, bps"))
    for line, (key, words) in zip(np.atleast_2d(figure.subplots(2, len(min_bars), squeeze=False)), risks, strict=True):
        for axes, m in zip(line, min_bars, strict=True):
            here = [row for row in rows if (row["market"], row["m"]) == (market, m) and row.get(key) is not None]
            for prefix, label, style in (
                ("lem, ", "LEM over lambda", "o-"),
                ("optimal_with_risk ", "optimal with costs, over its price of risk", "s--"),
                ("optimal_stopping", "optimal stopping, knows no costs", "^"),
            ):
                own = [r for r in here if r["strategy"].startswith(prefix) and "measured" not in r["strategy"]]
                axes.plot([r[key] for r in own], [r["net_bps"] for r in own], style, label=label, markersize=4)
            axes.set(title=f"m = {m}", xlabel=words, ylabel="mean kept after costs, bps")
            axes.grid(alpha=0.3)
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=3, fontsize=8)
    figure.savefig(path, format="svg", metadata={"Date": None})
