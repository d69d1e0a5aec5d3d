"""Gains by scenario and m, before costs and after, beside the bounds; the report's thumbnail."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from lem.reports import tables
from lem.reports.figures import SETTINGS, WIDTH, Picture, by_strategy, legend, listed, style_of, to_svg
from lem.reports.grids import (
    BOUNDS,
    INTERVAL,
    WHEN,
    Columns,
    Grid,
    bounds_by_m,
    cells_by_m,
    difference,
    grid_of,
    line_above,
    with_gains,
)
from lem.reports.inputs import ReportInputs
from lem.reports.section import Material, Section
from lem.reports.verdicts import row_interval, row_verdicts, together
from lem.reports.wording import NO_BREAK, label, number


def grids(_: ReportInputs, statistics: pd.DataFrame, __: Mapping[str, pd.DataFrame]) -> dict[str, Grid]:
    """The tables of gains, each before costs (`name`) and after (`name_net`)."""
    found = {"fixed": _fixed(statistics)}
    for key, when in WHEN.items():
        name = "" if key == "off" else "_net"
        found |= {
            f"by_m{name}": _gains(f"Mean gain by m {when}, all scenarios, {INTERVAL}", statistics, "m", key),
            f"versus{name}": _versus(f"Model minus rule {when}, same orders, {INTERVAL}", statistics, key),
            f"scenarios{name}": _gains(
                f"Mean gain by scenario and m {when}, {INTERVAL}", statistics, "scenario and m", key
            ),
        }
    return found


def _gains(caption: str, table: pd.DataFrame, level: str, costs: str) -> Grid:
    """Mean gains, a row for each strategy and a column for each m, and the bounds below them."""
    part = with_gains(tables.select(table, level, costs))
    limits = sorted(part["min_bars"].unique())
    scenario = tables.SCENARIO if level == "scenario and m" else []
    rows: list[list[str]] = []
    rules, groups = [], {}
    for key, group in part.groupby(scenario, sort=True) if scenario else [((), part)] * bool(len(part)):
        if key:
            title = " ".join(PRICES.get(str(name), str(name)) for name in key)
            groups[len(rows)] = title[:1].upper() + title[1:]
        rows += cells_by_m(group, "gain", str, limits)
        rules.append(len(rows))
        rows += [[name, *cells] for name, cells in bounds_by_m(group, costs).items()]
    return Grid(caption, ["m =", *map(str, limits)], rows, rules=rules, groups=groups)


PRICES = {"vwap": "VWAP", "twap": "TWAP"}


def _fixed(table: pd.DataFrame) -> Grid:
    """Mean gains against the order's own benchmark and against prices that do not move with its end."""
    columns: Columns = [("Strategy", "strategy", label), ("Own benchmark, to the order’s end", "mean_bps", number)]
    heads = ("Arrival price", "VWAP of all N bars", "TWAP of all N bars")
    columns = [*columns, *((head, name, number) for head, name in zip(heads, tables.FIXED, strict=True))]
    return grid_of(
        "Mean gain before costs against other prices, all executed orders, bps", tables.select(table, "all"), columns
    )


def _versus(caption: str, table: pd.DataFrame, costs: str) -> Grid:
    """The model's paired differences to each rule, a row for each m and one for all orders."""
    part = pd.concat([tables.select(table, level, costs, None) for level in ("m", "all")]).to_dict("records")
    cells: dict[tuple[Any, str], str] = {}
    known = [row for row in part if row_interval(row).known]
    for row, said in zip(part, row_verdicts(part), strict=True):
        cells[row["min_bars"], row["against"]] = difference(row, said)
    rivals = sorted({rival for _, rival in cells}, key=tables.strategy_rank)
    limits = [*sorted({m for m, _ in cells if m != "all"}), *(["all"] if cells else [])]
    rows = [[str(m), *(cells.get((m, rival), "none") for rival in rivals)] for m in limits]
    return Grid(caption + together(len(known)), ["m", *map(label, rivals)], rows, rules=line_above(rows, 1))


def gain_by_m(by_m: pd.DataFrame, costs: str = "off") -> Picture:
    """Mean gain of every strategy against m with 95 % intervals, and the bound on a driftless market.

    Args:
        by_m: level `m` of a `full_table` with these costs.
        costs: "off" or "on".
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
            f"Dashed line: the bound on a driftless market, {when}."
        )
        bound = _bound(by_m, costs)
        alt += f" Bound: {listed(bound['min_bars'], bound['bps'])}."
        return Picture(to_svg(figure, f"gain-by-m-{costs}", f"Gain by m {when}", alt), alt, caption)


def thumbnail(by_m: pd.DataFrame) -> bytes:
    """A small PNG of gain by m after costs (480 x 340 pixels); without executed orders, one that says so.

    Args:
        by_m: level `m` of a `full_table` with costs "on".
    """
    with style.context(["default", SETTINGS]):
        figure = Figure(figsize=(4.8, 3.4), dpi=100, layout="constrained")
        if len(by_m):
            _draw_gain_by_m(figure.subplots(), by_m, "on")
            legend(figure)
        else:
            figure.text(0.5, 0.5, "No executed orders", ha="center", va="center", fontsize=16)
        buffer = io.BytesIO()
        FigureCanvasAgg(figure).print_png(buffer, metadata={"Software": None})
        return buffer.getvalue()


def _draw_gain_by_m(axes: Axes, by_m: pd.DataFrame, costs: str) -> None:
    values, strategies = sorted(by_m["min_bars"].unique()), by_strategy(by_m)
    axes.axhline(0, color="#000000", linewidth=0.8)
    bound = _bound(by_m, costs)
    at = [values.index(m) for m in bound["min_bars"]]
    axes.plot(at, bound["bps"], color="#000000", linestyle=(0, (6, 3)), linewidth=1.2, label="Bound")
    for place, (strategy, part) in enumerate(strategies):
        colour, marker, _ = style_of(strategy, [name for name, _ in strategies])
        # side by side, so that whiskers of equal means do not hide each other
        x = np.array([values.index(m) for m in part["min_bars"]]) + 0.12 * (place - (len(strategies) - 1) / 2)
        mean, low, high = part[["mean_bps", "low_bps", "high_bps"]].to_numpy(dtype=float).T
        whiskers = np.nan_to_num(np.array([mean - low, high - mean]))
        axes.errorbar(
            x, mean, yerr=whiskers, color=colour, fmt=marker, markersize=5, capsize=2.5, label=label(strategy)
        )
    axes.set_xticks(range(len(values)), [str(m) for m in values])
    axes.grid(visible=False, axis="x")
    axes.set(xlabel="m, bars before the order may end", ylabel=f"mean gain {WHEN[costs]}, bps")


def _bound(by_m: pd.DataFrame, costs: str) -> pd.DataFrame:
    """The driftless bound of each m, `bps`, from the strategy that executed most orders there."""
    best = by_m.sort_values(["min_bars", "orders"], ascending=[True, False], kind="stable")
    return best.drop_duplicates("min_bars").assign(bps=lambda rows: rows[next(iter(BOUNDS[costs]))])


def pictures(statistics: pd.DataFrame, _: Mapping[str, pd.DataFrame]) -> dict[str, Picture]:
    """Gain by m before costs and after."""
    found = {}
    for costs, name in (("off", "gain_by_m"), ("on", "gain_by_m_net")):
        by_m = tables.select(statistics, "m", costs)
        if len(by_m):
            found[name] = gain_by_m(by_m, costs)
    return found


def words(material: Material) -> dict[str, Any]:
    """N, in bars."""
    return {"horizon": material.inputs.horizon}


SECTION = Section(
    "Gain by scenario and m",
    reads=("horizon",),
    grids=grids,
    pictures=pictures,
    words=words,
)
