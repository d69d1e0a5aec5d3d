"""Revised raw bars: what they replace is kept."""

from __future__ import annotations

import datetime as dt

import pyarrow.parquet as pq
import pytest

from lem.errors import LakeError, RowsError
from lem.lake import Lake, Versions, inputs_version
from lem.lineage.revisions import store_raw, superseded_path
from lem.lineage.versions import named
from lem.registry.records import InputVersion
from lem.sources.base import RAW_SCHEMA
from lem.sources.simulated import Simulated

DATE = dt.date(2024, 1, 12)
KEY = ("AAA-USD", DATE)
START = dt.datetime(2024, 1, 12, tzinfo=dt.UTC)


def day(number):
    return dt.date(2024, 1, number)


@pytest.fixture(params=["local", "memory"])
def any_lake(request, tmp_path):
    return Lake(str(tmp_path / "lake") if request.param == "local" else f"memory://{tmp_path.name}")


@pytest.fixture(scope="module")
def raw(make_universe):
    return Simulated(make_universe()).fetch("AAA-USD", START, START + dt.timedelta(days=1)).table


def test_the_first_rows_of_a_partition_replace_nothing(any_lake, raw):
    written, old = store_raw(any_lake, "small", DATE, "AAA-USD", raw)
    assert old is None
    assert any_lake.read_versioned(written.path)[1] == written.data_version
    assert any_lake.names("small/superseded") == []


def test_the_same_rows_again_are_not_written(any_lake, raw, monkeypatch):
    first, _ = store_raw(any_lake, "small", DATE, "AAA-USD", raw)
    monkeypatch.setattr(any_lake, "write_bytes", lambda *_: pytest.fail("written"))
    assert store_raw(any_lake, "small", DATE, "AAA-USD", raw.copy()) == (first, None)


def test_rows_that_differ_replace_the_old_ones_which_are_kept_byte_for_byte(any_lake, raw):
    first, _ = store_raw(any_lake, "small", DATE, "AAA-USD", raw)
    data = any_lake.read_bytes(first.path)
    second, old = store_raw(any_lake, "small", DATE, "AAA-USD", raw.assign(volume=raw["volume"] * 2))
    assert (old, second.path) == (first.data_version, first.path)
    kept = superseded_path("small", DATE, "AAA-USD", first.data_version)
    assert kept == f"small/superseded/raw_bars/asset=AAA-USD/date=2024-01-12/sha256={first.data_version}.parquet"
    assert any_lake.read_bytes(kept) == data
    assert any_lake.read_versioned(second.path)[1] == second.data_version != first.data_version


def test_old_rows_are_copied_before_they_are_replaced(any_lake, raw, monkeypatch):
    first, _ = store_raw(any_lake, "small", DATE, "AAA-USD", raw)

    def full(*_):
        raise LakeError("the disk is full")

    monkeypatch.setattr(any_lake, "write_bytes", full)
    with pytest.raises(LakeError, match="disk is full"):
        store_raw(any_lake, "small", DATE, "AAA-USD", raw.assign(volume=1.0))
    monkeypatch.undo()
    assert any_lake.read_versioned(first.path)[1] == first.data_version


@pytest.mark.parametrize("cut", [-50, 10])
def test_a_damaged_object_is_replaced_and_not_kept(any_lake, raw, cut):
    first, _ = store_raw(any_lake, "small", DATE, "AAA-USD", raw)
    any_lake.write_bytes(first.path, any_lake.read_bytes(first.path)[:cut])
    assert store_raw(any_lake, "small", DATE, "AAA-USD", raw) == (first, None)
    assert any_lake.read_versioned(first.path)[1] == first.data_version
    assert any_lake.names("small/superseded") == []


def test_an_object_whose_content_was_changed_under_its_old_hash_is_replaced(any_lake, raw, tmp_path):
    first, _ = store_raw(any_lake, "small", DATE, "AAA-USD", raw)
    forged = raw.assign(volume=1.0)
    path = tmp_path / "forged.parquet"
    table = pq.read_table(path_of(any_lake, first.path, tmp_path)).schema.metadata
    pq.write_table(_arrow(forged).replace_schema_metadata(table), path)
    any_lake.write_bytes(first.path, path.read_bytes())
    store_raw(any_lake, "small", DATE, "AAA-USD", raw)
    assert any_lake.read_versioned(first.path)[1] == first.data_version


def path_of(lake, path, folder):
    copy = folder / "copy.parquet"
    copy.write_bytes(lake.read_bytes(path))
    return copy


def _arrow(frame):
    import pyarrow

    return pyarrow.Table.from_pandas(frame, schema=RAW_SCHEMA, preserve_index=False)


def test_the_versions_of_an_object_are_read_from_its_footer(any_lake, raw):
    written = any_lake.write_table("t/a.parquet", raw, RAW_SCHEMA, {"x/1": "aa", "x/2": "bb"})
    plain = any_lake.write_table("t/b.parquet", raw, RAW_SCHEMA)
    assert written.data_version == plain.data_version
    any_lake.write_bytes("t/c.parquet", b"no parquet")
    versions = Versions(written.data_version, inputs_version({"x/2": "bb", "x/1": "aa"}))
    assert any_lake.versions("t/a.parquet") == versions
    assert any_lake.versions("t/b.parquet") == Versions(written.data_version, "")
    assert any_lake.versions("t/c.parquet") is None
    with pytest.raises(LakeError, match=r"there is no t/d\.parquet"):
        any_lake.versions("t/d.parquet")
    wanted = [f"t/{name}.parquet" for name in "abcd"]
    assert any_lake.versions_of(wanted) == {"t/a.parquet": versions, "t/b.parquet": any_lake.versions("t/b.parquet")}


def test_the_version_of_inputs_changes_with_each_name_and_version():
    base = {"x/1": "aa", "x/2": "bb"}
    others = [{"x/1": "aa"}, {"x/1": "bb", "x/2": "aa"}, {"x/1": "aa", "x/3": "bb"}, {**base, "y": ""}, {}]
    assert len({inputs_version(each) for each in (base, *others)}) == 6
    assert named([InputVersion("x", "2", "bb"), InputVersion("x", "1", "aa")]) == base


def test_an_object_is_removed_and_one_that_is_not_there_is_no_error(any_lake):
    any_lake.write_bytes("t/a.txt", b"x")
    for _ in range(2):
        any_lake.remove("t/a.txt")
        assert not any_lake.exists("t/a.txt")


@pytest.mark.parametrize("left", [slice(0, 10), slice(0, 0), slice(1, None)])
def test_a_day_of_which_the_source_has_only_a_part_now_stays_as_it_was(any_lake, raw, left):
    first, _ = store_raw(any_lake, "small", DATE, "AAA-USD", raw)
    with pytest.raises(RowsError, match="the source had 24 bars of this day when it was last read, and has "):
        store_raw(any_lake, "small", DATE, "AAA-USD", raw.iloc[left])
    assert any_lake.read_versioned(first.path)[1] == first.data_version
    revised = raw.iloc[left].assign(volume=1.0) if left != slice(0, 0) else raw.assign(volume=1.0)
    store_raw(any_lake, "small", DATE, "AAA-USD", revised)
