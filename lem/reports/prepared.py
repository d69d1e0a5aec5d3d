"""The orders of a report, checked and in one form: what every table and picture of it is made from."""

from __future__ import annotations

from typing import Any

import numpy as np

from lem.backtest.bootstrap import day_blocks
from lem.errors import EvaluationError
from lem.late import pd
from lem.reports.compact import compact
from lem.reports.tables import COLUMNS, NUMBERS, ORDER, SCENARIO, without_noise

TEXTS = ("asset", "date", *SCENARIO, "strategy", "model_id", "status", "reason")
"""Columns that have few values: `compact`."""


def prepare_orders(orders: pd.DataFrame, block_days: int = 1) -> pd.DataFrame:
    """Check an orders table and bring it into one form.

    Args:
        orders: with the columns `COLUMNS`.
        block_days: days of a bootstrap block (see `day_blocks`).

    Returns:
        The rows in a fixed order, with categories for texts, `date` as ISO strings, gains below `NOISE_BPS` set to 0,
        and two more columns:

        - `order`: the number of the order, the same for all strategies.
        - `block`: the number of its block of days with executed orders; -1 for excluded orders.

    Raises:
        EvaluationError: a column is missing, a status is unknown, an executed order has no finite result, or a row is
            there twice.
    """
    missing = [name for name in COLUMNS if name not in orders.columns]
    if missing:
        raise EvaluationError(f"orders table: missing column(s) {', '.join(missing)}; needed: {', '.join(COLUMNS)}")
    texts = {name: compact(orders[name]) for name in TEXTS if name != "date"}
    table = orders.assign(date=compact(orders["date"], _iso), **texts)
    key = [*ORDER, "strategy"]
    table = table.sort_values(key, kind="stable", ignore_index=True)
    unknown = sorted(set(table["status"].unique()) - {"done", "excluded"})
    if unknown:
        raise EvaluationError(f"orders table: status {unknown}; allowed: done, excluded")
    twice = table.duplicated(key)
    if twice.any():
        raise EvaluationError(f"orders table: {int(twice.sum())} row(s) twice, the first {_name(table, twice)}")
    done, finite = table["status"] == "done", np.ones(len(table), dtype=bool)
    for name in NUMBERS:
        table[name] = table[name].astype(np.float64)
        finite &= np.isfinite(table[name].to_numpy())
    broken = done & ~finite
    if broken.any():
        raise EvaluationError(
            f"orders table: {int(broken.sum())} executed order(s) without finite {', '.join(NUMBERS)}, "
            f"the first {_name(table, broken)}; allowed: finite, or status excluded"
        )
    without_noise(table)
    block_O = np.full(len(table), -1, dtype=np.int32)
    block_O[done] = day_blocks(table.loc[done, "date"], block_days)
    return table.assign(order=table.groupby(ORDER, sort=False).ngroup().astype(np.int32), block=block_O)


def _name(table: pd.DataFrame, mask: pd.Series) -> str:
    row = table.iloc[int(np.argmax(mask))]
    return f"{row['strategy']} {row['asset']} {row['arrival']} {' '.join(row[SCENARIO])} m {row['min_bars']}"


def _iso(date: Any) -> str:
    return pd.Timestamp(str(date)).strftime("%Y-%m-%d")
