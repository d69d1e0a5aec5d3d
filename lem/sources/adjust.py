"""Prices and volume on the scale of an adjusted close, so that a dividend or a split is no return.

The ratio of the adjusted close to the close says how many shares of today a share of that day is worth, dividends
reinvested. All four prices are multiplied by it. Volume is divided by it: so the money that was traded stays the same,
and with it the quote volume and the weight of the bar in every volume-weighted price.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from lem.sources.base import PRICES
from lem.sources.columns import refuse


def adjusted(where: str, table: pd.DataFrame, adjusted_close: pd.Series) -> pd.DataFrame:
    """The rows with adjusted prices and volume, and the factor in `adjustment`.

    Args:
        where: names the source in an error.
        table: raw bars whose open, high, low, close and volume are on one scale.
        adjusted_close: of each row.

    Raises:
        SourceError: a row's adjusted close gives no finite factor above 0; names source, row, column, and the rule.
    """
    factor = adjusted_close / table["close"]
    refuse(
        where,
        adjusted_close,
        ~factor.between(0, np.inf, inclusive="neither"),
        "gives no adjustment; allowed: an adjusted close whose ratio to the row's close is finite and > 0",
    )
    scaled = {name: table[name] * factor for name in PRICES}
    return table.assign(**scaled, volume=table["volume"] / factor, adjustment=factor)
