"""The pictures of the execution report: SVG strings with a text alternative, and a PNG thumbnail.

The same tables give the same bytes: ids are hashed with a fixed salt, there is no date and no metadata, and
text is drawn as paths. Figures are as wide as a phone, so that their labels stay legible there; an SVG scales
to its container. Strategies differ by colour (Okabe and Ito's palette, safe for colour-blind readers) and by
marker.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from lem.reports.grids import WHEN
from lem.reports.tables import COSTS, MODEL, RIVALS, strategy_rank
from lem.reports.wording import NO_BREAK, label

WIDTH = 4.7
"""Inches: at 10 points a letter, what a phone shows without shrinking."""
MARKERS = (8.5, 7.0, 5.5, 4.5, 3.5, 2.5)
"""Marker sizes on lines: smaller ones are drawn on top, so that equal strategies do not hide each other."""
STYLES = {
    "lem": ("#0072B2", "o", "-"),
    "optimal_stopping": ("#D55E00", "s", "--"),
    "twap": ("#4D4D4D", "^", ":"),
    "twap_to_m": ("#009E73", "D", "-."),
    "volume_curve": ("#CC79A7", "v", "--"),
    "bang_bang": ("#E69F00", "P", ":"),
}
SPARE = [("#56B4E9", "X", "-."), ("#8B6914", "p", "--")]
SETTINGS: dict[Any, Any] = {
    "svg.hashsalt": "execution report",
    "svg.fonttype": "path",
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#DDDDDD",
    "axes.axisbelow": True,
    "legend.frameon": False,
}


@dataclass(frozen=True)
class Picture:
    """An inline SVG (with title and description inside), the same description as text, and a caption."""

    svg: str
    alt: str
    caption: str


def gain_by_m(by_m: pd.DataFrame, costs: str = "off") -> Picture:
    """Mean gain against m with 95 % intervals, every strategy, and the bound (before costs). by_m: level `m` of a
    `full_table` with these costs.
    """
    when = WHEN[costs]
    with style.context(["default", SETTINGS]):
        figure = Figure(figsize=(WIDTH, 4.3), layout="constrained")
        _draw_gain_by_m(figure.subplots(), by_m, costs)
        _legend(figure)
        alt = f"Mean gain {when} in bps by m, the bars before an order may end. " + " ".join(
            f"{label(s)}: {_list(part['min_bars'], part['mean_bps'])}." for s, part in _by_strategy(by_m)
        )
        caption = (
            f"Mean gain {when} by m, the number of bars before an order may end. "
            f"Whiskers: 95{NO_BREAK}% intervals (none with too few days). "
            "Dashed line: the bound on a driftless market, before costs."
        )
        bound = _bound(by_m)
        alt += f" Bound: {_list(bound['min_bars'], bound['bound_bps'])}."
        return Picture(_svg(figure, f"gain-by-m-{costs}", f"Gain by m {when}", alt), alt, caption)


def distribution(gains: pd.DataFrame, costs: str = "off") -> Picture:
    """Histogram of gains, the model against optimal stopping (or the rules there are). gains: rows of
    `executed`.
    """
    column, when = COSTS[costs][0], WHEN[costs]
    there = [s for s, _ in _by_strategy(gains)]
    shown = [s for s in (MODEL, RIVALS[0]) if s in there] or there
    low, high = np.quantile(gains.loc[gains["strategy"].isin(shown), column], [0.005, 0.995])
    edges = np.linspace(low, high if high > low else low + 1.0, 61)
    with style.context(["default", SETTINGS]):
        figure = Figure(figsize=(WIDTH, 3.3), layout="constrained")
        axes, parts = figure.subplots(), []
        for strategy in shown:
            gain = gains.loc[gains["strategy"] == strategy, column].to_numpy()
            colour, _, dash = _style(strategy, there)
            share = np.histogram(gain, edges)[0] / len(gain) * 100
            axes.stairs(share, edges, color=colour, linestyle=dash, linewidth=1.6, label=label(strategy))
            axes.axvline(gain.mean(), color=colour, linestyle=dash, linewidth=1)
            quantiles = np.quantile(gain, [0.05, 0.5, 0.95])
            parts.append(f"{label(strategy)}: {_list(['5 %', 'median', '95 %'], quantiles)}, mean {gain.mean():.1f}.")
        axes.set(xlabel=f"gain {when}, bps (right is good)", ylabel="% of orders")
        _legend(figure)
        alt = f"Distribution of gains {when} in bps over all orders. " + " ".join(parts)
        caption = (
            f"Gains of single orders {when}, the outer 0.5{NO_BREAK}% on each side cut off. "
            "Thin vertical lines: the means."
        )
        return Picture(_svg(figure, f"distribution-{costs}", f"Distribution of gains {when}", alt), alt, caption)


def over_time(daily: pd.DataFrame, costs: str = "off") -> Picture:
    """Running sum of the daily mean gains of every strategy. daily: from `daily_table` with these costs."""
    dates, when = sorted(daily["date"].unique()), WHEN[costs]
    with style.context(["default", SETTINGS]):
        figure = Figure(figsize=(WIDTH, 3.9), layout="constrained")
        axes, parts = figure.subplots(), []
        for place, (strategy, part) in enumerate(_by_strategy(daily)):
            colour, marker, dash = _style(strategy, daily["strategy"].unique())
            x = [dates.index(day) for day in part["date"]]
            axes.plot(
                x,
                part["cumulative_bps"],
                color=colour,
                marker=marker,
                linestyle=dash,
                markersize=MARKERS[place % len(MARKERS)],
                label=label(strategy),
            )
            parts.append(f"{label(strategy)}: {part['cumulative_bps'].iloc[-1]:.1f} bps after {len(part)} days.")
        ticks = range(len(dates) - 1, -1, -math.ceil(len(dates) / 4))  # evenly, so that no two dates touch
        axes.set_xticks(ticks, [dates[t] for t in ticks], fontsize=8.5)
        axes.set(xlabel="arrival day (UTC)", ylabel=f"bps {when}, running sum")
        axes.margins(x=0.09)
        _legend(figure)
        alt = f"Running sum of the daily mean gain {when}, {dates[0]} to {dates[-1]}. " + " ".join(parts)
        caption = f"Running sum of each day's mean gain {when}: a straight line upwards is a steady gain."
        return Picture(_svg(figure, f"over-time-{costs}", f"Gain over time {when}", alt), alt, caption)


def order_ends(ends: pd.DataFrame) -> Picture:
    """Share of orders that end in each bar, one panel for each m. ends: from `end_bar_table`."""
    values, last = sorted(ends["min_bars"].unique()), int(ends["end_bar"].max())
    with style.context(["default", SETTINGS]):
        figure = Figure(figsize=(WIDTH, 1.0 + 1.15 * len(values)), layout="constrained")
        panels = figure.subplots(len(values), 1, sharex=True, squeeze=False)[:, 0]
        sentences = []
        for axes, m in zip(panels, values, strict=True):
            panel, names = ends[ends["min_bars"] == m], ends["strategy"].unique()
            for place, (strategy, part) in enumerate(_by_strategy(panel)):
                colour, marker, dash = _style(strategy, names)
                share = part.set_index("end_bar")["share"].reindex(range(int(m), last + 1), fill_value=0.0) * 100
                axes.plot(
                    share.index,
                    share,
                    color=colour,
                    marker=marker,
                    linestyle=dash,
                    markersize=MARKERS[place % len(MARKERS)],
                    label=label(strategy),
                )
                mean = (part["end_bar"] * part["share"]).sum()
                sentences.append(f"m = {m}, {label(strategy)}: after {mean:.1f} bars on average.")
            axes.set_title(f"m = {m}", loc="left", fontsize=10, fontweight="bold")
            axes.set(ylim=(-6, 106), yticks=[0, 50, 100], xlim=(0.5, last + 0.5))
        panels[-1].set_xticks(range(1, last + 1, max(1, -(-last // 12))))
        figure.supylabel("% of orders", fontsize=10)
        panels[-1].set_xlabel("bar in which the order ends")
        _legend(figure, panels[0])
        alt = "When orders end. " + " ".join(sentences)
        caption = "Share of the orders that end in each bar, one panel for each m, without a participation cap."
        return Picture(_svg(figure, "order-ends", "When orders end", alt), alt, caption)


def training_curve(curve: pd.DataFrame) -> Picture:
    """Gain in sigma, loss and learning rate against the training step. curve: step, loss, gain_sigma,
    learning_rate.
    """
    panels = [("gain_sigma", "gain, sigma"), ("loss", "loss"), ("learning_rate", "learning rate")]
    with style.context(["default", SETTINGS]):
        figure = Figure(figsize=(WIDTH, 4.6), layout="constrained")
        for axes, (column, name) in zip(figure.subplots(3, 1, sharex=True), panels, strict=True):
            axes.plot(curve["step"], curve[column], color=STYLES[MODEL][0], marker="o" if len(curve) < 3 else "")
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
        return Picture(_svg(figure, "training-curve", "Training curve", alt), alt, caption)


def thumbnail(by_m: pd.DataFrame) -> bytes:
    """A small PNG of gain by m (480 x 340 pixels); without executed orders, one that says so."""
    with style.context(["default", SETTINGS]):
        figure = Figure(figsize=(4.8, 3.4), dpi=100, layout="constrained")
        if len(by_m):
            _draw_gain_by_m(figure.subplots(), by_m)
            _legend(figure)
        else:
            figure.text(0.5, 0.5, "No executed orders", ha="center", va="center", fontsize=16)
        buffer = io.BytesIO()
        FigureCanvasAgg(figure).print_png(buffer, metadata={"Software": None})
        return buffer.getvalue()


def _draw_gain_by_m(axes: Axes, by_m: pd.DataFrame, costs: str = "off") -> None:
    values, strategies = sorted(by_m["min_bars"].unique()), _by_strategy(by_m)
    axes.axhline(0, color="#000000", linewidth=0.8)
    bound = _bound(by_m)
    place = [values.index(m) for m in bound["min_bars"]]
    axes.plot(place, bound["bound_bps"], color="#000000", linestyle=(0, (6, 3)), linewidth=1.2, label="Bound")
    for number, (strategy, part) in enumerate(strategies):
        colour, marker, _ = _style(strategy, [name for name, _ in strategies])
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


def _by_strategy(table: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    names = sorted(table["strategy"].unique(), key=strategy_rank)
    return [(name, table[table["strategy"] == name]) for name in names]


def _bound(by_m: pd.DataFrame) -> pd.DataFrame:
    """The bound of each m, from the strategy that executed most orders there."""
    best = by_m.sort_values(["min_bars", "orders"], ascending=[True, False], kind="stable")
    return best.drop_duplicates("min_bars")[["min_bars", "bound_bps"]]


def _style(strategy: str, present: Iterable[str]) -> tuple[str, str, str]:
    """Colour, marker and line of a strategy; those without their own take the spare ones in the order of
    their names.
    """
    others = sorted(set(present) - set(STYLES))
    return STYLES[strategy] if strategy in STYLES else SPARE[others.index(strategy) % len(SPARE)]


def _list(names: Sequence[object] | pd.Series, values: Sequence[float] | np.ndarray | pd.Series) -> str:
    return ", ".join(f"{name}: {value:.1f}" for name, value in zip(names, values, strict=True))


def _legend(figure: Figure, axes: Axes | None = None) -> None:
    handles, names = (axes or figure.axes[0]).get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper left", ncols=2, fontsize=9.5, columnspacing=1.2, handletextpad=0.5)


def _svg(figure: Figure, name: str, title: str, description: str) -> str:
    """The figure as one <svg> element that scales to its container; ids start with `name`, as many share one
    page.
    """
    buffer = io.StringIO()
    FigureCanvasSVG(figure).print_svg(buffer, metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    text = buffer.getvalue()
    text = text[text.index("<svg") :].strip()
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'(?:xlink:)?href="#', f'href="#{name}-', text)
    text = text.replace("url(#", f"url(#{name}-")
    box = re.search(r'viewBox="([^"]+)"', text)
    assert box is not None, "matplotlib wrote an SVG without a viewBox"
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box.group(1)}" role="img" '
        f'aria-labelledby="{name}-title {name}-desc"><title id="{name}-title">{escape(title)}</title>'
        f'<desc id="{name}-desc">{escape(description)}</desc>'
    )
    return re.sub(r"^<svg[^>]*>", lambda _: head, text)
