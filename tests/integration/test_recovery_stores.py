"""Faults of the stores while a chain runs on PostgreSQL and S3: they refuse, are slow, break, or start again."""

from __future__ import annotations

import time
from urllib.parse import urlsplit

import pytest

from lem.lake import Lake
from tests.integration.recovery import KEYS, SPAN, Chain, Lem, Line, objects, undisturbed
from tests.proxy import proxy_to
from tests.servers import OVERRIDE, postgresql_server, s3_server

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def served(tmp_path_factory, tiny_keys, write_universe, make_universe):
    """The chain on a PostgreSQL server of its own and, through a proxy, on S3."""
    folder = tmp_path_factory.mktemp("served")
    write_universe(folder / "universes", tiny_keys(**KEYS))
    with postgresql_server() as server, server.database() as url, s3_server("desk") as s3:
        if server.folder is None:
            pytest.skip(f"{OVERRIDE} names a server that these tests may not stop")
        with proxy_to(urlsplit(s3["AWS_ENDPOINT_URL"]).port) as proxy, pytest.MonkeyPatch.context() as patch:
            env = {
                "LEM_HOME": str(folder / "home"),
                "LEM_UNIVERSES": str(folder / "universes"),
                "DAGSTER_HOME": str(folder / "home" / "dagster"),
                "LEM_LAKE": "s3://desk/lake",
                "LEM_REGISTRY": url,
                "LEM_DAGSTER_STORAGE": url,
                **s3,
                "AWS_ENDPOINT_URL": f"http://127.0.0.1:{proxy.port}",
            }
            for name, value in (s3 | {"LEM_DAGSTER_STORAGE": url}).items():
                patch.setenv(name, value)
            lem = Lem(folder, env)
            expected = undisturbed(make_universe(**tiny_keys(**KEYS)), Lake(str(folder / "expected")), SPAN[1])
            chain = Chain(lem, Lake("s3://desk/lake", skip_instance_cache=True), expected)
            assert lem.run(*chain.backfill()) == 0, lem.log.read_text()
            yield chain, folder / "home" / "dagster", server, proxy
            lem.close()


def test_the_database_starts_again_while_a_chain_runs(served):
    chain, home, server, _ = served
    line = Line("the database is stopped at once and started again")
    for _ in range(2):
        before = objects(chain.lake)
        chain.lem.start(*chain.backfill())
        time.sleep(1 + line.tried)
        server.stop()
        time.sleep(0.5)
        server.start()
        chain.lem.wait()
        line.judge(chain, before, home)
    line.check()


@pytest.mark.parametrize(
    ("mode", "told"),
    [("refuse", "S3 refuses connections"), ("slow", "S3 is slow"), ("reset", "S3 breaks off its answers")],
)
def test_s3_fails_while_a_chain_runs(served, mode, told):
    chain, home, _, proxy = served
    line, before, faults = Line(told), objects(chain.lake), proxy.faults
    chain.lem.start(*chain.backfill())
    time.sleep(0.5)
    proxy.mode = mode
    time.sleep(4)
    proxy.mode = "pass"
    chain.lem.wait()
    assert proxy.faults > faults, "nothing was asked of S3 meanwhile: this has shown nothing"
    line.judge(chain, before, home)
    line.check()
