"""The lake: one Parquet object per partition under any fsspec URL, atomic, durable, addressed by content.

    <root>/<universe>/<table>/asset=BTC-USDT/date=2024-01-10.parquet
    <root>/<universe>/weights/sha256=<hash>.safetensors

The layout is Hive's, so DuckDB, Polars and Spark read it as it is. A reader sees the old object or the new one, never
half: a local write goes to a hidden temporary file that is synced and renamed, a write to an object store is one PUT.
Steps write through `Lake.fenced`, so that a step which a later one has replaced cannot overwrite the later one's work.
The data version of a table is the SHA-256 of its Arrow content, not of its file, so another compression or library
version does not change it. Beside it stands one version of all inputs that the table was made from. If the inputs now
have another version, the table is out of date; the lake alone is enough to tell.
"""

from __future__ import annotations

import copy
import datetime as dt
import hashlib
import io
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

from lem.errors import FencedError, LakeError
from lem.lake.arrow_tables import content_hash, decoded, frame_of, frames_of, table_of
from lem.lake.fences import Fences, FileFences, S3Fences
from lem.lake.files import replace_file
from lem.late import pd

_HASH_KEY, _INPUTS_KEY = b"lem.content_sha256", b"lem.inputs"
_READERS = 32
"""Objects of a remote lake whose footers are read at the same time."""


@dataclass(frozen=True)
class Written:
    """An object that was written.

    Args:
        path: its path below the lake's root.
        data_version: SHA-256 of its content.
        rows: rows of the table.
        size: bytes of the object.
    """

    path: str
    data_version: str
    rows: int
    size: int


@dataclass(frozen=True)
class Versions:
    """The versions that are written into an object.

    Args:
        data: its data version.
        inputs: `inputs_version` of what it was made from; empty where that was not recorded.
    """

    data: str
    inputs: str


def inputs_version(inputs: Mapping[str, str]) -> str:
    """One version of all inputs (data version by the name of the partition); the order of reading does not count."""
    return hashlib.sha256("".join(f"{name}={inputs[name]}\n" for name in sorted(inputs)).encode()).hexdigest()


class Lake:
    """Partitioned Parquet and other objects under a root URL.

    Args:
        root: a local path, `s3://bucket/prefix`, or any URL that fsspec knows.
        **options: of the filesystem (endpoint, anonymous access); credentials come from the environment.
    """

    def __init__(self, root: str, **options: Any) -> None:
        try:
            # A cached listing would hide what other processes have written since.
            self.fs, self.root = fsspec.core.url_to_fs(root, **{"use_listings_cache": False, **options})
        except (ImportError, ValueError) as error:
            raise LakeError(
                f"lake {root}: {error}; allowed: a path, s3://bucket/prefix, or another fsspec URL"
            ) from error
        self.url = root
        protocols = self.fs.protocol if isinstance(self.fs.protocol, tuple) else (self.fs.protocol,)
        self._local, self._s3 = "file" in protocols, "s3" in protocols
        self._fences: Fences | None = None
        self._token = 0

    @property
    def local(self) -> bool:
        """Whether it lies in a folder of this machine."""
        return self._local

    def fenced(self) -> Lake:
        """This lake for a step that begins now: it never overwrites the work of a step that began later.

        Kept on disks and on S3 (`lem.lake.fences`); other stores are written without a fence.

        Raises:
            LakeError: the lake cannot be written.
        """
        if not (self._local or self._s3):
            return self
        lake = copy.copy(self)
        try:
            lake._fences = FileFences(Path(self.root)) if self._local else S3Fences(self.fs, self.root)
            lake._token = lake._fences.take()
        except Exception as error:  # every filesystem has exceptions of its own
            raise self._cannot("write", "its fences", error) from error
        return lake

    def path(self, universe: str, table: str, date: dt.date, asset: str | None = None) -> str:
        """Path of a partition below the root."""
        folder = f"{universe}/{table}" + (f"/asset={asset}" if asset else "")
        return f"{folder}/date={date:%Y-%m-%d}.parquet"

    def write_table(
        self, path: str, frame: pd.DataFrame, schema: pa.Schema, inputs: Mapping[str, str] | None = None
    ) -> Written:
        """Write a partition with exactly this schema.

        Args:
            path: of the partition, below the root.
            frame: its rows.
            schema: exactly the columns and types of the frame.
            inputs: data version of each partition that it was made from, by name; no part of the content.

        Raises:
            LakeError: the frame does not have the schema, or the lake cannot be written; what was there stays.
            FencedError: a later step has written it.
        """
        table = self._table(path, frame, schema)
        version = content_hash(table)
        metadata = {_HASH_KEY: version.encode()}
        if inputs is not None:
            metadata[_INPUTS_KEY] = inputs_version(inputs).encode()
        sink = io.BytesIO()
        pq.write_table(table.replace_schema_metadata(metadata), sink, compression="zstd")
        return Written(path, version, table.num_rows, self.write_bytes(path, sink.getvalue()))

    def version_of(self, path: str, frame: pd.DataFrame, schema: pa.Schema) -> str:
        """The data version that the frame would have as the partition `path`.

        Raises:
            LakeError: the frame does not have the schema.
        """
        return content_hash(self._table(path, frame, schema))

    @staticmethod
    def _table(path: str, frame: pd.DataFrame, schema: pa.Schema) -> pa.Table:
        try:
            return table_of(frame, schema)
        except (pa.ArrowInvalid, pa.ArrowTypeError, KeyError) as error:
            raise LakeError(f"lake: {path} does not have the table's schema: {error}") from error

    def write_bytes(self, path: str, data: bytes) -> int:
        """Write one object atomically and durably; returns its size.

        Raises:
            LakeError: the lake cannot be written; what was there stays.
            FencedError: a later step has written it.
        """
        try:
            if self._fences:
                self._fences.write(path, data, self._token)
            elif self._local:
                replace_file(Path(self.root) / path, data)
            else:
                self.fs.pipe_file(f"{self.root}/{path}", data)
        except FencedError:
            raise
        except Exception as error:  # every filesystem has exceptions of its own
            raise self._cannot("write", path, error) from error
        return len(data)

    def _cannot(self, do: str, what: str, error: Exception) -> LakeError:
        return LakeError(
            f"lake {self.url}: cannot {do} {what}: {error}; allowed: a place this user may write (setting LEM_LAKE)"
        )

    def read_bytes(self, path: str) -> bytes:
        """The bytes of an object.

        Raises:
            LakeError: no such object, or the lake cannot be read.
        """
        try:
            return self.fs.cat_file(f"{self.root}/{path}")
        except FileNotFoundError:
            raise LakeError(f"lake {self.url}: there is no {path}; materialise that partition first") from None
        except Exception as error:
            raise LakeError(f"lake {self.url}: cannot read {path}: {error}") from error

    def read_table(self, path: str) -> pd.DataFrame:
        """A partition as a data frame.

        Raises:
            LakeError: no such object, or it is not the Parquet that was written.
        """
        return self.read_versioned(path)[0]

    def read_versioned(self, path: str) -> tuple[pd.DataFrame, str]:
        """A partition and its data version, from the same bytes.

        Raises:
            LakeError: no such object, it is not Parquet, or its content does not have the hash it was written with.
        """
        return self.decode(path, self.read_bytes(path))

    def read_batch(self, paths: Iterable[str]) -> list[tuple[pd.DataFrame, str]]:
        """`read_versioned` of each path; faster for many small partitions. All of them are in memory at once.

        Raises:
            LakeError: as for one of them.
        """
        found = [self.read_arrow(path) for path in paths]
        frames = frames_of([table for table, _ in found])
        return [(frame, version) for frame, (_, version) in zip(frames, found, strict=True)]

    def read_arrow(self, path: str) -> tuple[pa.Table, str]:
        """`read_versioned`, but an Arrow table.

        Raises:
            LakeError: as there.
        """
        return self._verified(path, self.read_bytes(path))

    def decode(self, path: str, data: bytes) -> tuple[pd.DataFrame, str]:
        """The partition and the data version in the bytes of an object.

        Args:
            path: names the object in an error.
            data: the object's bytes.

        Raises:
            LakeError: they are not Parquet, or their content does not have the hash it was written with.
        """
        table, version = self._verified(path, data)
        return frame_of(table), version

    def _verified(self, path: str, data: bytes) -> tuple[pa.Table, str]:
        try:
            table = decoded(data)
        except (pa.ArrowInvalid, OSError) as error:
            raise LakeError(f"lake {self.url}: {path} is not valid Parquet: {error}; materialise it again") from error
        version = (table.schema.metadata or {}).get(_HASH_KEY, b"").decode()
        if version != content_hash(table):
            raise LakeError(
                f"lake {self.url}: the content of {path} was changed after it was written; materialise it again"
            )
        return table, version

    def versions(self, path: str) -> Versions | None:
        """The versions written into an object, from its footer alone; None if it has none that can be read.

        The content is not verified here, but whenever the table is read.

        Raises:
            LakeError: no such object, or the lake cannot be read.
        """
        try:
            with self.fs.open(f"{self.root}/{path}", "rb") as file:
                metadata = pq.read_metadata(file).metadata or {}
        except FileNotFoundError:
            raise LakeError(f"lake {self.url}: there is no {path}; materialise that partition first") from None
        except pa.ArrowInvalid:
            return None
        except Exception as error:  # every filesystem has exceptions of its own
            raise LakeError(f"lake {self.url}: cannot read {path}: {error}") from error
        if _HASH_KEY not in metadata:
            return None
        return Versions(metadata[_HASH_KEY].decode(), metadata.get(_INPUTS_KEY, b"").decode())

    def versions_of(self, paths: Iterable[str]) -> dict[str, Versions]:
        """`versions` of those `paths` that are there and can be read.

        Raises:
            LakeError: the lake cannot be read.
        """
        wanted = list(paths)
        absent = set(self.missing(wanted))
        there = [path for path in wanted if path not in absent]
        if self._local:
            found = list(map(self.versions, there))
        else:
            with ThreadPoolExecutor(_READERS) as pool:
                found = list(pool.map(self.versions, there))
        return {path: versions for path, versions in zip(there, found, strict=True) if versions}

    def remove(self, path: str) -> None:
        """Remove an object, if there is one.

        Raises:
            LakeError: it is there and cannot be removed.
        """
        try:
            self.fs.rm_file(f"{self.root}/{path}")
        except FileNotFoundError:
            return
        except Exception as error:  # every filesystem has exceptions of its own
            raise self._cannot("remove", path, error) from error

    def exists(self, path: str) -> bool:
        """Whether there is such an object."""
        return bool(self.fs.exists(f"{self.root}/{path}"))

    def names(self, folder: str) -> list[str]:
        """Names of the entries of a folder of the lake, sorted; empty if there is no such folder.

        Raises:
            LakeError: the lake cannot be read.
        """
        try:
            names = self.fs.ls(f"{self.root}/{folder}", detail=False, refresh=True)
        except FileNotFoundError:
            return []
        except Exception as error:  # every filesystem has exceptions of its own
            raise LakeError(
                f"lake {self.url}: cannot list {folder}: {error}; allowed: a folder this user may read (setting "
                f"LEM_LAKE)"
            ) from error
        return sorted(str(name).rstrip("/").rpartition("/")[2] for name in names)

    def missing(self, paths: Sequence[str]) -> list[str]:
        """Those of `paths` that are not in the lake; each folder is listed once.

        Raises:
            LakeError: the lake cannot be read.
        """
        folders = {path.rpartition("/")[0] for path in paths}
        there = {f"{folder}/{name}" for folder in folders for name in self.names(folder)}
        return [path for path in paths if path not in there]

    def show(self, path: str) -> str:
        """The object's full URL or path, for people."""
        return f"{self.root}/{path}" if self._local else self.fs.unstrip_protocol(f"{self.root}/{path}")
