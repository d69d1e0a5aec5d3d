"""What the orders' gains after costs are worth by the gate's measure: a loss weighs more than a gain."""

from __future__ import annotations

import pandas as pd

from lem.gate.gains import worth
from lem.reports.tables import WORTH


def add_worth(orders: pd.DataFrame, risk_aversion: float) -> pd.DataFrame:
    """The prepared orders with the column `worth_bps` (`lem.gate.gains.worth`); NaN for excluded orders.

    Args:
        orders: from `lem.reports.prepared.prepare_orders`.
        risk_aversion: lambda of the orders.
    """
    return orders.assign(**{WORTH: worth(orders["net_gain_bps"], orders["sigma_bps"], risk_aversion)})
