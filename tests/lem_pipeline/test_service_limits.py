"""What a caller of the service cannot do: take everybody's place, fill the book, learn where files are."""

from __future__ import annotations

import contextlib
import datetime as dt
import re
import socket
import sqlite3

import httpx
import pytest
from starlette.testclient import TestClient

from lem.advice.store import AdviceStore
from lem.errors import AdviceError, OrderError
from lem.lineage.quarantine import quarantine_path
from lem_pipeline.service.app import make_app
from lem_pipeline.service.hiding import Hiding
from resources.settings import Settings
from tests.lem.advice.desk import HOURLY, NOON, StoppedClock, make_desk
from tests.lem_pipeline.test_service import ORDER, TOKEN, start


@pytest.fixture
def desk(tmp_path, make_universe, tiny_keys):
    return make_desk(tmp_path, make_universe(**tiny_keys(**HOURLY)))


@pytest.fixture
def client(desk):
    return TestClient(
        make_app(desk.advisor(StoppedClock(NOON))), base_url="http://127.0.0.1:8321", raise_server_exceptions=False
    )


@pytest.mark.parametrize("host", ["127.0.0.1", pytest.param("127.0.0.2", marks=pytest.mark.slow)])
def test_a_caller_is_served_beside_silent_connections(tmp_path, desk, tiny_keys, write_universe, host):
    write_universe(tmp_path / "universes", tiny_keys(**HOURLY))
    with contextlib.ExitStack() as stack:
        env = {"LEM_TOKEN": TOKEN} if host == "127.0.0.1" else {}
        server = stack.enter_context(start(tmp_path, "--at", "2024-01-18T12:00Z", "--host", host, **env))
        stack.callback(server.kill)
        url = re.search(r"http://127\.0\.0\.\d:\d+", server.stdout.readline())[0]
        port = int(url.rpartition(":")[2])
        for _ in range(200):
            stack.enter_context(socket.create_connection((host, port), timeout=20))
        shown = {"authorization": f"Bearer {TOKEN}"}
        answers = [httpx.get(f"{url}/orders", headers=shown, timeout=60) for _ in range(10)]
        assert [answer.status_code for answer in answers] == [200] * 10
        assert httpx.post(f"{url}/orders", headers=shown, json=ORDER, timeout=60).status_code == 201


def test_more_orders_than_the_quota_are_not_taken(desk):
    advisor = desk.advisor(StoppedClock(NOON))
    advisor.store = AdviceStore(desk.url, most_open=2)
    one = TestClient(make_app(advisor), base_url="http://127.0.0.1:8321")
    sent = [one.post("/orders", json={**ORDER, "id": f"order-{n}"}) for n in range(3)]
    assert [answer.status_code for answer in sent] == [201, 201, 409]
    assert "2 orders of tiny are open; allowed: 2 (LEM_MAX_OPEN_ORDERS)" in sent[2].json()["reason"]
    assert one.post("/orders", json={**ORDER, "id": "order-0"}).status_code == 200, "it is there already"
    one.post("/orders/order-0/cancel")
    assert one.post("/orders", json={**ORDER, "id": "order-2"}).status_code == 201


def test_the_quota_is_a_setting(monkeypatch, tmp_path, desk, tiny_keys, write_universe, lem_command):
    write_universe(tmp_path / "universes", tiny_keys(**HOURLY))
    new = ["advise", "new", "-u", "tiny", "--asset", "AAA-USD", "--size", "1", "--at", "2024-01-18T12:00Z"]
    first, second = (lem_command(tmp_path, *new, LEM_MAX_OPEN_ORDERS="1") for _ in range(2))
    assert (first.code, second.code) == (0, 1)
    assert "1 orders of tiny are open; allowed: 1 (LEM_MAX_OPEN_ORDERS)" in second.err
    for wrong in ("0", "-1", "many", "1.5", ""):
        monkeypatch.setenv("LEM_MAX_OPEN_ORDERS", wrong)
        with pytest.raises(OrderError, match=r"LEM_MAX_OPEN_ORDERS is .*; allowed: a whole number"):
            Settings()


@pytest.mark.parametrize("ask", [("POST", "/advice"), ("POST", "/orders/one/advice"), ("GET", "/market")])
def test_no_answer_says_where_files_are(desk, client, ask):
    desk.lake.write_bytes(quarantine_path("tiny", dt.date(2024, 1, 17), "AAA-USD"), b"broken")
    client.post("/orders", json=ORDER)
    answer = client.request(*ask)
    assert answer.status_code in (200, 503)
    assert "are quarantined, see .../" in answer.text
    assert str(desk.folder) not in answer.text
    assert "/home/" not in answer.text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("see /srv/lem/home/lake/tiny/quarantine/a.json; repair", "see LEM_LAKE/tiny/quarantine/a.json; repair"),
        ("see /srv/lem/home/other.txt", "see LEM_HOME/other.txt"),
        ("No such file: '/srv/my files/x.csv'", "No such file: '.../x.csv'"),
        ("[Errno 2] /etc/lem/universes/tiny.toml: gone.", "[Errno 2] .../tiny.toml: gone."),
        ("file:///data/a/b.parquet, s3://bucket/key/c.parquet", ".../b.parquet, .../c.parquet"),
        ("https://api.example/v1/klines answers 1/2", "https://api.example/v1/klines answers 1/2"),
        ("bars of BTC/USDT, 2024-01-18 and/or later", "bars of BTC/USDT, 2024-01-18 and/or later"),
    ],
)
def test_paths_become_names(monkeypatch, text, shown):
    monkeypatch.setenv("LEM_HOME", "/srv/lem/home")
    for name in ("LEM_LAKE", "LEM_REGISTRY", "LEM_UNIVERSES", "LEM_DATA"):
        monkeypatch.delenv(name, raising=False)
    assert Hiding(Settings())(text) == shown


def test_every_error_that_is_told_is_without_paths(desk, client, monkeypatch):
    def fails(*arguments):
        raise AdviceError(f"AAA-USD: {desk.folder}/home/lake/tiny/bars.parquet is damaged")

    app = make_app(advisor := desk.advisor(StoppedClock(NOON)))
    monkeypatch.setattr(advisor, "refresh", fails)
    monkeypatch.setattr(advisor, "advise", fails)
    one = TestClient(app, base_url="http://127.0.0.1:8321")
    for ask in (("GET", "/market"), ("POST", "/advice")):
        answer = one.request(*ask)
        assert (answer.status_code, answer.json()["reason"]) == (503, "AAA-USD: .../bars.parquet is damaged")


def test_what_nobody_foresaw_is_json_without_a_word_of_it(desk, monkeypatch):
    advisor = desk.advisor(StoppedClock(NOON))
    monkeypatch.setattr(advisor, "advise", lambda *arguments: 1 / 0)
    one = TestClient(make_app(advisor), base_url="http://127.0.0.1:8321", raise_server_exceptions=False)
    answer = one.post("/advice")
    assert (answer.status_code, answer.json()["reason"]) == (500, "the service failed; its log says why")


def test_a_changed_row_is_503_by_name_and_other_orders_go_on(desk, client):
    for key in ("one", "two"):
        client.post("/orders", json={**ORDER, "id": key})
    client.post("/advice")
    with contextlib.closing(sqlite3.connect(desk.folder / "home" / "registry.sqlite")) as database, database:
        database.execute("UPDATE advised_slices SET remaining = 1.7 WHERE order_id = 'one'")
    advised = client.post("/advice").json()
    assert [one["order_id"] for one in advised["slices"]] == ["two"]
    words = (
        "order one: the database has what was never written: its slice of the bar 2024-01-18T12:00:00Z has remaining"
    )
    assert advised["refused"]["one"].startswith(words)
    for ask in (("POST", "/orders/one/advice"), ("GET", "/orders/one/slices")):
        answer = client.request(*ask)
        assert answer.status_code == 503
        assert answer.json()["reason"].startswith(words)
