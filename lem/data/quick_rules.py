"""Whether a table keeps all rules of a pandera schema, without what pandera costs a call whatever the rows: 26 ms.

The schema stays the definition: its columns and checks are read here and tested as they stand. What is not understood,
or not kept, is left to pandera, which says what is wrong. So the verdict is always pandera's; a test compares both.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from lem.late import pa, pd

_KNOWN: dict[str, Callable[[Any, dict[str, Any]], Any]] = {
    "greater_than": lambda values, said: values > said["min_value"],
    "greater_than_or_equal_to": lambda values, said: values >= said["min_value"],
    "isin": lambda values, said: values.isin(list(said["allowed_values"])),
}
"""Checks of one column that the schemas have, by pandera's name; values come without nulls."""


def keeps(schema: pa.DataFrameSchema, table: pd.DataFrame) -> bool:
    """True where the table surely keeps the schema; False where pandera has to be asked.

    Args:
        schema: of columns with a dtype each; what it says of an index or of coercion is not looked at.
        table: to be tested.
    """
    if not schema.strict or schema.coerce or schema.index is not None or list(table.columns) != list(schema.columns):
        return False
    return all(_column_keeps(column, table[name]) for name, column in schema.columns.items()) and all(
        _whole_keeps(check, table) for check in schema.checks
    )


def _column_keeps(column: pa.Column, values: pd.Series) -> bool:
    if column.dtype is None or column.coerce or column.regex or values.dtype != column.dtype.type:
        return False
    null = values.isna()
    if null.any():
        if not column.nullable:
            return False
        values = values[~null]
    if column.unique and values.duplicated().any():
        return False
    return all(
        check.name in _KNOWN and bool(_KNOWN[check.name](values, check.statistics).all()) for check in column.checks
    )


def _whole_keeps(check: pa.Check, table: pd.DataFrame) -> bool:
    test = getattr(check, "_check_fn", None)
    kept = test(table) if callable(test) and not check.groupby else None
    return isinstance(kept, pd.Series) and kept.dtype == np.bool_ and bool(kept.all())
