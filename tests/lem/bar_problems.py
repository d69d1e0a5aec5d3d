"""One day of raw bars of the small universe, and what is told of it where it breaks a rule."""

from __future__ import annotations

import datetime as dt

import pandas as pd
import pytest

from lem.data.bars import validate_bars
from lem.errors import BarsError
from lem.universe import Universe

DATE = dt.date(2024, 1, 5)


def outage(start: str, end: str) -> dict[str, str]:
    """An outage on DATE from one hour of the day ("05:00") to another."""
    day = f"{DATE}T"
    return {"start": f"{day}{start}:00Z", "end": f"{day}{end}:00Z", "reason": "none made"}


def problems(raw: pd.DataFrame, universe: Universe, symbol: str = "AAA-USD", date: dt.date = DATE) -> list[str]:
    """The lines below the first of the error that these rows give."""
    with pytest.raises(BarsError) as error:
        validate_bars(raw, universe, symbol, date)
    first, *lines = str(error.value).splitlines()
    assert first.startswith(f"{universe.name}/{symbol} {date}: ")
    return lines


def only(lines: list[str], rule: str, place: str) -> str:
    """The line of one broken rule, on one row; there is no other but the one that says how to go on."""
    lines = [line for line in lines if not line.startswith("  Where the source cannot be corrected")]
    assert len(lines) == 1, lines
    assert lines[0].startswith(f"  {rule}: {place}"), lines
    return lines[0]


def place(raw: pd.DataFrame, row: int) -> str:
    """How an error names a row."""
    return f"simulated:7:{raw['source_row'][row]} ("
