"""Many rows of a table at once."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Float, Table, insert


def insert_many(connection: Connection, table: Table, columns: Mapping[str, Sequence[Any]]) -> None:
    """Insert rows that are given column by column.

    SQLite gets them past SQLAlchemy's work on each row, which takes several times as long as the insertion. Every value
    is made what the column's type makes of it; a time once, since all rows of a bar have the same.

    Args:
        connection: in a transaction.
        table: that they are inserted into.
        columns: a value a row, by the column's name.
    """
    if not any(columns.values()):
        return
    if connection.dialect.name != "sqlite":
        rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        connection.execute(insert(table), rows)
        return
    made = []
    for name, values in columns.items():
        kind = table.c[name].type
        # SQLite takes floats as they are.
        bind = (
            None
            if isinstance(kind, Float)
            else kind.dialect_impl(connection.dialect).bind_processor(connection.dialect)
        )
        if bind is not None and isinstance(values[0], dt.datetime):
            known = {value: bind(value) for value in set(values)}
            values = [known[value] for value in values]
        elif bind is not None:
            values = [None if value is None else bind(value) for value in values]
        made.append(values)
    names, places = ", ".join(columns), ", ".join("?" * len(columns))
    connection.exec_driver_sql(f"INSERT INTO {table.name} ({names}) VALUES ({places})", list(zip(*made, strict=True)))
