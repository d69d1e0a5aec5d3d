"""Bars as arrays, of one asset or of several at once, and the columns of features that are computed of them.

Shapes: T = bars, D = the last of them, F = features; an axis of assets may stand before that of time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lem.late import pd


@dataclass(frozen=True)
class Tape:
    """Bars in time order: of one asset, or of several on the same grid.

    Args:
        opens: (T,), UTC.
        closes: (T,), UTC.
        high_T: (..., T), currency.
        low_T: (..., T), currency.
        close_T: (..., T), currency; NaN in an outage.
        vwap_T: (..., T), currency; NaN where nothing traded.
        volume_T: (..., T), units of the asset.
        traded_T: bool (..., T).
    """

    opens: pd.DatetimeIndex
    closes: pd.DatetimeIndex
    high_T: NDArray
    low_T: NDArray
    close_T: NDArray
    vwap_T: NDArray
    volume_T: NDArray
    traded_T: NDArray

    @classmethod
    def of(cls, bars: pd.DataFrame) -> Tape:
        """The bars of one asset (table `bars`)."""
        names = ("high", "low", "close", "vwap", "volume")
        high_T, low_T, close_T, vwap_T, volume_T = (bars[name].to_numpy(float) for name in names)
        traded_T = (bars["flag"] == "ok").to_numpy(bool)
        opens, closes = pd.DatetimeIndex(bars["ts"]), pd.DatetimeIndex(bars["close_ts"])
        return cls(opens, closes, high_T, low_T, close_T, vwap_T, volume_T, traded_T)

    def since(self, first: int) -> Tape:
        """The bars from a position on."""
        return Tape(
            opens=self.opens[first:],
            closes=self.closes[first:],
            high_T=self.high_T[..., first:],
            low_T=self.low_T[..., first:],
            close_T=self.close_T[..., first:],
            vwap_T=self.vwap_T[..., first:],
            volume_T=self.volume_T[..., first:],
            traded_T=self.traded_T[..., first:],
        )


@dataclass(frozen=True)
class FeatureArrays:
    """Columns of the feature table that are computed, of the bars from some first one on: D of them.

    Args:
        sigma_D: (..., D).
        mean_volume_D: (..., D).
        valid_D: bool (..., D).
        values_DF: (..., D, F), of the features; 0 where the bar is not valid.
    """

    sigma_D: NDArray
    mean_volume_D: NDArray
    valid_D: NDArray
    values_DF: NDArray

    @classmethod
    def of_shape(cls, assets: int, bars: int, features: int) -> FeatureArrays:
        """Arrays to be filled."""
        sigma_D, mean_volume_D = np.full((2, assets, bars), np.nan)
        return cls(sigma_D, mean_volume_D, np.zeros((assets, bars), bool), np.zeros((assets, bars, features)))

    def put(self, rows: Sequence[int], other: FeatureArrays) -> None:
        """Fill the places of some assets."""
        self.sigma_D[rows], self.mean_volume_D[rows] = other.sigma_D, other.mean_volume_D
        self.valid_D[rows], self.values_DF[rows] = other.valid_D, other.values_DF

    def flat(self) -> FeatureArrays:
        """The same of all assets below each other."""
        values_DF = self.values_DF.reshape(-1, self.values_DF.shape[-1])
        return FeatureArrays(self.sigma_D.ravel(), self.mean_volume_D.ravel(), self.valid_D.ravel(), values_DF)
