"""Tables of a day as they were made for several assets together, bar by bar, and what they are for one asset.

A table for each asset and bar would cost more than its row: tables stay as they were made until somebody asks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray


@dataclass(frozen=True)
class Tables:
    """Raw rows, validated bars and features of the same bars of one or several assets."""

    raw: pd.DataFrame
    bars: pd.DataFrame
    features: pd.DataFrame


class DayLog:
    """What was made of one date since it began."""

    def __init__(self) -> None:
        self._parts: list[tuple[tuple[str, ...], Tables]] = []
        self._whole: dict[str, tuple[pd.DataFrame, NDArray[np.str_], NDArray[np.int64]]] = {}

    def __len__(self) -> int:
        return len(self._parts)

    def add(self, symbols: tuple[str, ...], tables: Tables) -> None:
        """Append what was made together.

        Args:
            symbols: the assets, whose rows stand in the tables one asset after the other, with as many rows for each.
            tables: of them.
        """
        self._parts.append((symbols, tables))
        self._whole = {}

    def of(self, kind: str, symbol: str, since: int) -> pd.DataFrame:
        """One asset's rows.

        Args:
            kind: which table, by its name in `Tables`.
            symbol: of the asset.
            since: number of parts that are left out, the oldest first.
        """
        if kind not in self._whole:
            tables = [getattr(tables, kind) for _, tables in self._parts]
            owners = [
                np.repeat(symbols, len(t) // len(symbols)) for (symbols, _), t in zip(self._parts, tables, strict=True)
            ]
            part = np.repeat(np.arange(len(tables)), [len(table) for table in tables])
            self._whole[kind] = pd.concat(tables, ignore_index=True), np.concatenate(owners), part
        whole, owner, part = self._whole[kind]
        return whole.iloc[np.flatnonzero((owner == symbol) & (part >= since))]


@dataclass(frozen=True)
class AssetDay:
    """One asset's day: the tables with which it began, and behind them its rows of a log.

    Args:
        symbol: of the asset.
        begun: made of the day as a whole; None where the day began with the log.
        log: of the day.
        since: parts that the log had then.
    """

    symbol: str
    begun: Tables | None
    log: DayLog
    since: int

    def table(self, kind: str) -> pd.DataFrame:
        """All of the day, by the table's name in `Tables`."""
        begun = [] if self.begun is None else [getattr(self.begun, kind)]
        if len(self.log) == self.since:
            return begun[0]
        return pd.concat([*begun, self.log.of(kind, self.symbol, self.since)], ignore_index=True)
