"""What a section of the report is: what it reads, its tables, its figures, its words.

Every section has a file in `lem/reports/sections/` and a template of the same name in `templates/sections/`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pandas as pd

if TYPE_CHECKING:
    from lem.reports.figures import Picture
    from lem.reports.grids import Grid
    from lem.reports.headline import Headline
    from lem.reports.inputs import ReportInputs


@dataclass(frozen=True)
class Material:
    """What the words of a section are made from.

    Args:
        inputs: of the report.
        orders: prepared (`lem.reports.prepared.prepare_orders`), with their groups.
        statistics: all of them (`lem.reports.tables.full_table`).
        tables: the section's own.
        head: the answers of the first screen.
        block_days: days of a bootstrap block.
    """

    inputs: ReportInputs
    orders: pd.DataFrame
    statistics: pd.DataFrame
    tables: Mapping[str, pd.DataFrame]
    head: Headline
    block_days: int


Tables = Callable[["ReportInputs", pd.DataFrame, pd.DataFrame], dict[str, pd.DataFrame]]
Grids = Callable[["ReportInputs", pd.DataFrame, Mapping[str, pd.DataFrame]], dict[str, "Grid"]]
Pictures = Callable[[pd.DataFrame, Mapping[str, pd.DataFrame]], dict[str, "Picture"]]
Words = Callable[[Material], dict[str, Any]]
Sentences = Callable[["ReportInputs"], list[str]]


def _nothing(*_: object) -> dict[str, Any]:
    return {}


def _no_sentence(_: object) -> list[str]:
    return []


@dataclass(frozen=True)
class Section:
    """A section of the page. Only `title` is needed.

    Its template sees the words by their names, `grids` and `pictures` (the section's own), and the macros.

    Args:
        title: its heading, also in the table of contents.
        reads: fields of `ReportInputs` that it looks at, beside what orders and statistics are made of.
        rows: what a row is, for each of its stored tables by name.
        tables: (inputs, prepared orders, statistics) to its stored tables, those of `rows`. A table without rows has
            its columns too.
        grids: (inputs, statistics, own tables) to its printed tables by name; those without rows are left out.
        pictures: (statistics, own tables) to its pictures by name.
        words: what else its template prints, by name.
        problems: sentences for the first screen that say why the report is incomplete.
        warnings: sentences for the first screen that say what to watch.
    """

    title: str
    reads: tuple[str, ...] = ()
    rows: Mapping[str, str] = field(default_factory=dict)
    tables: Tables = _nothing
    grids: Grids = _nothing
    pictures: Pictures = _nothing
    words: Words = _nothing
    problems: Sentences = _no_sentence
    warnings: Sentences = _no_sentence
