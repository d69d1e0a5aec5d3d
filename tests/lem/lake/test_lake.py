from __future__ import annotations

import datetime as dt
import io
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as arrow
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lem.errors import LakeError
from lem.lake.arrow_tables import content_hash
from lem.lake.lake import Lake
from tests.lem.builders import PROPERTY

SCHEMA = arrow.schema(
    [
        ("ts", arrow.timestamp("us", tz="UTC")),
        ("name", arrow.string()),
        ("count", arrow.int64()),
        ("ok", arrow.bool_()),
        ("price", arrow.float64()),
    ]
)
PATH = "small/bars/asset=AAA-USD/date=2024-01-10.parquet"
FRAME = pd.DataFrame(
    {
        "ts": pd.date_range("2024-01-10", periods=4, freq="h", tz="UTC", unit="us"),
        "name": ["a", "bc", "", "é"],
        "count": [1, 2, 3, 2**60],
        "ok": [True, False, True, True],
        "price": [1.5, np.nan, -0.0, 1e-300],
    }
)


def table(frame: pd.DataFrame = FRAME) -> arrow.Table:
    return arrow.Table.from_pandas(frame, schema=SCHEMA, preserve_index=False)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(str(tmp_path / "lake"))


@pytest.fixture(params=["local", "memory"])
def any_lake(request, tmp_path):
    return Lake(str(tmp_path / "lake") if request.param == "local" else f"memory://{tmp_path.name}")


def files(lake: Lake) -> list[str]:
    """Every file under the root, hidden ones too."""
    return sorted(str(path.relative_to(lake.root)) for path in Path(lake.root).rglob("*") if path.is_file())


def test_a_partition_comes_back_as_it_was_written(any_lake):
    written = any_lake.write_table(PATH, FRAME, SCHEMA)
    read, version = any_lake.read_versioned(PATH)
    pd.testing.assert_frame_equal(read, FRAME, check_exact=True)
    assert read["price"].to_numpy().view(np.int64).tolist()[2:] == FRAME["price"].to_numpy().view(np.int64).tolist()[2:]
    assert written.data_version == version == content_hash(table())
    assert (written.path, written.rows, written.size) == (PATH, 4, len(any_lake.read_bytes(PATH)))
    assert any_lake.exists(PATH)
    assert not any_lake.exists("small/none.parquet")


def test_partitions_read_together_are_as_each_read_alone(any_lake):
    more = SCHEMA.append(arrow.field("extra", arrow.float64()))
    parts = [(FRAME, SCHEMA), (FRAME.iloc[:0], SCHEMA), (FRAME.iloc[1:3], SCHEMA)]
    for stored in (parts, parts[:1], [*parts, (FRAME.assign(extra=[1.0, np.nan, 3.0, 4.0]), more)]):
        paths = [PATH.replace("10", f"{day}") for day in range(10, 10 + len(stored))]
        for path, (frame, schema) in zip(paths, stored, strict=True):
            any_lake.write_table(path, frame, schema)
        together = any_lake.read_batch(paths)
        for path, (frame, version) in zip(paths, together, strict=True):
            alone, version_alone = any_lake.read_versioned(path)
            pd.testing.assert_frame_equal(frame, alone, check_exact=True, check_index_type="exact")
            assert version == version_alone
            assert any_lake.read_arrow(path)[0].to_pandas().equals(alone)
        frame = together[0][0]
        frame.loc[0, "price"] = 7.0
        assert all(other["price"].ne(7.0).all() for other, _ in together[1:])
    assert any_lake.read_batch([]) == []


def test_one_changed_partition_among_those_read_together_is_refused(lake):
    for day in (10, 11):
        lake.write_table(PATH.replace("10", f"{day}"), FRAME, SCHEMA)
    other = Lake(f"{lake.root}-other")
    other.write_table(PATH, FRAME.assign(price=1.0), SCHEMA)
    stored = pq.read_table(Path(lake.root) / PATH.replace("10", "11"))
    changed = pq.read_table(Path(other.root) / PATH).replace_schema_metadata(stored.schema.metadata)
    pq.write_table(changed, Path(lake.root) / PATH.replace("10", "11"))
    with pytest.raises(LakeError, match=r"date=2024-01-11\.parquet was changed after it was written"):
        lake.read_batch([PATH, PATH.replace("10", "11")])


def test_the_layout_is_hives(lake):
    date = dt.date(2024, 1, 10)
    assert lake.path("small", "bars", date, "AAA-USD") == PATH
    assert lake.path("small", "panel", date) == "small/panel/date=2024-01-10.parquet"


@pytest.mark.parametrize("step", ["write", "fsync", "replace"])
def test_a_write_that_fails_leaves_the_old_object_and_no_temporary_file(lake, monkeypatch, step):
    lake.write_bytes(PATH, b"old")
    if step == "write":
        monkeypatch.setattr("builtins.open", _failing_open)
    else:
        monkeypatch.setattr(os, step, _disk_full)
    with pytest.raises(LakeError, match=f"cannot write {PATH}.*disk is full"):
        lake.write_bytes(PATH, b"new")
    monkeypatch.undo()
    assert files(lake) == [PATH]
    assert lake.read_bytes(PATH) == b"old"


def _disk_full(*_args, **_options):
    raise OSError("the disk is full")


_OPEN = open


def _failing_open(path, mode="r", *args, **options):
    file = _OPEN(path, mode, *args, **options)
    if "x" in mode:
        file.write(b"ha")
        file.close()
        _disk_full()
    return file


def test_a_write_that_is_interrupted_leaves_no_temporary_file(lake, monkeypatch):
    def interrupt(*_args):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        lake.write_bytes(PATH, b"new")
    monkeypatch.undo()
    assert files(lake) == []


def test_a_frame_of_another_schema_is_refused_and_nothing_is_written(lake):
    for wrong in (FRAME.drop(columns="price"), FRAME.assign(count="three")):
        with pytest.raises(LakeError, match="does not have the table's schema"):
            lake.write_table(PATH, wrong, SCHEMA)
    assert not lake.exists(PATH)


def test_the_content_hash_is_of_the_content_and_not_of_the_file():
    expected = content_hash(table())
    for options in ({"compression": "none"}, {"compression": "gzip"}, {"row_group_size": 1, "version": "1.0"}):
        sink = io.BytesIO()
        pq.write_table(table(), sink, **{"coerce_timestamps": "us", **options})
        assert content_hash(pq.read_table(io.BytesIO(sink.getvalue())).cast(SCHEMA)) == expected
    pieces = arrow.concat_tables([table(FRAME.iloc[:1]), table(FRAME.iloc[1:3]), table(FRAME.iloc[3:])])
    assert pieces.column("name").num_chunks == 3
    assert content_hash(pieces) == expected
    assert content_hash(table().replace_schema_metadata({b"note": b"x"})) == expected


@PROPERTY
@given(st.sampled_from(SCHEMA.names), st.integers(0, 3), st.booleans())
def test_any_other_value_gives_another_hash(column, row, missing):
    changed = FRAME.copy()
    other = {"ts": pd.Timestamp("2020-01-01", tz="UTC"), "name": "zz", "count": -7, "price": 1.25}
    if missing:
        changed = changed.astype({"count": "Int64", "ok": "boolean"})
        if pd.isna(FRAME[column][row]):
            return
        changed.loc[row, column] = pd.NA if column in ("count", "ok") else None
    else:
        changed.loc[row, column] = not FRAME["ok"][row] if column == "ok" else other[column]
    assert content_hash(table(changed)) != content_hash(table())


def test_another_name_type_order_or_length_gives_another_hash():
    base = table()
    others = [
        base.rename_columns(["ts", "name", "count", "ok", "prices"]),
        base.set_column(2, "count", base.column("count").cast(arrow.uint64())),
        base.select(["name", "ts", "count", "ok", "price"]),
        base.take([1, 0, 2, 3]),
        base.slice(0, 3),
    ]
    hashes = {content_hash(each) for each in (base, *others)}
    assert len(hashes) == 6


def test_text_cannot_move_between_rows_unnoticed():
    one, two = (arrow.table({"s": list(rows)}) for rows in (("ab", "c"), ("a", "bc")))
    assert content_hash(one) != content_hash(two)


def test_an_object_that_was_changed_is_refused(lake):
    version = lake.write_table(PATH, FRAME, SCHEMA).data_version
    forged = table(FRAME.assign(price=FRAME["price"] + 1)).replace_schema_metadata(
        {b"lem.content_sha256": version.encode()}
    )
    sink = io.BytesIO()
    pq.write_table(forged, sink)
    lake.write_bytes(PATH, sink.getvalue())
    with pytest.raises(LakeError, match=f"the content of {PATH} was changed after it was written"):
        lake.read_table(PATH)


@pytest.mark.parametrize("size", [0, 3, 40, -1])
def test_a_truncated_object_is_refused(lake, size):
    lake.write_table(PATH, FRAME, SCHEMA)
    lake.write_bytes(PATH, lake.read_bytes(PATH)[:size])
    with pytest.raises(LakeError, match=f"{PATH} is not valid Parquet.*materialise it again"):
        lake.read_table(PATH)


def test_a_missing_object_says_so(any_lake):
    with pytest.raises(LakeError, match=f"there is no {PATH}; materialise that partition first"):
        any_lake.read_table(PATH)


def test_missing_lists_what_is_not_there_in_the_order_asked(any_lake):
    paths = [f"small/bars/asset={a}/date=2024-01-{d:02}.parquet" for a in ("AAA", "BBB") for d in range(1, 5)]
    assert any_lake.missing(paths) == paths
    for path in (paths[1], paths[6]):
        any_lake.write_bytes(path, b"x")
    assert any_lake.missing(paths) == [p for p in paths if p not in (paths[1], paths[6])]
    assert any_lake.missing([]) == []


def test_a_root_that_cannot_be_written_is_one_error_that_says_what_is_allowed(tmp_path):
    (tmp_path / "lake").write_text("a file where the folder should be")
    lake = Lake(str(tmp_path / "lake"))
    with pytest.raises(LakeError, match=r"cannot write .*allowed: a place this user may write \(setting LEM_LAKE\)"):
        lake.write_table(PATH, FRAME, SCHEMA)
    with pytest.raises(LakeError):
        lake.read_table(PATH)


def test_an_unknown_protocol_is_refused():
    with pytest.raises(LakeError, match="allowed: a path, s3://bucket/prefix"):
        Lake("nosuch://bucket/x")


def test_a_column_of_lists_keeps_its_content_and_version(tmp_path):
    schema = arrow.schema([("name", arrow.string()), ("slices", arrow.list_(arrow.float32()))])
    lists = [np.array([0.25, 0.75], dtype=np.float32), None, np.array([1.0], dtype=np.float32)]
    frame = pd.DataFrame({"name": list("abc"), "slices": pd.Series(lists, dtype=object)})
    lake = Lake(str(tmp_path))
    version = lake.write_table(PATH, frame, schema).data_version
    read, same = lake.read_versioned(PATH)
    assert same == version == lake.version_of(PATH, read, schema)
    assert [None if one is None else list(one) for one in read["slices"]] == [[0.25, 0.75], None, [1.0]]
    moved = [np.array([0.25], dtype=np.float32), None, np.array([0.75, 1.0], dtype=np.float32)]
    assert lake.version_of(PATH, frame.assign(slices=pd.Series(moved, dtype=object)), schema) != version
    changed = [lists[0], None, np.array([0.5], dtype=np.float32)]
    assert lake.version_of(PATH, frame.assign(slices=pd.Series(changed, dtype=object)), schema) != version
