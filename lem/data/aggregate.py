"""Validated bars of a short length made into longer ones: one-minute bars into hourly ones.

Exact where the source is: with quote volumes the long bar's VWAP is its quote volume divided by its volume, and nothing
is lost by having asked for short bars. Where the source has no quote volume, the long bar's VWAP is the mean of its
parts' estimates by volume, and says that it is estimated.

Shapes: T = short bars, B = long bars, K = parts of a long bar.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from numpy.typing import NDArray


def aggregate(bars: pd.DataFrame, parts: int) -> pd.DataFrame:
    """Make each `parts` rows that follow each other into one.

    Prices are those of the parts that traded; where none did, those that the venue gave for parts without trades. A
    long bar is `ok` if a part traded, an outage if all of its parts are, and without trades otherwise. Sums are
    correctly rounded: they are the same in any order, and the sums of the sums are within one unit in the last place.

    Args:
        bars: the `bars` table (`lem.data.bars.TABLE_SCHEMA`) on a complete grid: the parts of a long bar are all there.
        parts: K, by which the number of rows is divisible.
    """
    flag_BK, kind_BK = (_folded(bars[name].to_numpy(object), parts) for name in ("flag", "vwap_kind"))
    traded_BK, quoted_BK = flag_BK == "ok", flag_BK != "outage"
    any_traded_B, any_quoted_B = traded_BK.any(axis=1), quoted_BK.any(axis=1)
    priced_BK = np.where(any_traded_B[:, None], traded_BK, quoted_BK)
    row_B, first_B, last_B = np.arange(len(flag_BK)), priced_BK.argmax(axis=1), _last(priced_BK)
    estimated_B = (kind_BK == "estimated").any(axis=1)

    def part(name: str) -> NDArray[np.float64]:
        return _folded(bars[name].to_numpy(float), parts)

    volume_BK = part("volume")
    volume_B = _sum(np.where(quoted_BK, volume_BK, 0.0))
    quote_B = _sum(np.where(quoted_BK, part("quote_volume"), 0.0))
    weighted_B = _sum(np.where(traded_BK & estimated_B[:, None], part("vwap") * volume_BK, 0.0))
    vwap_B = np.divide(
        np.where(estimated_B, weighted_B, quote_B), volume_B, out=np.full(len(row_B), np.nan), where=any_traded_B
    )
    numbers = {
        "open": part("open")[row_B, first_B],
        "high": np.where(priced_BK, part("high"), -np.inf).max(axis=1, initial=-np.inf),
        "low": np.where(priced_BK, part("low"), np.inf).min(axis=1, initial=np.inf),
        "close": part("close")[row_B, last_B],
        "volume": volume_B,
        "quote_volume": np.where(estimated_B, np.nan, quote_B),
        "vwap": vwap_B,
    }
    table = pd.DataFrame({name: np.where(any_quoted_B, values, np.nan) for name, values in numbers.items()})
    table.insert(0, "ts", bars["ts"].iloc[::parts].array)
    table.insert(1, "close_ts", bars["close_ts"].iloc[parts - 1 :: parts].array)
    table["flag"] = np.select([any_traded_B, any_quoted_B], ["ok", "no_trades"], "outage")
    table["vwap_kind"] = np.where(estimated_B, "estimated", "exact")
    return table.astype(bars.dtypes)


def _folded(values_T: NDArray, parts: int) -> NDArray:
    return values_T.reshape(-1, parts)


def _last(true_BK: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Position of the last true part of each long bar."""
    return true_BK.shape[1] - 1 - true_BK[:, ::-1].argmax(axis=1)


def _sum(values_BK: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum over the parts, correctly rounded."""
    return np.fromiter(map(math.fsum, values_BK.tolist()), float, len(values_BK))
