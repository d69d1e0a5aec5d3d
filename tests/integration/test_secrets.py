"""Keys of a venue and passwords in URLs reach whom they are for.

They are in nothing that a run leaves behind or that anybody is shown.
"""

from __future__ import annotations

import base64
import contextlib
import datetime as dt
import html
import json
import logging
import sqlite3
import threading
import zlib
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import quote, quote_plus

import pyarrow.parquet as pq
import pytest

from lem.sources import open_source
from lem.sources.base import NUMBERS
from resources import stores
from resources.settings import Credentials, Settings
from tests.exchange.faults import Answer
from tests.exchange.server import Exchange

KEYS = {"API_KEY": "kEy81/qz f+==", "SECRET": "sEcr92-'v'\"%\\\nlInE64/\tsEcr92", "PASSWORD": "pAss73{}<&"}
MARKS = ("key81", "secr92", "line64", "pass73")
"""Parts of the keys, of each line of them, which no way of quoting changes; looked for in small letters."""
SPELLED = {
    "as they are": str,
    "in a URL": lambda key: quote(key, safe=""),
    "in a form": quote_plus,
    "in Python": lambda key: repr(key)[1:-1],
    "in JSON": lambda key: json.dumps(key)[1:-1],
    "in HTML": html.escape,
}
ENV = {f"LEM_BINANCE_{name}": value for name, value in KEYS.items()}
BACKFILL = ("backfill", "-u", "tiny", "--from", "2024-01-10", "--to", "2024-01-10")
SPAN = (dt.datetime(2024, 1, 1, tzinfo=dt.UTC), dt.datetime(2024, 1, 20, tzinfo=dt.UTC))


@pytest.fixture
def exchange(make_universe):
    bars = open_source(make_universe(assets={"AAA-USDT": {}}), "").fetch("AAA-USDT", *SPAN).table
    with Exchange({"AAAUSDT": bars[["ts", *NUMBERS]]}, interval="1h") as running:
        yield running


@pytest.fixture
def lem(tmp_path, exchange, tiny_keys, write_universe, lem_command, monkeypatch, caplog):
    """`lem(*BACKFILL)`: the command with keys in its environment, a history of its own, and every log written."""
    source = {"kind": "ccxt", "venue": "binance", "bar": "1h", "retries": 0, "url": exchange.url}
    write_universe(tmp_path / "universes", tiny_keys(source=source, assets={"AAA-USDT": {}}))
    caplog.set_level(logging.DEBUG)
    opened = []

    def spied(universe, data_root, credentials):
        opened.append(dict(credentials))
        return open_source(universe, data_root, credentials)

    monkeypatch.setattr(stores, "open_source", spied)

    def run(*arguments):
        done = lem_command(tmp_path, *arguments, **ENV, DAGSTER_HOME=str(tmp_path / "home" / "dagster"))
        run.opened = opened
        return done

    return run


def texts(folder) -> Iterator[str]:
    """All that lies below a folder: bytes of files, cells of databases, and what of both is compressed."""
    for path in filter(lambda path: path.is_file(), folder.rglob("*")):
        yield str(path)
        data = path.read_bytes()
        yield data.decode("latin-1")
        if path.suffix == ".parquet":
            table = pq.read_table(path)
            yield repr(table.schema.metadata) + repr(table.to_pylist())
        if data.startswith(b"SQLite format 3"):
            with contextlib.closing(sqlite3.connect(path)) as database:
                names = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
                for cell in (
                    cell for name in names for row in database.execute(f'SELECT * FROM "{name}"') for cell in row
                ):
                    with contextlib.suppress(zlib.error, TypeError):
                        cell = zlib.decompress(cell)
                    yield cell.decode("latin-1") if isinstance(cell, bytes) else str(cell)


def marks(text: str) -> list[str]:
    return [mark for mark in MARKS if mark in text.lower()]


def nowhere(folder, *shown: str) -> None:
    assert not [mark for text in texts(folder / "home") for mark in marks(text)]
    assert not marks("".join(shown))


def test_keys_reach_the_client_and_nothing_of_them_is_stored_or_shown(lem, tmp_path, caplog):
    done = lem(*BACKFILL)
    assert done.code == 0, done.out + done.err
    assert lem.opened == [{"apiKey": KEYS["API_KEY"], "secret": KEYS["SECRET"], "password": KEYS["PASSWORD"]}]
    assert any("binance/AAAUSDT/1h" in text for text in texts(tmp_path / "home")), "what is stored is not looked at"
    assert sum("ASSET_MATERIALIZATION" in text for text in texts(tmp_path / "home")) >= 4
    shown = [lem(*arguments) for arguments in (("status", "-u", "tiny"), ("models", "list"))]
    assert [done.code for done in shown] == [0, 0]
    nowhere(tmp_path, caplog.text, *(text for done in [done, *shown] for text in (done.out, done.err)))


@pytest.mark.parametrize(
    ("code", "answer"),
    [
        (401, lambda text: json.dumps({"code": -2015, "msg": text})),
        (403, str),
        (503, lambda text: f"<p>{text}</p>"),
    ],
    ids=["JSON", "text", "a proxy's page"],
)
def test_an_error_in_which_the_venue_quotes_the_keys_does_not(code, answer, lem, exchange, tmp_path, caplog):
    quoted = [spell(key) for key in KEYS.values() for spell in SPELLED.values()]
    exchange.faults.answer(Answer(code, body=answer(f"Invalid API-key: {' '.join(quoted)} .").encode()), on=None)
    done = lem(*BACKFILL)
    assert done.code == 1
    assert f"Invalid API-key: {'*** ' * len(quoted)}." in done.err
    assert any("STEP_FAILURE" in text and "***" in text for text in texts(tmp_path / "home"))
    nowhere(tmp_path, caplog.text, done.out, done.err)


class Desk(SimpleHTTPRequestHandler):
    """Files for whoever shows the password."""

    def do_GET(self):
        shown = self.headers.get("Authorization", "").removeprefix("Basic ")
        if base64.b64decode(shown) == b"desk:pAss73/@x":
            super().do_GET()
        else:
            self.send_error(401)

    def log_message(self, *_):
        pass


@pytest.fixture
def files(tmp_path, tiny_keys, write_universe, make_universe, lem_command):
    """`files("pAss73")`: `lem` backfills from files behind a password."""
    columns = ["ts", *NUMBERS]
    bars = open_source(make_universe(**tiny_keys()), "").fetch("AAA-USD", *SPAN).table
    (tmp_path / "files").mkdir()
    bars[columns].to_csv(tmp_path / "files" / "AAA-USD.csv", index=False)
    source, assets = {"kind": "files", "url": "{data}/{symbol}.csv"}, {"AAA-USD": {}}
    write_universe(tmp_path / "universes", tiny_keys(source=source, assets=assets))
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Desk, directory=tmp_path / "files"))
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def run(password, symbol="AAA-USD"):
        address = f"127.0.0.1:{server.server_port}"
        url = f"http://desk:{quote(password, safe='')}@{address}"
        (tmp_path / "files" / "AAA-USD.csv").rename(tmp_path / "files" / f"{symbol}.csv")
        home = str(tmp_path / "home" / "dagster")
        return lem_command(tmp_path, *BACKFILL, LEM_DATA=url, DAGSTER_HOME=home), f"http://{address}/AAA-USD.csv"

    yield run
    server.shutdown()
    server.server_close()


def test_the_password_of_the_files_opens_them_and_is_not_recorded(files, tmp_path):
    done, url = files("pAss73/@x")
    assert done.code == 0, done.out + done.err
    assert any(f"'{url}'" in text for text in texts(tmp_path / "home")), "what is stored is not looked at"
    nowhere(tmp_path, done.out, done.err)


@pytest.mark.parametrize(
    ("password", "symbol", "told"),
    [("pAss73/no", "AAA-USD", "cannot be read: ClientResponseError: 401"), ("pAss73/@x", "BBB-USD", "no such file; ")],
)
def test_an_error_about_files_behind_a_password_does_not_quote_it(password, symbol, told, files, tmp_path):
    done, url = files(password, symbol)
    assert done.code == 1
    assert f"{url}: {told}" in done.err
    assert any("STEP_FAILURE" in text and url in text for text in texts(tmp_path / "home"))
    nowhere(tmp_path, done.out, done.err)


def test_keys_are_shown_by_no_object_that_holds_them(make_universe, monkeypatch):
    for name, value in ENV.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("LEM_DATA", "http://desk:pAss73@host")
    keys = Credentials.of("binance")
    assert keys.given() == {"apiKey": KEYS["API_KEY"], "secret": KEYS["SECRET"], "password": KEYS["PASSWORD"]}
    source = stores.SourceResource()
    opened = source.open(make_universe(source={"kind": "ccxt", "venue": "binance", "bar": "1h"}))
    shown = [f(thing) for f in (repr, str) for thing in (keys, Settings(), source, opened)]
    assert not marks("".join([*shown, keys.model_dump_json(), str(keys.model_dump()), source.model_dump_json()]))
