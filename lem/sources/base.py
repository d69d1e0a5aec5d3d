"""What every source gives: its rows as they are, in one schema, for a half-open UTC window of bar opens."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol, runtime_checkable

import pyarrow as arrow

from lem.errors import SourceError
from lem.late import pd

PRICES = ("open", "high", "low", "close")
NUMBERS = (*PRICES, "volume", "quote_volume")

MAX_NAMED = 12

RAW_SCHEMA = arrow.schema(
    [
        ("ts", arrow.timestamp("us", tz="UTC")),
        *((name, arrow.float64()) for name in NUMBERS),
        ("adjustment", arrow.float64()),
        ("source", arrow.string()),
        ("source_row", arrow.int64()),
    ]
)
"""Raw bars: `ts` is the bar's open, `quote_volume` NaN where there is none, `source_row` counts from 1.

`adjustment` is the factor that the source's prices were multiplied by and its volume was divided by: 1 if none.
"""

RAW_DTYPES = {
    "ts": "datetime64[us, UTC]",
    **dict.fromkeys((*NUMBERS, "adjustment"), "float64"),
    "source": "str",
    "source_row": "int64",
}


@dataclass(frozen=True)
class Whole:
    """A table that a source has read as a whole, of which an answer is a part.

    Args:
        rows: of the table.
        first: open of its first bar, UTC.
        last: open of its last bar, UTC.
    """

    rows: int
    first: dt.datetime
    last: dt.datetime


@dataclass(frozen=True)
class RawBars:
    """A source's answer.

    Args:
        table: rows of `RAW_SCHEMA` in the source's order, exactly as it gave them apart from `adjustment`.
        source: where they came from (URL, or `simulated:<seed>`).
        fetched_at: when (UTC).
        whole: the table that these rows are a part of; None where the source has no such table.
    """

    table: pd.DataFrame
    source: str
    fetched_at: dt.datetime
    whole: Whole | None = None


class Source(Protocol):
    """Anything that has bars."""

    def fetch(self, symbol: str, start: dt.datetime, end: dt.datetime) -> RawBars:
        """Rows whose bar opens in [start, end). A window without rows is an answer, not an error.

        Raises:
            RowsError: rows of the window cannot be read.
            SourceError: the source cannot be read, or its content is no table of bars.
            UniverseError: the universe has no such symbol.
        """
        ...

    def forget(self, symbol: str) -> None:
        """Drop what is in memory of the asset, so that the next `fetch` sees what the source has by then.

        Between two calls a source may answer from memory, so that a batch reads it as of one time. A process that
        follows the market calls this before it asks for new bars.

        Raises:
            UniverseError: the universe has no such symbol.
        """
        ...


@runtime_checkable
class WithRules(Protocol):
    """A source that knows what its venue takes of an asset."""

    def trading_rules(self, symbol: str) -> Mapping[str, Decimal]:
        """What is known of `lot`, `tick`, `min_amount` and `min_notional`, in base and quote currency.

        Raises:
            SourceError: the venue did not answer, or has no such market.
            UniverseError: the universe has no such symbol.
        """
        ...


def rules_from(source: Source, symbol: str) -> Mapping[str, Decimal]:
    """The trading rules of an asset; none where the source knows of none. Raises as `WithRules.trading_rules`."""
    return source.trading_rules(symbol) if isinstance(source, WithRules) else {}


def check_window(start: dt.datetime, end: dt.datetime) -> None:
    """Refuse a window that is not in UTC or is empty.

    Raises:
        SourceError: names the window and what is allowed.
    """
    for name, value in (("start", start), ("end", end)):
        if value.utcoffset() != dt.timedelta(0):
            raise SourceError(f"fetch: {name} {value.isoformat()} is not in UTC; allowed: UTC datetimes")
    if end <= start:
        raise SourceError(f"fetch: the window [{start}, {end}) is empty; allowed: an end after the start")


def refuse_failed(errors: Mapping[str, str]) -> None:
    """Raise if assets failed.

    Args:
        errors: by asset, or by asset and date; may be empty.

    Raises:
        SourceError: an asset failed; holds the first error and the names of the others.
    """
    if errors:
        first, *others = sorted(errors)
        more = f" and {len(others) - MAX_NAMED} more" if len(others) > MAX_NAMED else ""
        named = f"\nno bars either of: {', '.join(others[:MAX_NAMED])}{more}"
        raise SourceError(errors[first] + (named if others else ""))
