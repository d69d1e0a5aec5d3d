"""The columns of the `bars` table that features read, as arrays, of one asset or of several at once.

Shapes: T = bars, D = the last of them, F = features; an axis of assets may stand before that of time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import pyarrow as arrow
from numpy.typing import NDArray

from lem.late import pc, pd

NUMBERS = ("high", "low", "close", "vwap", "volume")


@dataclass(frozen=True)
class Tape:
    """Bars in time order: of one asset, or of several on the same grid.

    Args:
        ts_T: (T,), opens, UTC (datetime64[us]).
        close_ts_T: (T,), closes, UTC (datetime64[us]).
        high_T: (..., T); NaN in outages, as all prices and the volume.
        low_T: (..., T), as `high_T`.
        close_T: (..., T), as `high_T`.
        vwap_T: (..., T); NaN where nobody traded.
        volume_T: (..., T), as `high_T`.
        traded_T: bool (..., T), whether the flag is `ok`.
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
        numbers = {f"{name}_T": bars[name].to_numpy(float) for name in NUMBERS}
        return cls(ts_T, close_ts_T, **numbers, traded_T=(bars["flag"] == "ok").to_numpy(bool))

    @classmethod
    def of_arrow(cls, bars: arrow.Table) -> Tape:
        """The same of the table as it is read from the lake."""
        ts_T, close_ts_T = bars["ts"].to_numpy(), bars["close_ts"].to_numpy()
        numbers = {f"{name}_T": bars[name].to_numpy() for name in NUMBERS}
        return cls(ts_T, close_ts_T, **numbers, traded_T=pc.equal(bars["flag"], "ok").to_numpy())

    @classmethod
    def joined(cls, parts: Sequence[Tape]) -> Tape:
        """The bars of several tapes, one after the other.

        Args:
            parts: one or more.
        """
        return cls(*(np.concatenate([getattr(part, field.name) for part in parts], axis=-1) for field in fields(cls)))

    def last(self, bars: int) -> Tape:
        """The last bars, at most so many."""
        first = max(len(self) - bars, 0)
        return Tape(*(getattr(self, field.name)[..., first:] for field in fields(self))) if first else self


@dataclass(frozen=True)
class FeatureArrays:
    """Columns of the feature table that are computed.

    Args:
        sigma_D: (..., D).
        mean_volume_D: (..., D).
        valid_D: bool (..., D).
        values_FD: (F, ..., D), of the features; 0 where the bar is not valid.
    """

    sigma_D: NDArray[np.float64]
    mean_volume_D: NDArray[np.float64]
    valid_D: NDArray[np.bool_]
    values_FD: NDArray[np.float64]

    @classmethod
    def of_shape(cls, assets: int, bars: int, features: int) -> FeatureArrays:
        """Arrays to be filled."""
        sigma_D, mean_volume_D = np.full((2, assets, bars), np.nan)
        return cls(sigma_D, mean_volume_D, np.zeros((assets, bars), bool), np.zeros((features, assets, bars)))

    @classmethod
    def joined(cls, parts: Sequence[FeatureArrays]) -> FeatureArrays:
        """Those of several stretches of bars, one after the other.

        Args:
            parts: one or more.
        """
        return cls(*(np.concatenate([getattr(part, field.name) for part in parts], axis=-1) for field in fields(cls)))

    def put(self, rows: Sequence[int], other: FeatureArrays) -> None:
        """Fill the places of some assets."""
        self.sigma_D[rows], self.mean_volume_D[rows] = other.sigma_D, other.mean_volume_D
        self.valid_D[rows], self.values_FD[:, rows] = other.valid_D, other.values_FD

    def flat(self) -> FeatureArrays:
        """The same of all assets, one after the other."""
        values_FD = self.values_FD.reshape(len(self.values_FD), -1)
        return FeatureArrays(self.sigma_D.ravel(), self.mean_volume_D.ravel(), self.valid_D.ravel(), values_FD)
