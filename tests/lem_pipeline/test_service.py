"""The service: who may ask, what it answers, and that malformed requests are refused with a reason."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance
from starlette.testclient import TestClient

from lem.errors import LakeError
from lem_pipeline.service.app import make_app
from lem_pipeline.service.guards import MAX_BODY
from lem_pipeline.web.listening import ServiceError, check_bind, is_loopback
from tests.conftest import ROOT
from tests.lem.advice.desk import HOURLY, NOON, StoppedClock, make_desk

TOKEN = "n4XDS2m0aVYh_p8Kq1GmBzWc"
ORDER = {"id": "one", "asset": "AAA-USD", "side": "buy", "size": 100.0, "min_bars": 6, "max_bars": 6}
FUZZING = settings(
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture
def clock():
    return StoppedClock(NOON)


@pytest.fixture
def advisor(tmp_path, make_universe, tiny_keys, clock):
    return make_desk(tmp_path, make_universe(**tiny_keys(**HOURLY))).advisor(clock)


def client_of(advisor):
    return TestClient(make_app(advisor), base_url="http://127.0.0.1:8321", raise_server_exceptions=False)


@pytest.fixture
def client(advisor):
    return client_of(advisor)


@pytest.fixture(scope="module")
def idle(tmp_path_factory, make_universe, tiny_keys):
    """A client of a desk that no test changes: what is asked of it is refused, or changes nothing."""
    desk = make_desk(tmp_path_factory.mktemp("idle"), make_universe(**tiny_keys(**HOURLY)))
    advisor = desk.advisor(StoppedClock(NOON))
    yield client_of(advisor)
    assert not advisor.store.orders("tiny"), "a refused order was taken"


def test_an_order_is_taken_advised_once_a_bar_filled_and_ended(client, clock):
    assert [client.post("/orders", json=ORDER).status_code for _ in range(2)] == [201, 200]
    market = client.get("/market").json()
    assert (market["bar"], market["problems"]) == ("2024-01-18T12:00:00Z", {})
    first = client.post("/advice").json()["slices"][0]
    assert client.post("/orders/one/advice").json()["slices"] == [{**first, "repeated": True}]
    filled = client.put(f"/orders/one/slices/{first['bar']}/fill", json={"amount": 50})
    assert (filled.status_code, filled.json()["filled"]) == (200, 50.0)
    for _ in range(6):
        clock.sleep(3600)
        last = client.post("/advice").json()
    ended = last["ended"][0]
    assert (ended["status"], ended["filled_share"], ended["bars_used"]) == ("finished", 1.0, 6)
    assert client.get("/orders/one").json() == ended
    assert len(client.get("/orders/one/slices").json()) == 6
    report = client.get("/orders/one/report").json()
    assert report["execution"]["gain_bps"] == pytest.approx(ended["gain_bps"])
    assert (report["size"], report["confirmed"], len(report["bars"])) == ("100", "50", 6)
    day = client.get("/reports", params={"date": "2024-01-18"}).json()
    assert [(line["order_id"], line["report"]) for line in day["orders"]] == [("one", report)]
    assert client.get("/reports", params={"date": "9999-12-31"}).json()["orders"] == []
    assert client.get("/reports").status_code == 422
    assert client.get("/orders/two/report").status_code == 404
    assert client.get("/orders", params={"status": "live"}).json() == []
    assert client.post("/orders/one/cancel").status_code == 409
    assert client.post("/orders", json=ORDER).status_code == 200, "still the same order"


def test_a_paused_order_gets_no_slices_until_it_is_resumed_and_its_bars_go_by(client, clock):
    client.post("/orders", json=ORDER)
    client.post("/advice")
    paused = [client.post("/orders/one/pause").json()["paused_at"] for _ in range(2)]
    clock.sleep(3600)
    assert "is paused since 2024-01-18 12:00 UTC" in client.post("/advice").json()["refused"]["one"]
    assert paused == ["2024-01-18T12:00:00Z"] * 2
    assert client.post("/orders/one/resume").json()["paused_at"] is None
    clock.sleep(3600)
    assert client.post("/advice").json()["slices"][0]["number"] == 3
    assert [s["reason"] for s in client.get("/orders/one/slices").json()] == ["pace", "missed", "pace"]
    client.post("/orders/one/cancel")
    assert client.post("/orders/one/pause").status_code == 409


def test_fills_are_told_over_http_once_each_corrected_late_and_until_the_order_is_closed(client, clock):
    client.post("/orders", json={**ORDER, "mode": "confirm"})
    assert client.post("/orders/one/fills", json={"id": "a", "amount": 1}).status_code == 409, "no slice yet"
    first = client.post("/advice").json()["slices"][0]
    assert (first["mode"], first["exact_remaining"], first["seconds_left"]) == ("confirm", "100.0", 3600.0)
    fill = {"id": "a", "amount": 0.1, "price": 100.25, "fee": -0.01, "time": "2024-01-18T12:00:30Z"}
    sent = [client.post("/orders/one/fills", json=fill) for _ in range(2)]
    assert [answer.status_code for answer in sent] == [201, 200]
    assert sent[0].json() == sent[1].json()
    assert client.post("/orders/one/fills", json={**fill, "amount": 0.2}).status_code == 409
    clock.sleep(7200)
    client.post("/advice")
    late = client.post("/orders/one/fills", json={**fill, "amount": 0.2, "corrects": True})
    assert (late.status_code, late.json()["revision"], late.json()["bar"]) == (201, 2, first["bar"])
    state = client.get("/orders/one").json()
    assert (state["filled"], state["left"], state["overfilled"], state["mode"]) == ("0.2", "99.8", "0", "confirm")
    assert [told["amount"] for told in client.get("/orders/one/fills").json()] == ["0.1", "0.2"]
    assert client.post("/orders/one/close").status_code == 409
    assert client.post("/orders/one/cancel").json()["status"] == "cancelled"
    assert client.post("/orders/one/fills", json={"id": "b", "amount": 100}).status_code == 201
    assert client.get("/orders/one").json()["overfilled"] == "0.2"
    assert client.post("/orders/one/close").json()["closed_at"]
    assert client.post("/orders/one/fills", json={"id": "c", "amount": 1}).status_code == 409


@pytest.mark.parametrize(
    ("body", "field", "words"),
    [
        (b'{"asset":"AAA-USD","side":"buy","size":true}', "size", "valid number"),
        (b'{"asset":"AAA-USD","side":"buy","size":"10"}', "size", "valid number"),
        (b'{"asset":"AAA-USD","side":"buy","size":1e9}', "size", "mean bar volumes; allowed: at most"),
        (b'{"asset":"AAA-USD","side":"buy","size":5e-324}', "size", "allowed: more than 0, that is 1e-09"),
        (b'{"asset":"AAA-USD","side":"buy","size":1e-400}', "size", "allowed: more than 0, that is 1e-09"),
        (
            b'{"asset":"AAA-USD","side":"buy","size":1,"limit_price":1e-999999999}',
            "limit_price",
            "18 decimal places",
        ),
        (b'{"asset":"AAA-USD","side":"buy","size":1,"min_bars":"2"}', "min_bars", "valid integer"),
        (b'{"asset":"AAA-USD","side":"buy","size":1,"max_rate":true}', "max_rate", "valid number"),
        (b'{"asset":"AAA-USD\\n","side":"buy","size":1}', "asset", "allowed: AAA-USD, BBB-USD"),
        (b'{"asset":"AAA-USD","side":"buy","size":1,"id":"a\\n"}', "id", "match pattern"),
        (b'{"asset":"AAA-USD","side":"buy","size":1,"mode":"guess"}', "mode", "'assume' or 'confirm'"),
        (b'{"asset":"AAA-USD","side":"buy","size":NaN}', "size", "finite number"),
        (b'{"asset":"AAA-USD","side":"buy","size":1e999}', "size", "finite number"),
        (b'{"asset":"AAA-USD","side":"buy","size":-1}', "size", "greater than 0"),
        (b'{"asset":"AAA-USD","side":"buy","size":1' + b"0" * 400 + b"}", "size", "less than or equal to"),
        (b'{"asset":"AAA-USD","side":"hold","size":1}', "side", "'buy' or 'sell'"),
        (b'{"asset":"AAA-USD","side":"buy","size":1,"sise":2}', "sise", "not permitted"),
        (b'{"asset":"AAA-USD","side":"buy","size":1,"id":"../../etc/passwd"}', "id", "match pattern"),
        (b'{"asset":"AAA-USD","side":"buy","size":1,"id":"\\u0000"}', "id", "match pattern"),
        (b'{"asset":"\\ud800","side":"buy","size":1}', "asset", "unicode"),
        (b'{"asset":"DOGE\\n","side":"buy","size":1}', "asset", "allowed: AAA-USD, BBB-USD"),
        (b'{"asset":"AAA-USD","side":"buy","size":1,"max_bars":7}', "max_bars", "at most 6"),
        (b'{"asset":"AAA-USD","side":"buy","size":1,"min_bars":1e300}', "min_bars", "integer"),
        (b'{"asset":"AAA-USD","side":"buy","size":1,"start":"0001-01-01T00:00:00+23:00"}', "start", "allowed"),
        (b'{"asset":"AAA-USD","side":"buy","size":1,"start":"9999-12-31T23:59:59-23:00"}', "start", "allowed"),
        (b"{", "body", "JSON"),
        (b"[" * 10_000, "", "parsing the body"),
        (b'{"size":' + b"9" * 9_000 + b"}", "", "parsing the body|size"),
        (b"\xff\xfe", "", "parsing the body|JSON"),
        (b"", "body", "required"),
    ],
)
def test_a_malformed_order_is_refused_with_field_and_what_is_allowed(idle, body, field, words):
    answer = idle.post("/orders", content=body, headers={"content-type": "application/json"})
    assert 400 <= answer.status_code < 500, answer.text
    reason = answer.json()["reason"]
    assert field in reason
    assert re.search(words, reason), reason


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/orders/none", 404),
        ("GET", "/orders/..%2f..%2fetc", 404),
        ("GET", "/orders/%00", 422),
        ("GET", "/nowhere", 404),
        ("PUT", "/orders", 405),
        ("GET", "/orders?limit=99999999999999999999", 422),
        ("GET", "/orders?status=bad", 422),
        ("PUT", "/orders/one/slices/yesterday/fill", 422),
        ("GET", f"/orders/{'x' * 5000}", 414),
    ],
)
def test_what_is_not_there_and_what_is_not_allowed_are_4xx_with_a_reason(idle, method, path, status):
    answer = idle.request(method, path, json={"amount": 1} if method == "PUT" else None)
    assert answer.status_code == status
    assert answer.json()["reason"]


def test_a_body_that_is_too_long_is_refused_whatever_its_header_says(idle):
    long = b" " * (MAX_BODY + 1)
    assert idle.post("/orders", content=long).status_code == 413
    assert idle.post("/orders", content=(part for part in [long[:9_000], long])).status_code == 413
    assert idle.post("/orders", content=b"{}", headers={"content-length": "-1"}).status_code == 413


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"host": "localhost"}, 200),
        ({"host": "[::1]:8321"}, 200),
        ({"host": "127.0.0.2:8321", "origin": "http://127.0.0.2:8321"}, 200),
        ({"host": "127.0.0.2:8321", "origin": "http://127.0.0.1:8321"}, 403),
        ({"host": "::1"}, 421),
        ({"host": "0.0.0.0:8321"}, 421),
        ({"host": "192.168.1.7"}, 421),
        ({"host": "127.0.0.1.:8321"}, 421),
        ({"host": "evil.example"}, 421),
        ({"host": "127.0.0.1.evil.example:8321"}, 421),
        ({"host": "localhost@evil.example"}, 421),
        ({"origin": "http://127.0.0.1:8321"}, 200),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://127.0.0.1:3000"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
    ],
)
def test_on_loopback_no_page_of_another_origin_and_no_other_name_is_answered(idle, headers, status):
    for method, path in (("GET", "/market"), ("GET", "/openapi.json"), ("POST", "/advice")):
        answer = idle.request(method, path, headers=headers)
        assert answer.status_code == status
        assert not [name for name in answer.headers if name.startswith("access-control")]


def test_with_a_token_nothing_answers_without_it(advisor):
    app = make_app(advisor, TOKEN)
    client = TestClient(app, base_url="http://trading.example")
    wrong = [None, "", "Bearer", f"Bearer {TOKEN[:-1]}", f"Bearer {TOKEN}x", f"Basic {TOKEN}", TOKEN, "Bearer é"]
    paths = [(route.path, method) for route in app.routes for method in route.methods] + [("/no/such", "GET")]
    assert len(paths) > 10
    for path, method in paths:
        for shown in wrong:
            headers = {} if shown is None else {"authorization": shown.encode("utf-8")}
            answer = client.request(method, path, headers=headers)
            assert answer.status_code == 401, (path, shown)
            assert answer.headers["www-authenticate"] == "Bearer"
            assert TOKEN not in answer.text
    twice = [("authorization", f"Bearer {TOKEN}"), ("authorization", "Bearer x")]
    assert client.get("/market", headers=twice).status_code == 401
    assert client.get("/market", headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "trading.example", "", "127.0.0.1.nip.io"])
def test_another_address_than_loopback_needs_a_token_that_cannot_be_guessed(host):
    assert not is_loopback(host)
    with pytest.raises(ServiceError, match=r"LEM_TOKEN is not set; allowed: 127.0.0.1, or a token of 24"):
        check_bind(host, "")
    with pytest.raises(ServiceError, match="LEM_TOKEN has 6 characters") as refused:
        check_bind(host, "secret")
    assert "secret'" not in str(refused.value)
    check_bind(host, TOKEN)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_loopback_needs_no_token(host):
    check_bind(host, "")


def test_stale_data_is_503_with_what_is_missing_and_what_is_behind_the_service_stays_there(
    client, advisor, monkeypatch
):
    client.post("/orders", json=ORDER)

    def fails(*arguments):
        raise LakeError("lake s3://secret-bucket: down")

    monkeypatch.setattr(advisor.market, "refresh", fails)
    answer = client.post("/advice")
    assert (answer.status_code, "secret-bucket" in answer.text) == (503, False)
    monkeypatch.setattr(advisor.market, "refresh", lambda wanted, at: {"AAA-USD": "AAA-USD: missing bars: 1"})
    answer = client.post("/orders/one/advice")
    assert (answer.status_code, answer.json()["reason"]) == (503, "AAA-USD: missing bars: 1")
    assert client.post("/advice").json()["refused"] == {"one": "AAA-USD: missing bars: 1"}


def test_the_description_has_an_example_that_is_accepted_and_every_answer_documented(client):
    description = client.get("/openapi.json").json()
    example = description["components"]["schemas"]["NewOrder"]["examples"][0]
    assert client.post("/orders", json={**example, "asset": "AAA-USD", "max_bars": 6}).status_code == 201
    operations = [op for path in description["paths"].values() for op in path.values()]
    assert len(operations) == 19
    for operation in operations:
        assert operation["description"]
        assert {"401", "413", "421", "422"} <= set(operation["responses"])
    assert client.get("/docs").status_code == 404, "a page with scripts from elsewhere"


@pytest.mark.parametrize("examples", [5, pytest.param(60, marks=pytest.mark.slow)])
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_generated_requests_good_and_malformed_are_never_5xx(advisor, mode, examples):
    app = make_app(advisor, stream_seconds=0)
    schema = schemathesis.openapi.from_asgi("/openapi.json", app, headers={"host": "localhost"})
    tried = []

    def fuzz(case):
        answer = case.call(headers={"host": "localhost"})
        tried.append(answer.status_code)
        checks = [not_a_server_error, status_code_conformance, response_schema_conformance]
        case.validate_response(answer, checks=checks)
        if answer.status_code >= 400:
            assert answer.json()["reason"]

    for operation in (result.ok() for result in schema.get_all_operations()):
        try:
            cases = given(case=operation.as_strategy(generation_mode=mode))
            settings(FUZZING, max_examples=examples)(cases(fuzz))()
        except Unsatisfiable:
            assert mode is GenerationMode.NEGATIVE, "nothing can be wrong with a request without any parameter"
    assert len(tried) > 40
    assert len(set(tried)) > 1


def start(folder: Path, *arguments: str, **env: str) -> subprocess.Popen[str]:
    homes = {"LEM_HOME": str(folder / "home"), "LEM_UNIVERSES": str(folder / "universes"), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "lem_pipeline.cli", "serve", "-u", "tiny", "--port", "0", *arguments]
    pipe = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(command, env=os.environ | homes | env, cwd=folder, **pipe)


@pytest.mark.thorough
def test_the_command_serves_goes_on_after_a_kill_and_never_shows_the_token(
    tmp_path, advisor, tiny_keys, write_universe
):
    write_universe(tmp_path / "universes", tiny_keys(**HOURLY))
    at = ("--at", "2024-01-18T12:00Z")
    with start(tmp_path, "--host", "0.0.0.0", *at) as refused:
        assert "LEM_TOKEN is not set" in refused.communicate()[0]
    assert refused.returncode == 1
    slices, output = [], ""
    for _ in range(2):
        server = start(tmp_path, *at, LEM_TOKEN=TOKEN)
        try:
            output += (line := server.stdout.readline())
            url = re.search(r"http://127\.0\.0\.1:\d+", line)[0]
            with httpx.Client(base_url=url, headers={"authorization": f"Bearer {TOKEN}"}, timeout=300) as client:
                assert httpx.get(f"{url}/orders", timeout=300).status_code == 401
                assert client.post("/orders", json=ORDER).status_code in (200, 201)
                slices.append(client.post("/advice").json()["slices"][0])
            with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))) as raw:
                raw.sendall(b"\x00\xffGET / HTTP/9\r\n\r\n")
                assert b" 400 " in raw.recv(1000)
        finally:
            server.kill()
            output += server.communicate()[0]
    assert slices[1] == {**slices[0], "repeated": True, "seconds_left": slices[1]["seconds_left"]}
    assert TOKEN not in output
    assert "Traceback" not in output
