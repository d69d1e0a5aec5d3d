"""The index of all reports in the lake: what each said, and how what is kept went over the dates.

One page in the lake's root, which links to the reports beside it and needs no network. It is made again whenever a
report is made, and before old ones are removed.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Sequence
from itertools import groupby
from typing import Any
from urllib.parse import quote

import matplotlib.dates as mdates
import numpy as np
from matplotlib import style
from matplotlib.figure import Figure

from lem.lake import Lake
from lem.lineage.stored_report import INDEX, report_path
from lem.reports.collection import Entry, all_reports, entries
from lem.reports.figures import SETTINGS, STYLES, WIDTH, Picture, legend, to_svg
from lem.reports.report import ENVIRONMENT
from lem.reports.wording import NO_BREAK, label, number, short

OPEN_ROWS = 31
"""Dates of a universe that are shown at once; older ones are folded away."""
_TRIES = 5


def write_index(lake: Lake, without: Collection[tuple[str, dt.date]] = ()) -> str:
    """Make the index of the reports that are there, and return its path in the lake.

    A report that was made or removed meanwhile by another process is seen: the page is then made again.

    Args:
        lake: with the reports.
        without: reports that are about to go, by universe and date.

    Raises:
        LakeError: the lake cannot be read or written.
    """
    there = all_reports(lake, without)
    for _ in range(_TRIES):
        lake.write_bytes(INDEX, render_index(entries(lake, there)).encode())
        before, there = there, all_reports(lake, without)
        if there == before:
            break
    return INDEX


def render_index(found: Sequence[Entry]) -> str:
    """The page.

    Args:
        found: the reports, grouped by universe, the dates ascending.
    """
    universes = []
    for place, (name, group) in enumerate(groupby(found, key=lambda one: one.universe)):
        own = list(group)
        rows = [_row(one) for one in reversed(own)]
        universes.append(
            {"name": name, "anchor": f"u{place}", "first": own[0].date, "last": own[-1].date}
            | {"picture": trend(own, f"trend{place}"), "rows": rows[:OPEN_ROWS], "older": rows[OPEN_ROWS:]}
            | {"dates": [one.date for one in own]}
        )
    return ENVIRONMENT.get_template("index.html.jinja").render(universes=universes, count=len(found))


def trend(own: Sequence[Entry], name: str) -> Picture | None:
    """What champion and best rule kept after costs, over the dates of a universe's reports; None without figures.

    Args:
        own: the reports of one universe, the dates ascending.
        name: prefix of the ids in the picture.
    """
    readable = [one for one in own if one.kept or one.rule_bps is not None]
    if not readable:
        return None
    dates = [one.date for one in readable]
    model, rule = _values(readable, "model"), _values(readable, "rule")
    low, high = _values(readable, "low"), _values(readable, "high")
    marks = len(dates) <= 60
    with style.context(["default", SETTINGS]):
        figure = Figure(figsize=(WIDTH, 3.2), layout="constrained")
        axes = figure.subplots()
        axes.axhline(0, color="#000000", linewidth=0.8)
        days = mdates.date2num(dates)
        for values, words, (colour, marker, line) in (
            (model, "Champion", STYLES[0]),
            (rule, "Best rule that knows costs", STYLES[1]),
        ):
            axes.plot(days, values, color=colour, marker=marker if marks else "", linestyle=line, label=words)
        axes.fill_between(days, low, high, color=STYLES[0][0], alpha=0.15, linewidth=0, label="95 % of the champion")
        if marks:  # a point without neighbours has no area
            axes.vlines(days, low, high, color=STYLES[0][0], alpha=0.3)
        if len(dates) == 1:
            axes.set_xlim(days[0] - 1, days[0] + 1)
        locator = mdates.AutoDateLocator(minticks=1, maxticks=3)
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(mdates.DateFormatter("%Y-%m-%d"))
        axes.set(ylabel="kept after costs, bps")
        legend(figure)
        first, last = readable[0], readable[-1]
        alt = f"Kept after costs in bps by date, {first.date} to {last.date}. {_said(last)}"
        caption = (
            f"Kept after costs, each point the mean over the days of one report, so neighbours share orders. "
            f"Shaded: the champion’s 95{NO_BREAK}% interval."
        )
        return Picture(to_svg(figure, name, "Kept after costs by date", alt), alt, caption)


def _values(own: Sequence[Entry], what: str) -> np.ndarray:
    ends = {"model": "mean", "low": "low", "high": "high"}
    if what == "rule":
        return np.array([np.nan if one.rule_bps is None else one.rule_bps for one in own])
    return np.array([getattr(one.kept, ends[what]) if one.kept else np.nan for one in own])


def _said(one: Entry) -> str:
    model = f"the champion kept {number(one.kept.mean)}" if one.kept else "no model traded"
    rule = f", {label(one.rule)} {number(one.rule_bps)}" if one.rule_bps is not None else ""
    return f"On {one.date} {model}{rule}."


def _row(one: Entry) -> dict[str, Any]:
    """What the page's table says of a report."""
    gap = one.gap
    return {
        "href": quote(report_path(one.universe, one.date, "report.html"), safe="/="),
        "date": one.date,
        "note": one.note,
        "status": one.status,
        "champion": short(one.champion),
        "kept": number(one.kept.mean) if one.kept else "no model",
        "inside": _inside(one.kept),
        "rule": label(one.rule) if one.rule else "",
        "rule_bps": "none" if one.rule_bps is None else number(one.rule_bps),
        "gap": number(gap.mean) if gap else "none",
        "gap_inside": _inside(gap),
        "verdict": one.verdict,
        "blocks": one.blocks,
    }


def _inside(interval: Any) -> str:
    return f"{number(interval.low)} to {number(interval.high)}" if interval and interval.known else ""
