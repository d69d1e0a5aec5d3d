"""The gain day by day, and the models that traded."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib import style
from matplotlib.figure import Figure

from lem.reports import tables, tallies
from lem.reports.figures import SETTINGS, WIDTH, Picture, by_strategy, legend, marker_size, style_of, to_svg
from lem.reports.grids import WHEN, Columns, Grid, grid_of
from lem.reports.inputs import ReportInputs
from lem.reports.section import Section
from lem.reports.sections.gate import gate_table
from lem.reports.wording import count, label, optional, short, with_interval

AFTER_COSTS = ["mean_bps", "low_bps", "high_bps"]
HISTORY = ["model_id", "first", "last", "days", "orders", *(f"net_{name}" for name in AFTER_COSTS), "mean_bps"]
HISTORY += ["net_minus_rule_bps", "trained_to", "promoted"]


def stored(inputs: ReportInputs, orders: pd.DataFrame, statistics: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The gain by arrival day, before costs and after, and the models that traded."""
    costs = list(tables.COSTS) if len(tables.executed(orders)) else []
    daily = [tallies.daily_table(orders, key).assign(costs=key) for key in costs]
    return {
        "daily": tables.joined(daily, ["strategy", "date", "orders", "mean_bps", "cumulative_bps", "costs"]),
        "models": history_table(orders, statistics, gate_table(inputs.promotions), inputs.trained_to),
    }


def history_table(
    orders: pd.DataFrame, table: pd.DataFrame, gate: pd.DataFrame, trained: Mapping[str, str]
) -> pd.DataFrame:
    """The models that traded, by first day: columns `HISTORY`.

    `promoted` is the date of the first decision that made the model champion, "" without one. `net_` is after costs;
    the rule is the one that the model must beat first there.

    Args:
        orders: prepared (`lem.reports.prepared.prepare_orders`).
        table: their statistics (`lem.reports.tables.full_table`).
        gate: the decisions (`lem.reports.sections.gate.gate_table`).
        trained: the date that a model's training ended before, by id.
    """
    traded, rows = tallies.model_table(orders), []
    own = table[(table["level"] == "model") & (table["strategy"] == tables.MODEL)]
    for model in traded.to_dict("records"):
        part = own[own["group"] == model["model_id"]]
        keys = (("off", ""), ("on", ""), ("on", tables.FIRST_RIVAL["on"]))
        gross, net, gap = (tables.one_row(part, *key) for key in keys)
        decided = gate.loc[(gate["champion_id"] == model["model_id"]) & (gate["decision"] == "promoted"), "date"]
        rows.append(
            model
            | {f"net_{name}": math.nan if net is None else net[name] for name in AFTER_COSTS}
            | {
                "mean_bps": math.nan if gross is None else gross["mean_bps"],
                "net_minus_rule_bps": math.nan if gap is None else gap["mean_bps"],
                "trained_to": trained.get(model["model_id"], ""),
                "promoted": decided.min() if len(decided) else "",
            }
        )
    return pd.DataFrame(rows, columns=HISTORY)


def grids(_: ReportInputs, __: pd.DataFrame, own: Mapping[str, pd.DataFrame]) -> dict[str, Grid]:
    """The models that traded, and what each gained."""
    history = own["models"]
    columns: Columns = [
        ("Model", "model_id", short),
        ("Promoted", "promoted", str),
        ("Trained on days before", "trained_to", str),
        ("First day", "first", str),
        ("Last day", "last", str),
        ("Days", "days", count),
        ("Orders", "orders", count),
        ("Mean gain after costs, bps", "gain", str),
        (f"Minus {label(tables.FIRST_RIVAL['on'])}, after costs", "net_minus_rule_bps", optional),
        ("Before costs, bps", "mean_bps", optional),
    ]
    net = [{name: row[f"net_{name}"] for name in AFTER_COSTS} for row in history.to_dict("records")]
    gains = [with_interval(row) for row in net]
    return {"history": grid_of("Models that executed these orders", history.assign(gain=gains), columns)}


def over_time(daily: pd.DataFrame, costs: str = "off", changes: Sequence[str] = ()) -> Picture:
    """Running sum of the daily mean gains of every strategy, with a mark where the champion changed.

    Args:
        daily: from `daily_table` with these costs.
        costs: "off" or "on".
        changes: first arrival days of later champions (ISO).
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


def pictures(_: pd.DataFrame, own: Mapping[str, pd.DataFrame]) -> dict[str, Picture]:
    """The running sums before costs and after."""
    daily, found = own["daily"], {}
    if len(daily):
        changes = sorted(own["models"]["first"])[1:]
        for costs, name in (("off", "over_time"), ("on", "over_time_net")):
            found[name] = over_time(daily[daily["costs"] == costs], costs, changes)
    return found


SECTION = Section(
    "Over time",
    reads=("promotions", "trained_to"),
    rows={
        "daily": "a strategy's mean gain on an arrival day, and the running sum",
        "models": "a model that traded: days, orders, gain, when it was promoted, what it was trained to",
    },
    tables=stored,
    grids=grids,
    pictures=pictures,
)
