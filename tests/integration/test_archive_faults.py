"""What goes wrong with archives, over HTTP and S3: nothing is lost, doubled or invented, or the day is blocked."""

from __future__ import annotations

import datetime as dt
import hashlib
import io
import re
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pandas as pd
import pytest
import s3fs
from moto.server import ThreadedMotoServer

from lem.data.bars import validate_bars
from lem.errors import LemError
from lem.sources.archive import Archive
from lem.sources.base import NUMBERS
from lem.sources.limits import Clock
from lem.universe import Asset, Outage
from tests.exchange.archive_cases import (
    CONTENT_FAULTS,
    DATE,
    END,
    FAULTS,
    NAME,
    PASSING,
    PATH,
    SHAPES,
    SLOW,
    START,
    TIMEOUT,
    TRUTH,
    WHOLE,
)
from tests.exchange.archive_server import DAILY, MONTHLY, ArchiveServer, klines_csv, put, put_bars, zipped
from tests.exchange.faults import Answer
from tests.exchange.faults_table import check, record

PART = "An archive"
OVER = ["http", pytest.param("s3", marks=pytest.mark.slow)]
"""Faults of transport, over both: what S3 adds is in the tests further down."""
NO_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_S3")


class Still(Clock):
    """The day after, and no waiting; `slept` is what it was asked for."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    def now(self) -> dt.datetime:
        return END + dt.timedelta(hours=12)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


@pytest.fixture(scope="module")
def s3_origin() -> Iterator[str]:
    """`host:port` of a server for S3 with a public bucket `archive`."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"{host}:{port}"
    server.stop()


@pytest.fixture
def serve(
    request: pytest.FixtureRequest, tmp_path: Path, make_universe: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., SimpleNamespace]]:
    """`serve("http")` or `serve("s3")`, once the folder is filled: the server and a source that reads from it."""
    servers: list[ArchiveServer] = []

    def make(over: str, **keys: Any) -> SimpleNamespace:
        origin = request.getfixturevalue("s3_origin") if over == "s3" else ""
        if origin:
            _upload(origin, tmp_path)
        server = ArchiveServer(tmp_path, origin).__enter__()
        servers.append(server)
        if origin:
            for name in NO_KEYS:
                monkeypatch.delenv(name, raising=False)
            monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
            monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
            # The endpoint stands in the environment, which the cache of file systems does not look at.
            s3fs.S3FileSystem.clear_instance_cache()
        root = "s3://archive" if origin else server.url
        source = {
            "kind": "archive",
            "daily": f"{root}/{DAILY}",
            "bar": "15min",
            "timeout_seconds": TIMEOUT,
            "retries": 2,
        }
        universe = make_universe(
            bar="15min", source={**source, **keys}, assets={"AAA-USDT": {"venue_symbol": "AAAUSDT"}}
        )
        clock = Still()
        return SimpleNamespace(
            server=server, universe=universe, clock=clock, root=root, source=Archive(universe, "", {}, clock)
        )

    yield make
    for server in servers:
        server.__exit__(None, None, None)
    s3fs.S3FileSystem.clear_instance_cache()


def _upload(origin: str, folder: Path) -> None:
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
    client = boto3.client("s3", endpoint_url=f"http://{origin}", **keys)
    client.create_bucket(Bucket="archive", ACL="public-read")
    there = client.list_objects_v2(Bucket="archive").get("Contents", [])
    for item in there:
        client.delete_object(Bucket="archive", Key=item["Key"])
    for path in filter(Path.is_file, folder.rglob("*")):
        client.put_object(
            Bucket="archive", Key=str(path.relative_to(folder)), Body=path.read_bytes(), ACL="public-read"
        )


def outcome(made: SimpleNamespace) -> tuple[str, int, int, int]:
    """What came of the day: the error that blocks it, or ''; and rows lost, duplicated and invented."""
    try:
        raw = made.source.fetch("AAA-USDT", START, END)
        stored = validate_bars(raw.table, made.universe, "AAA-USDT", DATE).table
    except LemError as error:
        return re.sub(r"(?:https?|s3)://\S*/|^ *", "", str(error)), 0, 0, 0
    columns = ["ts", *NUMBERS]
    want, got = (set(table[columns].itertuples(index=False, name=None)) for table in (TRUTH, stored))
    lost = ~TRUTH["ts"].isin(stored["ts"])
    return "", int(lost.sum()), int(stored["ts"].duplicated().sum()), len(got - want)


def passes(made: SimpleNamespace, fault: str, happened: str) -> None:
    """The day is stored as it was."""
    text, lost, duplicated, invented = outcome(made)
    assert not text
    assert (lost, duplicated, invented) == (0, 0, 0)
    record(fault, happened, lost, duplicated, invented, part=PART)


def blocks(made: SimpleNamespace, fault: str, rule: str) -> None:
    """The day is not stored, and the error says this."""
    text, lost, duplicated, invented = outcome(made)
    assert re.search(rule, text), text
    # Compressed bytes are not the same everywhere, so neither are their number and hash.
    text = re.sub("(?!0{64})[0-9a-f]{64}", "(hash)", text)
    text = re.sub("ClientPayloadError: .*", "the body is not whole (ClientPayloadError)", text)
    text = re.sub(r"file's [0-9]+ bytes", "file's bytes", text)
    record(fault, f"*blocked*: {text}", lost, duplicated, invented, part=PART)


@pytest.mark.parametrize("over", OVER)
@pytest.mark.parametrize("fault", PASSING)
def test_a_transport_fault_is_tried_again(serve, tmp_path, fault, over):
    put(tmp_path / PATH, WHOLE)
    made = serve(over)
    made.server.fault(NAME, PASSING[fault][0], on=(1,))
    passes(made, f"{over}: {fault}, once", "tried again after a pause")
    assert len(made.clock.slept) >= 1
    assert sum(path.endswith(NAME) for path in made.server.asked) >= 2


@pytest.mark.parametrize("over", OVER)
@pytest.mark.parametrize("fault", PASSING)
def test_a_transport_fault_that_stays_blocks_the_day(serve, tmp_path, fault, over):
    put(tmp_path / PATH, WHOLE)
    made = serve(over)
    answer, rule = PASSING[fault]
    made.server.fault(NAME, answer, on=None)
    blocks(made, f"{over}: {fault}, always", f"^{NAME}: tried 3 times, at last: .*{rule}")
    assert sum(path.endswith(NAME) for path in made.server.asked) == 3


@pytest.mark.parametrize("over", OVER)
def test_a_slow_answer_is_waited_for(serve, tmp_path, over):
    put(tmp_path / PATH, WHOLE)
    made = serve(over)
    made.server.fault(PATH, Answer(delay=TIMEOUT / 8), on=None)
    passes(made, f"{over}: {SLOW}", "read")
    assert sum(path.endswith(NAME) for path in made.server.asked) == 1
    assert made.clock.slept == []


@pytest.mark.parametrize("over", ["http", "s3"])
def test_a_wrong_checksum_is_downloaded_again_and_then_blocks_the_day(serve, tmp_path, over):
    put(tmp_path / PATH, WHOLE)
    made = serve(over)
    made.server.fault(".CHECKSUM", Answer(body=f"{'0' * 64}  {NAME}\n".encode()), on=(1, 2))
    passes(made, f"{over}: wrong checksum, twice", "downloaded again, archive and checksum")
    made = serve(over)
    made.server.fault(".CHECKSUM", Answer(body=f"{'0' * 64}  {NAME}\n".encode()), on=None)
    digest = hashlib.sha256(WHOLE).hexdigest()
    blocks(made, f"{over}: wrong checksum, always", f"^{NAME}: tried 3 times, .* is {digest}, not 0{{64}}")


@pytest.mark.parametrize("over", OVER)
def test_a_missing_sidecar_and_a_missing_archive_block_the_day(serve, tmp_path, over):
    put(tmp_path / PATH, WHOLE, checksum="")
    blocks(
        serve(over), f"{over}: no checksum beside the archive", r"\.CHECKSUM: no such file, so .* cannot be verified"
    )
    (tmp_path / PATH).unlink()
    blocks(
        serve(over), f"{over}: no archive, and no venue to ask", f"^{NAME}: no such archive; allowed: .*source.fallback"
    )


@pytest.mark.parametrize("over", OVER)
def test_a_refusal_blocks_the_day_at_once(serve, tmp_path, over):
    put(tmp_path / PATH, WHOLE)
    made = serve(over)
    made.server.fault(NAME, Answer(403), on=None)
    blocks(made, f"{over}: status 403", f"^{NAME}: cannot be read: the server answers with status 403$")
    assert sum(path.endswith(NAME) for path in made.server.asked) == 1


@pytest.mark.parametrize("over", OVER)
def test_the_pause_that_a_server_asks_for_is_kept_or_refused(serve, tmp_path, over):
    put(tmp_path / PATH, WHOLE)
    made = serve(over)
    made.server.fault(NAME, Answer(503, (("Retry-After", "7"),)), on=(1,))
    passes(made, f"{over}: status 503 with Retry-After: 7", "tried again after 7 s")
    assert 7.0 in made.clock.slept
    made = serve(over)
    made.server.fault(NAME, Answer(429, (("Retry-After", "9000"),)), on=None)
    blocks(made, f"{over}: status 429 with Retry-After: 9000", "status 429, and asks to wait for 9000 s")


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_of_the_file_gives_the_same_bars(serve, tmp_path, shape):
    header, unit = SHAPES[shape]
    put_bars(tmp_path, DAILY, "AAAUSDT", TRUTH, bar="15m", header=header, unit=unit)
    passes(serve("http"), f"file with {shape}", "read")


@pytest.mark.parametrize("fault", CONTENT_FAULTS)
def test_an_archive_with_the_wrong_content_blocks_the_day(serve, tmp_path, fault):
    members, rule = CONTENT_FAULTS[fault]
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    put(tmp_path / PATH, out.getvalue())
    blocks(serve("http", max_bytes=10_000_000), fault, rule)


def test_a_cut_archive_with_the_checksum_of_the_cut_file_blocks_the_day(serve, tmp_path):
    put(tmp_path / PATH, WHOLE[:-2000])
    blocks(serve("http"), "an archive that was cut before its checksum was made", "damaged zip archive")


def test_a_row_that_is_there_twice_collapses(serve, tmp_path):
    put(tmp_path / PATH, zipped("a.csv", klines_csv(pd.concat([TRUTH, TRUTH.iloc[5:8]]))))
    passes(serve("http"), "identical rows twice", "collapse into one when the day is validated")


def test_rows_in_a_listed_outage_are_left_out_and_nothing_else(serve, tmp_path):
    bad = TRUTH.assign(volume=TRUTH["volume"].where(~TRUTH.index.isin([5, 6]), 0.001))
    put(tmp_path / PATH, zipped("a.csv", klines_csv(bad)))
    made = serve("http")
    listed = {"start": TRUTH["ts"][5], "end": TRUTH["ts"][7], "assets": ["AAA-USDT"], "reason": "wrong volume"}
    universe = made.universe.model_copy(update={"outages": (Outage(**listed),)})
    result = validate_bars(made.source.fetch("AAA-USDT", START, END).table, universe, "AAA-USDT", DATE)
    assert result.counts["in_outage"] == 2
    kept = result.table[result.table["flag"] == "ok"]
    pd.testing.assert_frame_equal(
        kept[["ts", *NUMBERS]].reset_index(drop=True), TRUTH.drop([5, 6])[["ts", *NUMBERS]].reset_index(drop=True)
    )
    record("rows in a listed outage", "left out, counted and told of; all other bars", 0, 0, 0, part=PART)


def test_a_name_in_another_script_is_read_with_its_checksum(serve, tmp_path):
    put_bars(tmp_path, DAILY, "币安人生USDT", TRUTH, bar="15m")
    made = serve("http")
    asset = {"AAA-USDT": Asset(venue_symbol="币安人生USDT")}
    universe = made.universe.model_copy(update={"assets": asset})
    source = Archive(universe, "", {}, made.clock)
    passes(
        SimpleNamespace(**{**vars(made), "universe": universe, "source": source}), "a name in another script", "read"
    )


def test_quote_volume_that_the_venue_rounds_is_read(serve, tmp_path):
    dust = TRUTH.copy()
    dust.loc[7, ["open", "high", "low", "close"]] = 1.71e-6
    dust.loc[7, "volume"], dust.loc[7, "quote_volume"] = 0.3, 5.1e-7
    put(tmp_path / PATH, zipped("a.csv", klines_csv(dust)))
    made = serve("http")
    raw = made.source.fetch("AAA-USDT", START, END).table
    assert len(validate_bars(raw, made.universe, "AAA-USDT", DATE).table) == len(TRUTH)
    exact = made.universe.model_copy(update={"source": made.universe.source.model_copy(update={"quote_decimals": 18})})
    with pytest.raises(LemError, match="VWAP"):
        validate_bars(raw, exact, "AAA-USDT", DATE)
    fault = "quote volume rounded to eight decimals"
    record(fault, "within source.quote_decimals: all bars", 0, 0, 0, part=PART)


def test_a_month_that_is_not_archived_yet_is_read_by_days(serve, tmp_path):
    put(tmp_path / PATH, WHOLE)
    made = serve("http")
    made = serve("http", monthly=f"{made.root}/{MONTHLY}")
    passes(made, "no monthly archive of a month that is over", "the day's archive is read")


def test_a_bucket_that_is_not_there_is_no_day_that_is_not_archived_yet(serve):
    made = serve("s3", daily=f"s3://nobody/{DAILY}", fallback={"kind": "ccxt", "venue": "binance", "bar": "15min"})
    blocks(made, "s3: no such bucket", f"^{NAME}: cannot be read: no such bucket")


def test_s3_is_read_without_a_signature_unless_there_are_credentials(serve, tmp_path, monkeypatch):
    put(tmp_path / PATH, WHOLE)
    made = serve("s3")
    assert outcome(made) == ("", 0, 0, 0)
    assert not any("authorization" in headers for headers in made.server.headers)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    made.server.fault(NAME, Answer(403), on=(2,))
    text = outcome(SimpleNamespace(**{**vars(made), "source": Archive(made.universe, "", {}, made.clock)}))[0]
    assert "authorization" in made.server.headers[-1]
    assert "status 403" in text
    assert "hunter2" not in text


def test_the_table_of_faults_is_the_one_in_the_docs():
    check(PART, FAULTS)
