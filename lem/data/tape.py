"""The columns of the `bars` table that features read, as arrays: a partition is looked at for many days after it.

Shapes: T = bars.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import pyarrow as arrow
from numpy.typing import NDArray

from lem.late import pc, pd

_NUMBERS = ("high", "low", "close", "vwap", "volume")


@dataclass(frozen=True)
class Tape:
    """Bars in time order.

    Args:
        ts_T: opens, UTC (datetime64[us]).
        close_ts_T: closes, UTC (datetime64[us]).
        high_T: NaN in outages, as all prices and the volume.
        low_T: as `high_T`.
        close_T: as `high_T`.
        vwap_T: NaN where nobody traded.
        volume_T: as `high_T`.
        traded_T: whether the flag is `ok`.
    """

    ts_T: NDArray[np.datetime64]
    close_ts_T: NDArray[np.datetime64]
    high_T: NDArray[np.float64]
    low_T: NDArray[np.float64]
    close_T: NDArray[np.float64]
    vwap_T: NDArray[np.float64]
    volume_T: NDArray[np.float64]
    traded_T: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.ts_T)

    @classmethod
    def of(cls, bars: pd.DataFrame) -> Tape:
        """The tape of a `bars` table (`lem.data.bars.TABLE_SCHEMA`)."""
        ts_T, close_ts_T = (bars[name].to_numpy("datetime64[us]") for name in ("ts", "close_ts"))
        numbers = {f"{name}_T": bars[name].to_numpy(float) for name in _NUMBERS}
        return cls(ts_T, close_ts_T, **numbers, traded_T=(bars["flag"] == "ok").to_numpy(bool))

    @classmethod
    def of_arrow(cls, bars: arrow.Table) -> Tape:
        """The same of the table as it is read from the lake."""
        ts_T, close_ts_T = bars["ts"].to_numpy(), bars["close_ts"].to_numpy()
        numbers = {f"{name}_T": bars[name].to_numpy() for name in _NUMBERS}
        return cls(ts_T, close_ts_T, **numbers, traded_T=pc.equal(bars["flag"], "ok").to_numpy())

    @classmethod
    def joined(cls, parts: Sequence[Tape]) -> Tape:
        """The bars of several tapes, one after the other.

        Args:
            parts: one or more.
        """
        return cls(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)))

    def last(self, bars: int) -> Tape:
        """The last bars, at most so many."""
        first = max(len(self) - bars, 0)
        return Tape(*(getattr(self, field.name)[first:] for field in fields(self))) if first else self
