"""The whole chain with registry and history on PostgreSQL and the lake on S3: by settings alone, the same content."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import boto3
import pytest

from lem.lake import Lake
from lem.lake.fences import FILE
from lem.registry import Registry
from tests.servers import s3_server

pytestmark = pytest.mark.slow
RUN = ("run", "-u", "tiny", "-d", "2024-01-18")


def contents(lake: Lake) -> dict[str, str]:
    """Every object of the lake by its path: data version of a table, bytes of anything else."""
    there = sorted(path.removeprefix(f"{lake.root}/") for path in lake.fs.find(f"{lake.root}/tiny"))
    tables = lake.versions_of(path for path in there if path.endswith(".parquet"))
    return {path: tables[path].data if path in tables else lake.read_bytes(path).hex() for path in there}


@pytest.fixture(scope="module")
def made(postgresql, tiny_keys, write_universe, lem_command, tmp_path_factory):
    """The tiny universe's report on PostgreSQL and S3: what the command said, the lake, and the settings."""
    folder = tmp_path_factory.mktemp("served")
    write_universe(folder / "universes", tiny_keys())
    with postgresql.database() as models, postgresql.database() as history, s3_server("desk") as s3:
        settings = {
            "LEM_LAKE": "s3://desk/lake",
            "LEM_REGISTRY": models,
            "LEM_DAGSTER_STORAGE": history,
            "DAGSTER_HOME": str(folder / "home" / "dagster"),
            **s3,
        }
        with pytest.MonkeyPatch.context() as patch:
            for name, value in settings.items():
                patch.setenv(name, value)
            yield lem_command(folder, *RUN, **settings), folder, settings


def test_the_chain_runs_on_servers_and_its_content_is_that_of_the_local_one(made, tiny_home):
    done, _, settings = made
    assert done.code == 0, done.out + done.err
    here, there = Lake(str(tiny_home.folder / "home" / "lake")), Lake("s3://desk/lake", skip_instance_cache=True)
    expected = contents(here)
    assert len(expected) > 60
    assert contents(there) == expected
    registries = Registry(f"sqlite:///{tiny_home.folder}/home/registry.sqlite"), Registry(settings["LEM_REGISTRY"])
    local, served = ([(m.id, m.weights_sha256, m.inputs) for m in r.models("tiny")] for r in registries)
    assert local
    assert served == local
    standing = [[(p.date, p.champion_id, p.reasons) for p in r.promotions("tiny")] for r in registries]
    assert standing[0] == standing[1]


def test_every_object_was_written_behind_a_fence(made, tiny_home):
    local = Path(tiny_home.folder / "home" / "lake")
    files = {str(path.relative_to(local)) for path in (local / "tiny").rglob("*") if path.is_file()}
    with contextlib.closing(sqlite3.connect(local / FILE)) as database:
        assert {path for (path,) in database.execute("SELECT path FROM fences WHERE path != ''")} == files
    client = boto3.client("s3")
    listed = client.list_objects_v2(Bucket="desk", Prefix="lake/tiny/")["Contents"]
    assert {entry["Key"].removeprefix("lake/") for entry in listed} == files
    tokens = [int(client.head_object(Bucket="desk", Key=entry["Key"])["Metadata"]["lem-fence"]) for entry in listed]
    assert len(set(tokens)) >= 8, "each step has a token of its own"


def test_nothing_is_kept_beside_the_servers_but_logs(made, lem_command):
    _, folder, settings = made
    kept = [path for path in (folder / "home").rglob("*") if path.is_file()]
    assert not [path for path in kept if path.suffix in (".sqlite", ".db", ".parquet")]
    assert (folder / "home/dagster/dagster.yaml") in kept
    status = lem_command(folder, "status", "-u", "tiny", **settings)
    assert status.code == 0
    assert "Latest report: 2024-01-18" in status.out


def test_the_second_run_finds_everything_there(made, lem_command):
    _, folder, settings = made
    done = lem_command(folder, *RUN, **settings)
    assert done.code == 0, done.out + done.err
    assert "Everything is there already." in done.out
