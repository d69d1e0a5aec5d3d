"""Validated bars of a short length made into longer ones: one-minute bars into hourly ones.

With quote volumes the long bar's VWAP is exact: its quote volume divided by its volume. Without them it is the mean of
its parts' estimates, weighted by volume, and is marked as estimated.

Shapes: T = short bars, B = long bars, K = parts of a long bar.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from lem.late import pd


def aggregate(bars: pd.DataFrame, parts: int) -> pd.DataFrame:
    """Make one row of every `parts` rows that follow each other.

    Prices come from the parts that traded; if none did, from the prices that the venue gave for parts without trades.
    A long bar is `ok` if a part traded, an outage if all of its parts are, and without trades otherwise. Sums are
    correctly rounded, so they do not depend on the order; the sums of sums are within one unit in the last place.

    Args:
        bars: the `bars` table (`lem.data.bars.TABLE_SCHEMA`) on a complete grid: no part of a long bar is missing.
        parts: K; must divide the number of rows.
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
    """Position of the last part of each long bar that is true."""
    return true_BK.shape[1] - 1 - true_BK[:, ::-1].argmax(axis=1)


def _sum(values_BK: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum over the parts, correctly rounded."""
    return np.fromiter(map(math.fsum, values_BK.tolist()), float, len(values_BK))
