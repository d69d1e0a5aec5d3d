"""Rows of a file that cannot be read, and the times that each blocks: its own bar, not the whole file."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from lem.errors import RowsError

_FIRST, _LAST = pd.Timestamp("1678-01-01", tz="UTC"), pd.Timestamp("2262-01-01", tz="UTC")
_MOMENT, _DAY = pd.Timedelta("1us"), pd.Timedelta(1, "D")


@dataclass(frozen=True)
class Unread:
    """A row that breaks a rule, before it is known which times that blocks.

    Args:
        position: of the row, from 0.
        text: names file, row, value and rule.
        rule: the same for all rows that break it.
        time: the row's own, UTC, where it is known although it is none that a file may hold.
    """

    position: int
    text: str
    rule: str
    time: pd.Timestamp | None = None


@dataclass(frozen=True)
class BadRow:
    """A row that cannot be read.

    Args:
        since: begin of the time that it blocks, UTC.
        until: end of it, exclusive.
        text: names file, row, value and rule.
        rule: the same for all rows that break it.
        if_empty: whether it blocks only a window in which there is no other row.
        guessed: whether the time is that of the row's neighbours: a window in which no bar is expected is not blocked.
    """

    since: pd.Timestamp
    until: pd.Timestamp
    text: str
    rule: str
    if_empty: bool = False
    guessed: bool = False


def found(url: str, column: pd.Series, bad: pd.Series, rule: str) -> list[Unread]:
    """The rows whose value of a column breaks a rule.

    Args:
        url: names the file.
        column: the column, with the number of each row (from 1) as its index.
        bad: true for rows that break the rule, in the same order.
        rule: in words, with what is allowed.
    """
    where = np.flatnonzero(bad.to_numpy()).tolist()
    return [
        Unread(n, f"{url}: row {column.index[n]}, column {column.name!r}: {str(column.iloc[n])!r} {rule}", rule)
        for n in where
    ]


def placed(unread: Iterable[Unread], times: pd.Series, length: pd.Timedelta) -> list[BadRow]:
    """The times that bad rows block.

    A row whose time is known blocks that. Any other stands for the bar that is absent between its neighbours; where
    none is absent, it may be either of them. A time before all others that a file may hold is taken as it is.

    Args:
        unread: the rows.
        times: of all rows, NaT where a time cannot be read.
        length: of a bar.
    """
    before, after = times.ffill().shift(1), times.bfill().shift(-1)
    out = []
    for row in unread:
        own = times.iloc[row.position]
        if not pd.isna(own):
            out.append(BadRow(own, own + _MOMENT, row.text, row.rule))
            continue
        last, following = before.iloc[row.position], after.iloc[row.position]
        if pd.isna(last) and row.time is not None:
            out.append(BadRow(row.time, row.time + _MOMENT, row.text, row.rule))
            continue
        since = _FIRST if pd.isna(last) else last + length
        # A session opens some time in its day.
        until = _LAST if pd.isna(following) else following.floor("D") if length >= _DAY else following
        if since >= until:
            since, until = last, following + _MOMENT
        out.append(BadRow(since, until, row.text, row.rule, guessed=True))
    return out


def clipped(rows: Sequence[BadRow], start: dt.datetime, end: dt.datetime) -> list[BadRow]:
    """The bad rows of a file of one day or month: each blocks at least one of its days."""
    first, last = pd.Timestamp(start), pd.Timestamp(end) - _MOMENT
    return [
        BadRow(
            min(max(row.since, first), last), max(min(row.until, last + _MOMENT), first + _MOMENT), row.text, row.rule
        )
        for row in rows
    ]


def refuse_bad(
    rows: Sequence[BadRow], start: dt.datetime, end: dt.datetime, empty: bool, expected: bool = True
) -> None:
    """Refuse a window that a bad row blocks.

    Args:
        rows: the file's bad rows.
        start: begin of the window, UTC.
        end: end of it, exclusive.
        empty: whether the file has no row in the window.
        expected: whether there should be one.

    Raises:
        RowsError: it is blocked; names the first such row, and how many break the same rule.
    """
    first, last = pd.Timestamp(start), pd.Timestamp(end)
    inside = [
        row
        for row in rows
        if row.since < last
        and row.until > first
        and (empty or not row.if_empty)
        and (expected or not empty or not row.guessed)
    ]
    if inside:
        same = len({row.text for row in inside if row.rule == inside[0].rule})
        raise RowsError(inside[0].text + (f" ({same} rows break this rule)" if same > 1 else ""))
