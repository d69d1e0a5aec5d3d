"""The pictures of gains: by m, their distribution, over time, when orders end, training; and a PNG thumbnail."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from lem.reports.figures import (
    SETTINGS,
    WIDTH,
    Picture,
    by_strategy,
    legend,
    listed,
    marker_size,
    style_of,
    to_svg,
)
from lem.reports.grids import WHEN
from lem.reports.tables import MODEL
from lem.reports.wording import NO_BREAK, label


def gain_by_m(by_m: pd.DataFrame, costs: str = "off") -> Picture:
    """Mean gain against m with 95 % intervals, every strategy, and the bound (before costs). by_m: level `m` of a
    `full_table` with these costs.
    """
    when = WHEN[costs]
    with style.context(["default", SETTINGS]):
        figure = Figure(figsize=(WIDTH, 4.3), layout="constrained")
        _draw_gain_by_m(figure.subplots(), by_m, costs)
        legend(figure)
        alt = f"Mean gain {when} in bps by m, the bars before an order may end. " + " ".join(
            f"{label(s)}: {listed(part['min_bars'], part['mean_bps'])}." for s, part in by_strategy(by_m)
        )
        caption = (
            f"Mean gain {when} by m, the number of bars before an order may end. "
            f"Whiskers: 95{NO_BREAK}% intervals (none with too few days). "
            "Dashed line: the bound on a driftless market, before costs."
        )
        bound = _bound(by_m)
        alt += f" Bound: {listed(bound['min_bars'], bound['bound_bps'])}."
        return Picture(to_svg(figure, f"gain-by-m-{costs}", f"Gain by m {when}", alt), alt, caption)


def distribution(shares: pd.DataFrame, pooled: pd.DataFrame, costs: str = "off") -> Picture:
    """Histogram of gains, the model against optimal stopping (or the rules there are).

    shares: from `histogram` with these costs. pooled: level `all` of a `full_table` with these costs.
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


def over_time(daily: pd.DataFrame, costs: str = "off", changes: Sequence[str] = ()) -> Picture:
    """Running sum of the daily mean gains of every strategy, with a mark where the champion changed.

    daily: from `daily_table` with these costs. changes: first arrival days of later champions (ISO).
    """
    dates, when = sorted(daily["date"].unique()), WHEN[costs]
    with style.context(["default", SETTINGS]):
        figure = Figure(figsize=(WIDTH, 3.9), layout="constrained")
        axes, parts = figure.subplots(), []
        marks = [dates.index(day) for day in changes if day in dates]
        for place, mark in enumerate(marks):
            name = None if place else "champion changes"
            axes.axvline(mark - 0.5, color="#777777", linewidth=1, linestyle=(0, (1, 2)), zorder=0, label=name)
        every = max(1, len(dates) // 30)
        for place, (strategy, part) in enumerate(by_strategy(daily)):
            colour, marker, dash = style_of(strategy, daily["strategy"].unique())
            x = [dates.index(day) for day in part["date"]]
            axes.plot(
                x,
                part["cumulative_bps"],
                color=colour,
                marker=marker,
                markevery=every,
                linestyle=dash,
                markersize=marker_size(place),
                label=label(strategy),
            )
            parts.append(f"{label(strategy)}: {part['cumulative_bps'].iloc[-1]:.1f} bps after {len(part)} days.")
        ticks = range(len(dates) - 1, -1, -math.ceil(len(dates) / 4))  # evenly, so that no two dates touch
        axes.set_xticks(ticks, [dates[t] for t in ticks], fontsize=8.5)
        axes.set(xlabel="arrival day (UTC)", ylabel=f"bps {when}, running sum")
        axes.margins(x=0.09)
        legend(figure)
        alt = f"Running sum of the daily mean gain {when}, {dates[0]} to {dates[-1]}. " + " ".join(parts)
        caption = f"Running sum of each day’s mean gain {when}: a straight line upwards is a steady gain."
        if marks:
            caption += " Dotted lines: another champion trades from there on."
            alt += f" The champion changed on {', '.join(dates[mark] for mark in marks)}."
        return Picture(to_svg(figure, f"over-time-{costs}", f"Gain over time {when}", alt), alt, caption)


def order_ends(ends: pd.DataFrame) -> Picture:
    """Share of orders that end in each bar, one panel for each m. ends: from `end_bar_table`."""
    values, last = sorted(ends["min_bars"].unique()), int(ends["end_bar"].max())
    with style.context(["default", SETTINGS]):
        figure = Figure(figsize=(WIDTH, 1.0 + 1.15 * len(values)), layout="constrained")
        panels = figure.subplots(len(values), 1, sharex=True, squeeze=False)[:, 0]
        sentences = []
        for axes, m in zip(panels, values, strict=True):
            panel, names = ends[ends["min_bars"] == m], ends["strategy"].unique()
            for place, (strategy, part) in enumerate(by_strategy(panel)):
                colour, marker, dash = style_of(strategy, names)
                share = part.set_index("end_bar")["share"].reindex(range(int(m), last + 1), fill_value=0.0) * 100
                axes.plot(
                    share.index,
                    share,
                    color=colour,
                    marker=marker,
                    linestyle=dash,
                    markersize=marker_size(place),
                    label=label(strategy),
                )
                mean = (part["end_bar"] * part["share"]).sum()
                sentences.append(f"m = {m}, {label(strategy)}: after {mean:.1f} bars on average.")
            axes.set_title(f"m = {m}", loc="left", fontsize=10, fontweight="bold")
            axes.set(ylim=(-6, 106), yticks=[0, 50, 100], xlim=(0.5, last + 0.5))
        panels[-1].set_xticks(range(1, last + 1, max(1, -(-last // 12))))
        figure.supylabel("% of orders", fontsize=10)
        panels[-1].set_xlabel("bar in which the order ends")
        legend(figure, panels[0])
        alt = "When orders end. " + " ".join(sentences)
        caption = "Share of the orders that end in each bar, one panel for each m, without a participation cap."
        return Picture(to_svg(figure, "order-ends", "When orders end", alt), alt, caption)


def training_curve(curve: pd.DataFrame) -> Picture:
    """Gain in sigma, loss and learning rate against the training step. curve: step, loss, gain_sigma,
    learning_rate.
    """
    panels = [("gain_sigma", "gain, sigma"), ("loss", "loss"), ("learning_rate", "learning rate")]
    with style.context(["default", SETTINGS]):
        figure = Figure(figsize=(WIDTH, 4.6), layout="constrained")
        for axes, (column, name) in zip(figure.subplots(3, 1, sharex=True), panels, strict=True):
            axes.plot(curve["step"], curve[column], color=style_of(MODEL)[0], marker="o" if len(curve) < 3 else "")
            axes.set_ylabel(name)
            axes.ticklabel_format(axis="y", scilimits=(-3, 4))
        axes.set_xlabel("training step")
        figure.align_ylabels()
        first, last = curve.iloc[0], curve.iloc[-1]
        alt = (
            f"Training curve over {len(curve)} records, "
            f"step {first['step']:.0f} to {last['step']:.0f}: gain from "
            f"{first['gain_sigma']:.3f} to {last['gain_sigma']:.3f} sigma, "
            f"loss from {first['loss']:.4g} to {last['loss']:.4g}."
        )
        caption = "Training of the champion: mean gain in sigma on its training orders, loss and learning rate."
        return Picture(to_svg(figure, "training-curve", "Training curve", alt), alt, caption)


def thumbnail(by_m: pd.DataFrame) -> bytes:
    """A small PNG of gain by m (480 x 340 pixels); without executed orders, one that says so."""
    with style.context(["default", SETTINGS]):
        figure = Figure(figsize=(4.8, 3.4), dpi=100, layout="constrained")
        if len(by_m):
            _draw_gain_by_m(figure.subplots(), by_m)
            legend(figure)
        else:
            figure.text(0.5, 0.5, "No executed orders", ha="center", va="center", fontsize=16)
        buffer = io.BytesIO()
        FigureCanvasAgg(figure).print_png(buffer, metadata={"Software": None})
        return buffer.getvalue()


def _draw_gain_by_m(axes: Axes, by_m: pd.DataFrame, costs: str = "off") -> None:
    values, strategies = sorted(by_m["min_bars"].unique()), by_strategy(by_m)
    axes.axhline(0, color="#000000", linewidth=0.8)
    bound = _bound(by_m)
    place = [values.index(m) for m in bound["min_bars"]]
    axes.plot(place, bound["bound_bps"], color="#000000", linestyle=(0, (6, 3)), linewidth=1.2, label="Bound")
    for number, (strategy, part) in enumerate(strategies):
        colour, marker, _ = style_of(strategy, [name for name, _ in strategies])
        # side by side, so that whiskers of equal means do not hide each other
        x = np.array([values.index(m) for m in part["min_bars"]]) + 0.12 * (number - (len(strategies) - 1) / 2)
        mean, low, high = part[["mean_bps", "low_bps", "high_bps"]].to_numpy(dtype=float).T
        whiskers = np.nan_to_num(np.array([mean - low, high - mean]))
        axes.errorbar(
            x, mean, yerr=whiskers, color=colour, fmt=marker, markersize=5, capsize=2.5, label=label(strategy)
        )
    axes.set_xticks(range(len(values)), [str(m) for m in values])
    axes.grid(visible=False, axis="x")
    axes.set(xlabel="m, bars before the order may end", ylabel=f"mean gain {WHEN[costs]}, bps")


def _bound(by_m: pd.DataFrame) -> pd.DataFrame:
    """The bound of each m, from the strategy that executed most orders there."""
    best = by_m.sort_values(["min_bars", "orders"], ascending=[True, False], kind="stable")
    return best.drop_duplicates("min_bars")[["min_bars", "bound_bps"]]
