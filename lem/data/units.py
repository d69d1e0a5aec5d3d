"""What a volume may count that does not fit the quote volume: contracts, or coins and contracts the wrong way round."""

from __future__ import annotations

import numpy as np

from lem.late import pd

_SPREAD = 1.05
"""How far the ratio of the largest to the smallest unit may lie from 1 for it to be one unit."""


def unit_problem(rows: pd.DataFrame) -> str:
    """In words, what the volume of a day may count; empty if no one unit makes the rows fit.

    Args:
        rows: raw rows of one day whose VWAP lies outside of their prices.
    """
    typical = rows[["high", "low", "close"]].mean(axis=1)
    traded = (rows["volume"] > 0) & (rows["quote_volume"] > 0) & (typical > 0)
    if traded.sum() < 2 or not traded.all():
        return ""
    price = rows["quote_volume"] / rows["volume"]
    # One contract is so many coins (linear), or so much money (inverse: its quote volume is in coins).
    coins, money = price / typical, price * typical
    for unit, told in ((coins, "linear"), (money, "inverse")):
        size = float(np.median(unit))
        if not unit.max() / unit.min() < _SPREAD or (told == "linear" and 1 / _SPREAD < size < _SPREAD):
            continue
        if told == "linear":
            return (
                f"volume may count contracts of {size:.4g} of the base currency each, and not the base currency; "
                "allowed: volume in base currency, quote volume in quote currency"
            )
        if 1 / _SPREAD < size < _SPREAD:
            return "volume and quote volume may have changed places: quote volume / volume is 1 / price"
        return (
            f"this may be an inverse (coin-margined) contract: volume counts contracts of {size:.4g} of the quote "
            "currency each, and quote volume counts coins; allowed: volume in base currency, quote volume in quote "
            "currency"
        )
    return ""
