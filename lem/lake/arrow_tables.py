"""Data frames and Parquet objects as Arrow tables, and the hash of such a table, without pyarrow's fixed cost a call.

A partition is a day of one asset: tens of rows. What pyarrow does a call costs more than its rows there. So plain
columns are taken as they are, and all others are left to pyarrow, which also says what is wrong with them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lem.late import pc, pd

_NUMBERS = {pa.float64(): np.dtype("float64"), pa.int64(): np.dtype("int64"), pa.bool_(): np.dtype("bool")}
_UTC = pa.timestamp("us", tz="UTC")
_IN_THREADS = 1 << 20
"""Bytes of an object from which on its columns are read in several threads."""


def table_of(frame: pd.DataFrame, schema: pa.Schema) -> pa.Table:
    """The columns of the schema, as `pa.Table.from_pandas` gives them, without its metadata.

    Args:
        frame: with the columns.
        schema: names and types of the table.

    Raises:
        KeyError: the frame lacks a column of the schema.
        pa.ArrowInvalid: a column has other values than those of its type.
        pa.ArrowTypeError: likewise.
    """
    columns = dict(frame.items())
    arrays = []
    for field in schema:
        array = _plain(columns[field.name], field) if field.name in columns else None
        if array is None or len(columns) < frame.shape[1] or not field.nullable:
            return pa.Table.from_pandas(frame, schema=schema, preserve_index=False).replace_schema_metadata()
        arrays.append(array)
    return pa.Table.from_arrays(arrays, schema=schema.remove_metadata())


def _plain(column: pd.Series, field: pa.Field) -> pa.Array | pa.ChunkedArray | None:
    """A column that has the field's type already; None for one that has not."""
    dtype = column.dtype
    if field.type in _NUMBERS:
        same = dtype == _NUMBERS[field.type]
        return pa.array(column.to_numpy(), type=field.type, from_pandas=True) if same else None
    if field.type == _UTC:
        same = isinstance(dtype, pd.DatetimeTZDtype) and dtype.unit == "us"
        return pa.array(column.to_numpy("datetime64[us]"), type=field.type, from_pandas=True) if same else None
    if field.type == pa.string() and isinstance(dtype, pd.StringDtype):
        return pa.array(column, type=field.type, from_pandas=True)
    return None


def decoded(data: bytes) -> pa.Table:
    """The table in the bytes of a Parquet object.

    Raises:
        pa.ArrowInvalid: they are not Parquet.
        OSError: they are damaged.
    """
    with pq.ParquetFile(pa.BufferReader(data)) as file:
        return file.read(use_threads=len(data) >= _IN_THREADS)


def frame_of(table: pa.Table) -> pd.DataFrame:
    """The table as a data frame."""
    return table.to_pandas(use_threads=table.nbytes >= _IN_THREADS)


def frames_of(tables: Sequence[pa.Table]) -> list[pd.DataFrame]:
    """Each table as a data frame. Where all have the same columns they are made together, and sliced."""
    plain = [table.replace_schema_metadata() for table in tables]
    if len(plain) < 2 or not all(table.schema.equals(plain[0].schema) for table in plain):
        return [frame_of(table) for table in plain]
    whole, end, frames = frame_of(pa.concat_tables(plain).combine_chunks()), 0, []
    for table in plain:
        frame, end = whole.iloc[end : end + len(table)], end + len(table)
        frame.index = pd.RangeIndex(len(table))
        frames.append(frame)
    return frames


def content_hash(table: pa.Table) -> str:
    """SHA-256 of a table's schema and values.

    Chunks, compression, metadata and the bytes beneath nulls do not count.
    """
    digest = hashlib.sha256()
    for field, column in zip(table.schema, table.columns, strict=True):
        # Parquet and Arrow name the items of a list differently.
        kind = f"list<{field.type.value_type}>" if pa.types.is_list(field.type) else field.type
        digest.update(f"{field.name}:{kind}:{len(column)};".encode())
        for part in _plain_bytes(column) or _any_bytes(column):
            digest.update(part)
    return digest.hexdigest()


def _plain_bytes(column: pa.ChunkedArray) -> list[Any] | None:
    """`_any_bytes` of a column that is one piece without nulls and of a frequent type; None for any other."""
    if column.null_count or column.num_chunks != 1 or not len(column):
        return None
    if column.type == pa.float64():
        values = column.to_numpy()
        return [np.isnan(values), values]
    if column.type in _NUMBERS:
        return [np.zeros(len(column), bool), column.to_numpy()]
    if column.type == _UTC:
        return [np.zeros(len(column), bool), column.to_numpy().view("int64")]
    if column.type == pa.string():
        array = column.chunk(0)
        _, offsets, letters = array.buffers()
        at = np.frombuffer(offsets, "int32", len(array) + 1, array.offset * 4)
        text = memoryview(letters)[at[0] : at[-1]] if letters else b""
        return [np.zeros(len(column), bool), np.diff(at), text]
    return None


def _any_bytes(column: pa.ChunkedArray) -> list[Any]:
    """Which values are null, and the values."""
    null = pc.is_null(column, nan_is_null=True).to_numpy().tobytes()
    if pa.types.is_string(column.type):
        filled = pc.fill_null(column, "")
        return [null, pc.binary_length(filled).to_numpy().tobytes(), "".join(filled.to_pylist()).encode()]
    if pa.types.is_list(column.type):
        lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy().tobytes()
        return [null, lengths, pc.list_flatten(column).to_numpy().tobytes()]
    if pa.types.is_timestamp(column.type):
        return [null, pc.fill_null(column.cast(pa.int64()), 0).to_numpy().tobytes()]
    nothing = False if pa.types.is_boolean(column.type) else 0
    return [null, pc.fill_null(column, nothing).to_numpy().tobytes()]
