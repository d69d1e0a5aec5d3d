"""How the gains of single orders are distributed."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from matplotlib import style
from matplotlib.figure import Figure

from lem.reports import tables, tallies
from lem.reports.figures import SETTINGS, WIDTH, Picture, by_strategy, legend, listed, style_of, to_svg
from lem.reports.grids import WHEN, Columns, Grid, grid_of
from lem.reports.inputs import ReportInputs
from lem.reports.section import Section
from lem.reports.wording import NO_BREAK, count, label, number, percent

SINGLE: Columns = [
    ("m", "min_bars", str),
    ("Mean", "mean_bps", number),
    ("Mean, sigma", "mean_sigma", lambda value: number(value, 3)),
    ("Median", "median_bps", number),
    ("Std. dev.", "std_bps", number),
    (f"5{NO_BREAK}%", "p5_bps", number),
    (f"95{NO_BREAK}%", "p95_bps", number),
    (f"Worst 5{NO_BREAK}%", "cvar5_bps", number),
    ("Orders above 0", "hit_rate", percent),
    ("Orders", "orders", count),
    ("Blocks", "blocks", count),
]


def stored(_: ReportInputs, orders: pd.DataFrame, __: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The histogram before costs and after."""
    done = tables.executed(orders)
    shares = [tallies.histogram(done, key).assign(costs=key) for key in tables.COSTS] if len(done) else []
    return {"distribution": tables.joined(shares, ["strategy", "low_bps", "high_bps", "share", "costs"])}


def grids(_: ReportInputs, statistics: pd.DataFrame, __: Mapping[str, pd.DataFrame]) -> dict[str, Grid]:
    """All statistics of single orders, before costs and after (`_net`)."""
    found = {}
    for key, when in WHEN.items():
        single = statistics[
            statistics["level"].isin(["m", "all"]) & (statistics["against"] == "") & (statistics["costs"] == key)
        ]
        single = single.sort_values("strategy", key=lambda s: s.map(tables.strategy_rank), kind="stable")
        name = "statistics" if key == "off" else "statistics_net"
        found[name] = grid_of(f"Gain of single orders {when}, bps", single, SINGLE, group="strategy")
    return found


def distribution(shares: pd.DataFrame, pooled: pd.DataFrame, costs: str = "off") -> Picture:
    """Histogram of gains: the model and the rule it must beat first, or the strategies there are.

    Args:
        shares: from `histogram` with these costs.
        pooled: level `all` of a `full_table` with these costs.
        costs: "off" or "on".
    """
    when, rows = WHEN[costs], pooled.set_index("strategy")
    shown = by_strategy(shares)
    with style.context(["default", SETTINGS]):
        figure = Figure(figsize=(WIDTH, 3.3), layout="constrained")
        axes, parts = figure.subplots(), []
        for strategy, part in shown:
            colour, _, dash = style_of(strategy, [name for name, _ in shown])
            edges = [*part["low_bps"], part["high_bps"].iloc[-1]]
            axes.stairs(part["share"] * 100, edges, color=colour, linestyle=dash, linewidth=1.6, label=label(strategy))
            axes.axvline(rows["mean_bps"][strategy], color=colour, linestyle=dash, linewidth=1)
            figures = [rows[name][strategy] for name in ("p5_bps", "median_bps", "p95_bps", "mean_bps")]
            parts.append(f"{label(strategy)}: {listed(['5 %', 'median', '95 %', 'mean'], figures)}.")
        axes.set(xlabel=f"gain {when}, bps (right is good)", ylabel="% of orders")
        legend(figure)
        alt = f"Distribution of gains {when} in bps over all orders. " + " ".join(parts)
        caption = (
            f"Gains of single orders {when}, the outer 0.5{NO_BREAK}% on each side cut off. "
            "Thin vertical lines: the means."
        )
        return Picture(to_svg(figure, f"distribution-{costs}", f"Distribution of gains {when}", alt), alt, caption)


def pictures(statistics: pd.DataFrame, own: Mapping[str, pd.DataFrame]) -> dict[str, Picture]:
    """The histograms before costs and after."""
    shares, found = own["distribution"], {}
    if len(shares):
        for costs, name in (("off", "distribution"), ("on", "distribution_net")):
            pooled = tables.select(statistics, "all", costs)
            found[name] = distribution(shares[shares["costs"] == costs], pooled, costs)
    return found


SECTION = Section(
    "Distribution",
    rows={"distribution": "a bin of the histogram of gains"},
    tables=stored,
    grids=grids,
    pictures=pictures,
)
