"""The frontier: what each strategy keeps after costs against what it risks for it. By it strategies are compared."""

from __future__ import annotations

import pandas as pd
from matplotlib import style
from matplotlib.figure import Figure

from lem.reports import tables
from lem.reports.figures import SETTINGS, WIDTH, Picture, by_strategy, legend, marker_size, style_of, to_svg
from lem.reports.wording import NO_BREAK, label, number

RISKS = {
    "std_bps": ("standard deviation", "left is calmer"),
    "cvar5_bps": (f"mean of the worst 5{NO_BREAK}%", "right is better"),
}
"""What a strategy risks: the column of a `full_table`, its name, and which way is good."""


def frontier(statistics: pd.DataFrame) -> dict[str, Picture]:
    """Mean against standard deviation and against the worst 5 %, all executed orders after costs, by measure of risk.

    Args:
        statistics: from `full_table`; without executed orders there are no pictures.
    """
    pooled = tables.select(statistics, "all", "on")
    return {f"frontier_{risk}": _against(pooled, risk) for risk in RISKS} if len(pooled) else {}


def _against(pooled: pd.DataFrame, risk: str) -> Picture:
    """One point a strategy: its risk to the right, its mean upwards."""
    what, good = RISKS[risk]
    shown = by_strategy(pooled)
    with style.context(["default", SETTINGS]):
        figure = Figure(figsize=(WIDTH, 4.3), layout="constrained")
        axes, parts = figure.subplots(), []
        axes.axhline(0, color="#000000", linewidth=0.8)
        for strategy, rows in shown:
            colour, marker, _ = style_of(strategy, [name for name, _ in shown])
            x, y = float(rows[risk].iloc[0]), float(rows["mean_bps"].iloc[0])
            size = 11 if strategy == tables.MODEL else marker_size(1)
            axes.plot([x], [y], color=colour, marker=marker, linestyle="", markersize=size, label=label(strategy))
            parts.append(f"{label(strategy)}: {number(y)} at {number(x)}.")
        axes.margins(0.12)
        axes.set(xlabel=f"{what} after costs, bps ({good})", ylabel="mean gain after costs, bps (up is good)")
        legend(figure)
        title = f"Mean after costs against the {what}"
        alt = f"Mean gain after costs in bps against the {what}, all executed orders. " + " ".join(parts)
        caption = (
            f"What each strategy keeps, against the {what} of its orders: up is good, {good}. All executed orders."
        )
        return Picture(to_svg(figure, risk.replace("_bps", "-frontier"), title, alt), alt, caption)
