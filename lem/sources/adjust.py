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

FACTOR_RULE = "gives no adjustment; allowed: an adjusted close whose ratio to the row's close is finite and > 0"


def factor_is_wrong(table: pd.DataFrame, adjusted_close: pd.Series) -> pd.Series:
    """True for rows whose adjusted close gives no finite factor above 0.

    Args:
        table: raw bars.
        adjusted_close: of each row.
    """
    return ~(adjusted_close / table["close"]).between(0, np.inf, inclusive="neither")


def scaled(table: pd.DataFrame, adjusted_close: pd.Series) -> pd.DataFrame:
    """The rows with adjusted prices and volume, and the factor in `adjustment`.

    Args:
        table: raw bars whose open, high, low, close and volume are on one scale.
        adjusted_close: of each row.
    """
    factor = adjusted_close / table["close"]
    prices = {name: table[name] * factor for name in PRICES}
    return table.assign(**prices, volume=table["volume"] / factor, adjustment=factor)


def adjusted(where: str, table: pd.DataFrame, adjusted_close: pd.Series) -> pd.DataFrame:
    """`scaled`, where every row has a factor.

    Args:
        where: names the source in an error.
        table: raw bars whose open, high, low, close and volume are on one scale.
        adjusted_close: of each row.

    Raises:
        SourceError: a row's adjusted close gives no finite factor above 0; names source, row, column, and the rule.
    """
    refuse(where, adjusted_close, factor_is_wrong(table, adjusted_close), FACTOR_RULE)
    return scaled(table, adjusted_close)
