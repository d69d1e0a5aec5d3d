"""The key of a partition: only this module makes, reads and orders it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from lem.errors import LineageError

_SHOWN = 12


@dataclass(frozen=True, order=True)
class PartitionKey:
    """One date of a table, or one asset's date. Keys of one table are ordered by asset, then date.

    Args:
        asset: None in tables of all assets.
        date: UTC.
    """

    asset: str | None
    date: dt.date

    @classmethod
    def of(cls, date: dt.date) -> PartitionKey:
        """The key of a date in a table of all assets."""
        return cls(None, date)

    @classmethod
    def parse(cls, text: str) -> PartitionKey:
        """The key of a text that `str` made, as Dagster and the registry store it.

        Raises:
            LineageError: the text is neither `2024-01-10` nor `BTC-USDT|2024-01-10`.
        """
        asset, _, date = text.rpartition("|")
        try:
            return cls(asset or None, dt.date.fromisoformat(date))
        except ValueError:
            raise LineageError(f"partition key {text!r}; allowed: 2024-01-10, or BTC-USDT|2024-01-10") from None

    @property
    def symbol(self) -> str:
        """The asset, in a table that has partitions by asset.

        Raises:
            LineageError: the key has no asset.
        """
        if self.asset is None:
            raise LineageError(f"partition key {self}: no asset; allowed: BTC-USDT|2024-01-10")
        return self.asset

    def __str__(self) -> str:
        return f"{self.asset}|{self.date.isoformat()}" if self.asset else self.date.isoformat()


class Partition(NamedTuple):
    """A partition of a table.

    Args:
        table: name of its stage.
        key: of the partition.
    """

    table: str
    key: PartitionKey


def parse_keys(texts: Iterable[str]) -> list[PartitionKey]:
    """Keys from their texts, sorted: Dagster gives them in set order, which differs between processes."""
    return sorted(map(PartitionKey.parse, texts))


def span(keys: Iterable[PartitionKey]) -> tuple[dt.date, dt.date]:
    """First and last date of some keys, at least one."""
    dates = [key.date for key in keys]
    return min(dates), max(dates)


def name_missing(missing: Sequence[object]) -> str:
    """A short list of partition keys for an error message."""
    more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
    return ", ".join(str(key) for key in missing[:_SHOWN]) + more
