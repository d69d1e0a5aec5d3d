"""How the model trades: its average schedule, when orders end, and the best, the median and the worst order again."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib import style
from matplotlib.figure import Figure

from lem.reports import tallies
from lem.reports.figures import SETTINGS, WIDTH, Picture, by_strategy, legend, marker_size, style_of, to_svg
from lem.reports.grids import WHEN, Grid, grid_by_m
from lem.reports.inputs import ReportInputs
from lem.reports.schedule import replay_table, schedule_table
from lem.reports.section import Section
from lem.reports.tables import MODEL, SCENARIO
from lem.reports.wording import NO_BREAK, label, number, percent

INK = "#1A1A1A"


def stored(inputs: ReportInputs, orders: pd.DataFrame, _: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """When orders end, the model's average schedule, and three orders bar by bar."""
    return {
        "ends": tallies.end_bar_table(orders),
        "schedule": schedule_table(orders),
        "replays": replay_table(inputs.orders, inputs.tape),
    }


def grids(_: ReportInputs, statistics: pd.DataFrame, own: Mapping[str, pd.DataFrame]) -> dict[str, Grid]:
    """Mean bars used before costs and after, and the replayed orders."""
    found = {"replays": replay_grid(own["replays"])}
    for key, name in (("off", "bars"), ("on", "bars_net")):
        found[name] = grid_by_m(f"Mean bars used {WHEN[key]}", statistics, key, "end_bar", number)
    return found


def replay_grid(replays: pd.DataFrame) -> Grid:
    """The replayed orders bar by bar."""
    groups, rows = dict[int, str](), list[list[str]]()
    for which, part in replays.groupby("which", sort=False):
        groups[len(rows)] = f"The {which} order"
        for row in part.to_dict("records"):
            shown = [f"{row[name]:.6g}" for name in ("price", "benchmark_price")]
            rows.append(
                [str(row["bar"]), f"{row['ts']:%Y-%m-%d %H:%M}", *shown, percent(row["slice"]), percent(row["done"])]
            )
    head = ["Bar", "Opens (UTC)", "Price", "Benchmark so far", "Slice", "Traded so far"]
    return Grid("Replayed orders, bar by bar", head, rows, groups=groups)


def order_ends(ends: pd.DataFrame) -> Picture:
    """Share of orders that end in each bar, one panel for each m.

    Args:
        ends: from `end_bar_table`.
    """
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


def schedule(table: pd.DataFrame) -> Picture:
    """Share traded by the end of each bar, one panel for each m: mean, 25 to 75 % and 5 to 95 % of the orders.

    Args:
        table: from `schedule_table`.
    """
    colour, values = style_of(MODEL)[0], sorted(table["min_bars"].unique())
    even, _, dash = style_of("twap")
    with style.context(["default", SETTINGS]):
        figure = Figure(figsize=(WIDTH, 1.0 + 1.15 * len(values)), layout="constrained")
        panels = figure.subplots(len(values), 1, sharex=True, squeeze=False)[:, 0]
        sentences = []
        for axes, m in zip(panels, values, strict=True):
            part = table[table["min_bars"] == m]
            # Every order begins with nothing traded.
            x = [0, *part["bar"]]
            fan = {name: [0.0, *part[name] * 100] for name in ("p5", "p25", "p75", "p95", "mean_done")}
            axes.fill_between(x, fan["p5"], fan["p95"], color=colour, alpha=0.15, linewidth=0, label="90 % of orders")
            axes.fill_between(x, fan["p25"], fan["p75"], color=colour, alpha=0.3, linewidth=0, label="half of them")
            axes.plot(x, fan["mean_done"], color=colour, marker="o", markersize=3.5, label="mean")
            axes.plot([0, x[-1]], [0, 100], color=even, linestyle=dash, label=label("twap"))
            axes.set_title(f"m = {m}", loc="left", fontsize=10, fontweight="bold")
            axes.set(ylim=(-3, 106), yticks=[0, 50, 100], xlim=(0, x[-1]))
            half = part.iloc[(len(part) - 1) // 2]
            sentences.append(
                f"m = {m}: by the end of bar {half['bar']:.0f} {number(100 * half['mean_done'])} % traded on average, "
                f"{number(100 * half['p5'])} to {number(100 * half['p95'])} % in 90 % of the orders."
            )
        panels[-1].set_xticks(range(0, int(table["bar"].max()) + 1, max(1, -(-int(table["bar"].max()) // 12))))
        figure.supylabel("% of the order traded", fontsize=10)
        panels[-1].set_xlabel("end of bar")
        legend(figure, panels[0])
        alt = "Average schedule of the model, before costs. " + " ".join(sentences)
        caption = (
            "How much of an order the model has traded by the end of each bar, before costs and without a "
            f"participation cap: mean over all scenarios, with the ranges of 50 and 90{NO_BREAK}% of the orders."
        )
        return Picture(to_svg(figure, "schedule", "Average schedule", alt), alt, caption)


def replay(table: pd.DataFrame) -> Picture:
    """One order: price and running benchmark above, slices below.

    Args:
        table: rows of `replay_table` of one `which`.
    """
    first = table.iloc[0]
    which, end = str(first["which"]), int(first["end_bar"])
    colour, x = style_of(MODEL)[0], table["bar"]
    with style.context(["default", SETTINGS]):
        figure = Figure(figsize=(WIDTH, 3.9), layout="constrained")
        top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=[3, 2])
        top.plot(x, table["price"], color=INK, marker=".", label="price (VWAP of the bar)")
        benchmark = str(first["benchmark"]).upper()
        top.plot(
            x[:end],
            table["benchmark_price"][:end],
            color="#D55E00",
            marker=".",
            linestyle="--",
            label=f"{benchmark} so far",
        )
        bottom.bar(x, table["slice"] * 100, color=colour, width=0.7, label="slice")
        for axes in (top, bottom):
            axes.axvline(end + 0.5, color="#777777", linestyle=(0, (1, 2)), label="the order ends" * (axes is top))
        top.ticklabel_format(axis="y", useOffset=False)
        top.set_ylabel("price")
        bottom.set_ylabel("% of the order")
        bottom.set_xlabel("bar of the order")
        bottom.set_xticks(range(1, len(table) + 1, max(1, -(-len(table) // 12))))
        legend(figure, top)
        done = table["slice"].to_numpy()[:end]
        average = _average(first, done, table["price"].to_numpy()[:end])
        alt = (
            f"The {which} order: {sentence(first)} It ended in bar {end} of {len(table)} with a gain of "
            f"{number(first['gain_bps'])} bps: average price {average:.6g}, {benchmark} "
            f"{table['benchmark_price'].iloc[end - 1]:.6g}. Largest slice: "
            f"{number(100 * done.max())} % of the order, in bar {int(np.argmax(done)) + 1}."
        )
        caption = f"The {which} order: {sentence(first)} Gain: {number(first['gain_bps'])} bps, ended in bar {end}."
        return Picture(to_svg(figure, f"replay-{which}", f"The {which} order", alt), alt, caption)


def _average(order: pd.Series, slices: np.ndarray, price: np.ndarray) -> float:
    """Average price: of a quantity the mean by shares, of a notional the money divided by the quantity it buys."""
    if order["target"] == "notional":
        return float(1.0 / (slices / price).sum())
    return float((slices * price).sum())


def sentence(order: pd.Series) -> str:
    """What an order was, in words."""
    side, benchmark, target = (str(order[name]) for name in SCENARIO)
    arrival = f"{order['arrival']:%Y-%m-%d %H:%M} UTC"
    return (
        f"{side} a fixed {target} of {order['asset']} against {benchmark.upper()}, m = {order['min_bars']}, arrived "
        f"{arrival}."
    )


def pictures(_: pd.DataFrame, own: Mapping[str, pd.DataFrame]) -> dict[str, Picture]:
    """When orders end, the average schedule, and a picture of each replayed order."""
    found = {}
    if len(own["ends"]):
        found["order_ends"] = order_ends(own["ends"])
    if len(own["schedule"]):
        found["schedule"] = schedule(own["schedule"])
    for which, part in own["replays"].groupby("which", sort=False):
        found[f"replay_{which}"] = replay(part.reset_index(drop=True))
    return found


SECTION = Section(
    "How it trades",
    reads=("orders", "tape"),
    rows={
        "ends": "the share of a strategy's orders with one m that end in a bar",
        "schedule": "what the model has traded by the end of a bar, by m: mean and quantiles",
        "replays": "a bar of the best, the median or the worst order: price, running benchmark, slice",
    },
    tables=stored,
    grids=grids,
    pictures=pictures,
)
