"""The lake on an S3-compatible server on loopback: the same promises as on a disk."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

import pandas as pd
import pyarrow as pa
import pytest

from lem.errors import LakeError
from lem.lake import Lake
from tests.servers import s3_server

SCHEMA = pa.schema([("x", pa.float64()), ("name", pa.string())])
FRAME = pd.DataFrame({"x": [1.0, float("nan")], "name": ["a", "b"]})


@pytest.fixture
def lake(monkeypatch: pytest.MonkeyPatch) -> Iterator[Lake]:
    with s3_server("desk") as settings:
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        yield Lake("s3://desk/lake", skip_instance_cache=True)


def test_a_partition_written_to_s3_comes_back_with_its_data_version(lake: Lake, tmp_path) -> None:
    path = lake.path("sample", "bars", dt.date(2024, 1, 10), "BTC-USDT")
    written = lake.write_table(path, FRAME, SCHEMA)
    frame, version = lake.read_versioned(path)
    pd.testing.assert_frame_equal(frame, FRAME)
    assert version == written.data_version == Lake(str(tmp_path)).write_table(path, FRAME, SCHEMA).data_version
    assert lake.show(path) == "s3://desk/lake/sample/bars/asset=BTC-USDT/date=2024-01-10.parquet"


def test_missing_partitions_are_seen_and_a_new_one_is_seen_at_once(lake: Lake) -> None:
    paths = [lake.path("sample", "panel", dt.date(2024, 1, day)) for day in (1, 2)]
    assert lake.missing(paths) == paths
    lake.write_table(paths[0], FRAME, SCHEMA)
    assert lake.missing(paths) == paths[1:]
    with pytest.raises(LakeError, match=r"there is no sample/panel/date=2024-01-02.parquet"):
        lake.read_table(paths[1])


def test_what_another_process_writes_after_a_folder_was_listed_is_read_as_it_is_now(lake: Lake) -> None:
    one, two = (lake.path("sample", "panel", dt.date(2024, 1, day)) for day in (1, 2))
    lake.write_table(one, FRAME, SCHEMA)
    assert lake.names("sample/panel") == ["date=2024-01-01.parquet"]
    assert lake.versions(one)
    other = Lake("s3://desk/lake", skip_instance_cache=True)
    longer = pd.concat([FRAME] * 500, ignore_index=True)
    expected = [other.write_table(path, longer.assign(x=float(n)), SCHEMA) for n, path in enumerate((one, two))]
    for path, written in zip((one, two), expected, strict=True):
        assert lake.exists(path)
        assert lake.read_versioned(path)[1] == written.data_version
        versions = lake.versions(path)
        assert versions is not None
        assert versions.data == written.data_version


def test_a_bucket_that_is_not_there_is_one_clear_error(lake: Lake) -> None:
    other = Lake("s3://nobody/lake", skip_instance_cache=True)
    with pytest.raises(LakeError, match=r"lake s3://nobody/lake: cannot write a.parquet: .*bucket"):
        other.write_table("a.parquet", FRAME, SCHEMA)
