"""What the pictures of the execution report share: sizes, colours and markers, and how a figure becomes SVG.

The same tables give the same bytes: ids are hashed with a fixed salt, there is no date and no metadata, and text is
drawn as paths. Figures are as wide as a phone, so that their labels stay legible there; an SVG scales to its container.
Strategies differ by colour (Okabe and Ito's palette, safe for colour-blind readers) and by marker.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from lem.reports.tables import MODEL, strategy_rank
from lem.strategies.rules import rule_names

WIDTH = 4.7
"""Inches: at 10 points a letter, what a phone shows without shrinking."""
MARKERS = (8.5, 7.0, 5.5, 4.5, 3.5, 2.5)
"""Marker sizes on lines: smaller ones are drawn on top, so that equal strategies do not hide each other."""
STYLES = (
    ("#0072B2", "o", "-"),
    ("#D55E00", "s", "--"),
    ("#4D4D4D", "^", ":"),
    ("#009E73", "D", "-."),
    ("#CC79A7", "v", "--"),
    ("#E69F00", "P", ":"),
    ("#56B4E9", "X", "-."),
    ("#8B6914", "p", "--"),
    ("#332288", "*", ":"),
    ("#882255", "h", "-."),
)
"""Colour, marker and line by a strategy's place: the first is the model's."""
FIRST_STYLED = ("optimal_stopping", "twap")
"""The rules whose styles follow the model's."""
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
    """A picture of the page.

    Args:
        svg: inline SVG, with title and description inside.
        alt: the same description as text.
        caption: what stands below it.
    """

    svg: str
    alt: str
    caption: str


def by_strategy(table: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """The rows of each strategy, in the order of the tables."""
    names = sorted(table["strategy"].unique(), key=strategy_rank)
    return [(name, table[table["strategy"] == name]) for name in names]


def style_of(strategy: str, present: Iterable[str] = ()) -> tuple[str, str, str]:
    """Colour, marker and line of a strategy, by its place.

    The places are the model's, those of `FIRST_STYLED`, and those of the rules in their list: a rule keeps its style
    when tables show it elsewhere. Further strategies, such as a notebook's own, follow in the order of their names.
    After the last style the second comes again, so no rule has the model's.

    Args:
        strategy: a known one, or one of `present`.
        present: all that the picture shows.
    """
    known = list(dict.fromkeys((MODEL, *FIRST_STYLED, *rule_names())))
    places = [*known, *sorted(set(present) - set(known))]
    place = places.index(strategy)
    return STYLES[place] if place < len(STYLES) else STYLES[1:][(place - len(STYLES)) % (len(STYLES) - 1)]


def marker_size(place: int) -> float:
    """Size of the markers of the strategy drawn in this place."""
    return MARKERS[min(place, len(MARKERS) - 1)]


def listed(names: Sequence[object] | pd.Series, values: Sequence[float] | np.ndarray | pd.Series) -> str:
    """Names and values, one decimal, as a list in a sentence."""
    return ", ".join(f"{name}: {value:.1f}" for name, value in zip(names, values, strict=True))


def legend(figure: Figure, axes: Axes | None = None) -> None:
    """One legend above the figure, of the first panel or of `axes`."""
    handles, names = (axes or figure.axes[0]).get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper left", ncols=2, fontsize=9.5, columnspacing=1.2, handletextpad=0.5)


def to_svg(figure: Figure, name: str, title: str, description: str) -> str:
    """The figure as one <svg> element that scales to its container.

    Args:
        figure: to be drawn.
        name: prefix of all ids, as many pictures share one page.
        title: of the picture.
        description: of what it shows, in words.
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
