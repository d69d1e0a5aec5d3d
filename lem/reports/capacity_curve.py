"""What is kept at other sizes of the order and at other costs, from the stored gains: tables and a picture."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib import style
from matplotlib.figure import Figure
from numpy.typing import NDArray

from lem.backtest.bootstrap import cvar
from lem.backtest.capacity import break_even, kept
from lem.execution.costs_config import CostsConfig
from lem.reports.figures import SETTINGS, WIDTH, Picture, by_strategy, legend, listed, style_of, to_svg
from lem.reports.grids import Grid
from lem.reports.tables import MODEL, RIVALS, executed, strategy_rank
from lem.reports.wording import NO_BREAK, label, number, size

SIZES = (0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 1.0)
"""Sizes of the curve, in trailing mean bar volumes; the traded size is added where it is another."""
IMPACTS = (0.5, 1.0, 2.0)
"""Multiples of the assumed impact."""
FEES_BPS = (0.0, 1.0, 2.0)
"""On top of the assumed fee."""
POINT = {"mean_bps": "mean", "std_bps": "standard deviation", "cvar5_bps": f"mean of the worst 5{NO_BREAK}%"}
"""What is shown of the gains: columns and names."""
SIZES_COLUMNS = ["strategy", "size", "traded", *POINT]
SENSITIVITY_COLUMNS = ["strategy", "impact", "fee_bps", *POINT, "break_even_impact", "break_even_fee_bps"]


def _point(kept_O: NDArray[np.float64]) -> dict[str, float]:
    std = float(kept_O.std(ddof=1)) if len(kept_O) > 1 else np.nan
    return {"mean_bps": float(kept_O.mean()), "std_bps": std, "cvar5_bps": cvar(kept_O)}


def _gains(orders: pd.DataFrame) -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Gains before costs under the cap, and after costs, of the model and the rules that it is compared with."""
    done = executed(orders)
    names = sorted({MODEL, *RIVALS} & set(done["strategy"].unique()), key=strategy_rank)
    parts = {name: done[done["strategy"] == name] for name in names}
    return {
        name: (part["capped_gain_bps"].to_numpy(float), part["net_gain_bps"].to_numpy(float))
        for name, part in parts.items()
    }


def sizes_table(orders: pd.DataFrame, costs: CostsConfig) -> pd.DataFrame:
    """A row for each strategy and size: `SIZES_COLUMNS`.

    Args:
        orders: prepared (`lem.reports.prepared.prepare_orders`).
        costs: those that the backtest charged.
    """
    rows = [
        {"strategy": name, "size": volumes, "traded": volumes == costs.order_size}
        | _point(kept(*gains, costs, size=volumes))
        for name, gains in _gains(orders).items()
        for volumes in sorted({*SIZES, costs.order_size})
    ]
    return pd.DataFrame(rows, columns=SIZES_COLUMNS)


def sensitivity_table(orders: pd.DataFrame, costs: CostsConfig) -> pd.DataFrame:
    """A row for each strategy, multiple of the impact and fee on top: `SENSITIVITY_COLUMNS`.

    `break_even_impact` is the multiple at which the mean is zero with the row's fee, `break_even_fee_bps` the fee on
    top at which it is zero with the row's impact.

    Args:
        orders: prepared (`lem.reports.prepared.prepare_orders`).
        costs: those that the backtest charged.
    """
    rows = []
    for name, gains in _gains(orders).items():
        for impact in IMPACTS:
            free = float(kept(*gains, costs, impact=impact).mean())
            for fee in FEES_BPS:
                found = _point(kept(*gains, costs, impact=impact, fee_bps=fee))
                ends = {"break_even_impact": break_even(*gains, costs, fee), "break_even_fee_bps": free}
                rows.append({"strategy": name, "impact": impact, "fee_bps": fee, **found, **ends})
    return pd.DataFrame(rows, columns=SENSITIVITY_COLUMNS)


def sizes_grid(table: pd.DataFrame) -> Grid:
    """A group of rows for each strategy, a column for each size."""
    volumes = sorted(table["size"].unique())
    rows: list[list[str]] = []
    groups = {}
    for strategy, part in by_strategy(table):
        groups[len(rows)] = label(strategy)
        own = part.set_index("size")
        for name, what in POINT.items():
            rows.append([what[:1].upper() + what[1:], *(number(own.loc[v, name]) for v in volumes)])
    head = ["Size", *map(size, volumes)]
    return Grid("Kept after costs by order size, in bar volumes, bps", head, rows, groups=groups)


def sensitivity_grid(table: pd.DataFrame) -> Grid:
    """A group of rows for each strategy, a row for each impact and a column for each fee; break-evens at the edges."""
    head = ["Impact", *(f"Fee +{fee:g} bps" for fee in FEES_BPS), "Break-even: fee on top"]
    rows: list[list[str]] = []
    groups, rules = {}, []
    for strategy, part in by_strategy(table):
        groups[len(rows)] = label(strategy)
        for impact in IMPACTS:
            own = part[part["impact"] == impact].sort_values("fee_bps").to_dict("records")
            cells = [f"{number(row['mean_bps'])}\nworst 5{NO_BREAK}% {number(row['cvar5_bps'])}" for row in own]
            rows.append([f"× {impact:g}", *cells, _fee(own[0]["break_even_fee_bps"])])
        rules.append(len(rows))
        edge = part[part["impact"] == 1.0].sort_values("fee_bps")["break_even_impact"]
        rows.append(["Break-even: impact", *(_times(value) for value in edge), ""])
    return Grid("Mean kept after costs at other impacts and fees, bps", head, rows, rules=rules, groups=groups)


def _fee(value: float) -> str:
    return "gone already" if value <= 0 else f"{number(value)} bps"


def _times(value: float) -> str:
    if np.isinf(value):
        return "no limit"
    return "none" if value == 0 else f"× {number(value)}"


def curve(table: pd.DataFrame) -> Picture:
    """Mean, standard deviation and worst 5 % against the size of the order, a line a strategy.

    Args:
        table: from `sizes_table`, with rows.
    """
    shown, traded = by_strategy(table), float(table.loc[table["traded"], "size"].iloc[0])
    with style.context(["default", SETTINGS]):
        figure = Figure(figsize=(WIDTH, 7.0), layout="constrained")
        panels, parts = figure.subplots(len(POINT), 1, sharex=True), []
        for axes, (name, what) in zip(panels, POINT.items(), strict=True):
            axes.axvline(traded, color="#777777", linewidth=1, linestyle=(0, (1, 2)), zorder=0, label="traded size")
            for strategy, part in shown:
                colour, marker, dash = style_of(strategy, [other for other, _ in shown])
                line = {"color": colour, "marker": marker, "linestyle": dash, "markersize": 4}
                axes.plot(part["size"], part[name], label=label(strategy), **line)
                parts.append(f"{label(strategy)}, {what}: {listed(part['size'], part[name])}.")
            axes.set(xscale="log", ylabel=f"{what.replace(NO_BREAK, ' ')}, bps")
        panels[0].axhline(0, color="#000000", linewidth=0.8)
        ticks = [0.05, 0.1, 0.2, 0.5, 1.0]
        panels[-1].set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        panels[-1].set_xticks([], minor=True)
        panels[-1].set_xlabel("size of the order, in mean bar volumes")
        legend(figure)
        alt = "What is kept after costs in bps against the size of the order in mean bar volumes. " + " ".join(parts)
        caption = "What is kept after costs by the size of the order, with the slices of the traded size (dotted line)."
        return Picture(to_svg(figure, "capacity", "Kept after costs by order size", alt), alt, caption)
