"""What the service does by itself: it decides bars, streams events that can be taken up again, and calls a webhook."""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import json
import logging
import os
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
import uvicorn
from starlette.testclient import TestClient

from lem_pipeline.service import events as events_module
from lem_pipeline.service.app import make_app
from lem_pipeline.service.decider import Decider
from lem_pipeline.service.hiding import Hiding
from lem_pipeline.service.push import Push
from lem_pipeline.service.tail import Tail
from lem_pipeline.service.webhook import SIGNATURE, Webhook, signature
from lem_pipeline.web.connections import Connection
from lem_pipeline.web.listening import ServiceError, listen
from resources.settings import Settings
from tests.conftest import ROOT
from tests.lem.advice.desk import HOURLY, NOON, StoppedClock, buy, make_desk

HOUR = dt.timedelta(hours=1)
SECRET = "n4XDS2m0aVYh_p8Kq1GmBzWc"


@pytest.fixture
def clock():
    return StoppedClock(NOON)


@pytest.fixture
def desk(tmp_path, make_universe, tiny_keys):
    return make_desk(tmp_path, make_universe(**tiny_keys(**HOURLY)))


@pytest.fixture
def advisor(desk, clock):
    return desk.advisor(clock)


@pytest.fixture
def tail(advisor):
    return Tail(advisor.store.audit)


def until(true, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.02)


def told(advisor) -> list[tuple[str, str]]:
    return [(entry.order_id, entry.event) for entry in advisor.store.audit.entries("tiny")]


@contextmanager
def deciding(advisor, tail, decides="always"):
    decider = Decider(advisor, tail, decides)
    decider.start()
    try:
        yield decider
    finally:
        decider.stop()


def test_each_bar_is_decided_once_it_has_closed_and_so_are_orders_that_come_within_it(advisor, tail, clock):
    advisor.submit(buy(advisor.universe, "one"))
    with deciding(advisor, tail):
        until(lambda: ("one", "advised") in told(advisor))
        advisor.submit(buy(advisor.universe, "two"))
        until(lambda: ("two", "advised") in told(advisor))
        clock.set(NOON + HOUR)
        until(lambda: [key for key, event in told(advisor) if event == "advised"].count("two") == 2)
    actors = {entry.actor for entry in advisor.store.audit.entries("tiny") if entry.event == "advised"}
    assert actors == {"service"}
    assert [advice.bar for advice in advisor.history("one")] == [NOON, NOON + HOUR]


def test_by_default_nothing_is_decided_while_nobody_is_told(advisor, tail):
    advisor.submit(buy(advisor.universe, "one"))
    with deciding(advisor, tail, "told"):
        time.sleep(0.8)
        assert told(advisor) == [("one", "created")]
        with tail.watching():
            until(lambda: ("one", "advised") in told(advisor))


def test_why_there_is_no_advice_is_told_and_asked_again_until_there_is(advisor, tail, clock, monkeypatch):
    advisor.submit(buy(advisor.universe, "one"))
    refresh, missing = advisor.market.refresh, {"AAA-USD": "AAA-USD: missing bars"}
    monkeypatch.setattr(advisor.market, "refresh", lambda wanted, at: missing)
    with deciding(advisor, tail):
        until(lambda: tail.refused.reasons == {"one": "AAA-USD: missing bars"})
        monkeypatch.setattr(advisor.market, "refresh", refresh)
        clock.sleep(15)
        until(lambda: ("one", "advised") in told(advisor))
        until(lambda: tail.refused.reasons == {})
    assert tail.refused.number == 2


def test_a_fault_of_the_code_ends_no_deciding(advisor, tail, clock, monkeypatch, caplog):
    advisor.submit(buy(advisor.universe, "one"))
    advise = advisor.advise

    def fails():
        raise ZeroDivisionError("oops")

    monkeypatch.setattr(advisor, "advise", fails)
    with deciding(advisor, tail):
        until(lambda: "oops" in caplog.text)
        monkeypatch.setattr(advisor, "advise", advise)
        clock.sleep(15)
        until(lambda: ("one", "advised") in told(advisor))


# Server-sent events.


@contextmanager
def served(advisor, tail, **settings):
    """The service on loopback; yields its URL."""
    listener = listen("127.0.0.1", 0)
    app = make_app(advisor, tail=tail, **settings)
    server = uvicorn.Server(uvicorn.Config(app, http=Connection, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        tail.closing = True
        server.should_exit = True
        thread.join()
        listener.close()


def read(lines, count: int) -> list[dict[str, str]]:
    """So many events of a stream."""
    found: list[dict[str, str]] = []
    event: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(": ")
        if not line and "data" in event:
            found.append(event)
            if len(found) == count:
                return found
        event = {**event, name: value} if line else {}
    return found


def test_a_listener_is_told_what_happens_and_takes_up_where_it_left_off(advisor, tail):
    with served(advisor, tail) as url:
        with httpx.stream("GET", f"{url}/events", timeout=60) as stream:
            lines = stream.iter_lines()
            assert (stream.headers["content-type"].partition(";")[0], next(lines)) == (
                "text/event-stream",
                "retry: 1000",
            )
            advisor.submit(buy(advisor.universe, "one"))
            first = read(lines, 1)[0]
        assert (first["event"], json.loads(first["data"])["order_id"]) == ("created", "one")
        advisor.submit(buy(advisor.universe, "two"))
        advisor.advise()
        with httpx.stream("GET", f"{url}/events", timeout=60, headers={"Last-Event-ID": first["id"]}) as stream:
            rest = read(stream.iter_lines(), 5)
        assert [event["event"] for event in rest] == ["created", "begun", "begun", "advised", "advised"]
        assert [int(event["id"]) for event in rest] == list(range(int(first["id"]) + 1, int(first["id"]) + 6))
        slice_ = json.loads(rest[3]["data"])["facts"]
        assert (slice_["asset"], slice_["side"], slice_["bar"]) == ("AAA-USD", "buy", "2024-01-18T12:00:00Z")
        with httpx.stream("GET", f"{url}/events", params={"cursor": 0, "order": "two"}, timeout=60) as stream:
            assert [event["event"] for event in read(stream.iter_lines(), 3)] == ["created", "begun", "advised"]


def test_a_listener_is_told_why_orders_have_no_advice_and_no_path(advisor, tail, desk):
    tail.refuse("2024-01-18T12:00:00Z", {"one": f"{Settings().lake}/x: missing", "two": "paused"})
    with served(advisor, tail) as url, httpx.stream("GET", f"{url}/events", timeout=60) as stream:
        event = read(stream.iter_lines(), 1)[0]
    assert (event["event"], "id" in event) == ("refused", False)
    assert json.loads(event["data"])["refused"] == {"one": "LEM_LAKE/x: missing", "two": "paused"}


def test_a_quiet_stream_is_kept_open_and_ends_in_its_time(advisor, tail, monkeypatch):
    monkeypatch.setattr(events_module, "ALIVE_SECONDS", 0.1)
    with served(advisor, tail, stream_seconds=1.0) as url:
        text = httpx.get(f"{url}/events", timeout=60).text
    assert ": alive" in text
    assert tail.watchers == 0


def test_a_listener_more_than_there_are_places_is_refused_and_places_come_back(advisor, tail, monkeypatch):
    monkeypatch.setattr(events_module, "MOST_LISTENERS", 2)
    with served(advisor, tail) as url:
        for _ in range(2):
            with (
                httpx.stream("GET", f"{url}/events", timeout=60) as one,
                httpx.stream("GET", f"{url}/events", timeout=60) as two,
            ):
                assert (one.status_code, two.status_code) == (200, 200)
                refused = httpx.get(f"{url}/events", timeout=60)
                assert (refused.status_code, "2 listeners are there" in refused.json()["reason"]) == (503, True)
            until(lambda: tail.watchers == 0)


def test_the_end_of_the_service_ends_its_streams(advisor, tail):
    with served(advisor, tail) as url, httpx.stream("GET", f"{url}/events", timeout=60) as stream:
        lines = stream.iter_lines()
        next(lines)
        tail.closing = True
        assert list(lines)[-1:] in ([], [""])


@pytest.mark.parametrize(
    ("headers", "params"), [({"Last-Event-ID": "x"}, {}), ({}, {"cursor": -1}), ({}, {"order": "/"})]
)
def test_a_place_that_is_none_is_refused(advisor, headers, params):
    client = TestClient(make_app(advisor), base_url="http://127.0.0.1:8321")
    assert client.get("/events", headers=headers, params=params).status_code == 422


@pytest.mark.thorough
def test_the_command_decides_streams_and_ends_with_its_signal_while_somebody_listens(
    tmp_path, desk, tiny_keys, write_universe
):
    write_universe(tmp_path / "universes", tiny_keys(**HOURLY))
    homes = {"LEM_HOME": str(tmp_path / "home"), "LEM_UNIVERSES": str(tmp_path / "universes"), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "lem_pipeline.cli", "serve", "-u", "tiny", "--port", "0"]
    command += ["--at", "2024-01-18T12:00Z"]
    pipe = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    server = subprocess.Popen(command, env=os.environ | homes, cwd=tmp_path, **pipe)
    try:
        url = re.search(r"http://127\.0\.0\.1:\d+", server.stdout.readline())[0]
        with httpx.stream("GET", f"{url}/events", timeout=60) as stream:
            lines = stream.iter_lines()
            next(lines)
            order = {"id": "one", "asset": "AAA-USD", "side": "buy", "size": 100.0}
            assert httpx.post(f"{url}/orders", json=order, timeout=60).status_code == 201
            assert [event["event"] for event in read(lines, 3)] == ["created", "begun", "advised"]
            server.send_signal(signal.SIGINT)
            assert server.wait(20) in (0, 130, -signal.SIGINT)
    finally:
        server.kill()
        output = server.communicate()[0]
    assert "Traceback" not in output


# The webhook.


class Desk:
    """A receiver on loopback that keeps what it took."""

    def __init__(self) -> None:
        self.status, self.taken, self.refused = 200, list[dict], 0
        self.taken, self.headers = [], []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if outer.status == 200:
                    outer.taken.append(json.loads(body))
                    outer.headers.append((dict(self.headers), body))
                else:
                    outer.refused += 1
                self.send_response(outer.status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://desk:pa%2Fss@127.0.0.1:{self.server.server_port}/hook?key=hidden-key"

    @property
    def events(self) -> list[tuple[str, str]]:
        return [(entry["order_id"], entry["event"]) for told in self.taken for entry in told.get("entries", [])]


@pytest.fixture
def receiver():
    desk = Desk()
    yield desk
    desk.server.shutdown()
    desk.server.server_close()


@contextmanager
def hooked(receiver, tail):
    webhook = Webhook(receiver.url, SECRET, "tiny", tail, Hiding(Settings()), first_wait=0.05)
    webhook.start()
    try:
        yield webhook
    finally:
        webhook.stop()


def test_a_webhook_is_told_in_order_what_happens_and_who_has_the_secret_can_tell(advisor, tail, receiver):
    with hooked(receiver, tail):
        advisor.submit(buy(advisor.universe, "one"))
        advisor.advise()
        until(lambda: len(receiver.events) == 3)
    assert receiver.events == [("one", "created"), ("one", "begun"), ("one", "advised")]
    headers, body = receiver.headers[0]
    sent, mark = (part.partition("=")[2] for part in headers[SIGNATURE].split(","))
    assert abs(int(sent) - time.time()) < 600
    assert mark == hmac.new(SECRET.encode(), f"{sent}.".encode() + body, hashlib.sha256).hexdigest()
    assert headers["authorization"] == "Basic ZGVzazpwYS9zcw=="
    assert signature(SECRET, 1, b"x") != signature(SECRET, 2, b"x")


def test_a_webhook_that_is_down_is_called_again_and_nothing_is_left_out_over_a_restart(
    advisor, tail, receiver, caplog, capfd
):
    caplog.set_level(logging.DEBUG)
    with hooked(receiver, tail):
        advisor.submit(buy(advisor.universe, "one"))
        until(lambda: len(receiver.events) == 1)
        receiver.status = 500
        advisor.submit(buy(advisor.universe, "two"))
        until(lambda: receiver.refused >= 3)
        begun = time.monotonic()
        advisor.advise()
        assert time.monotonic() - begun < 30, "deciding waits for no receiver"
    advisor.submit(buy(advisor.universe, "three"))
    receiver.status = 200
    with hooked(receiver, Tail(advisor.store.audit)):
        until(lambda: ("three", "created") in receiver.events)
        until(lambda: len(receiver.events) == 7)
    assert receiver.events == told(advisor)
    output = caplog.text + "".join(capfd.readouterr())
    assert "the webhook was not taken (it answered 500)" in output
    for secret in (SECRET, "hidden-key", "pa/ss", "pa%2Fss"):
        assert secret not in output


def test_a_webhook_is_told_why_orders_have_no_advice(advisor, tail, receiver):
    with hooked(receiver, tail):
        tail.refuse("2024-01-18T12:00:00Z", {"one": f"{Settings().lake}/x: missing"})
        until(lambda: receiver.taken)
    assert receiver.taken == [
        {"universe": "tiny", "bar": "2024-01-18T12:00:00Z", "refused": {"one": "LEM_LAKE/x: missing"}}
    ]


@pytest.mark.parametrize(
    ("url", "secret", "words"),
    [
        ("ftp://hidden-host/x", SECRET, "LEM_WEBHOOK_URL is no URL of http or https; allowed: https://host/path"),
        ("https://", SECRET, "LEM_WEBHOOK_URL is no URL"),
        ("http://hidden-host:99999/", SECRET, "LEM_WEBHOOK_URL is no URL"),
        ("https://hidden-host/x", "short", "LEM_WEBHOOK_SECRET has 5 characters; allowed: 24 or more"),
        ("https://hidden-host/x", "", "LEM_WEBHOOK_SECRET has 0 characters"),
    ],
)
def test_a_webhook_that_is_none_is_refused_and_not_shown(advisor, monkeypatch, url, secret, words):
    monkeypatch.setenv("LEM_WEBHOOK_URL", url)
    monkeypatch.setenv("LEM_WEBHOOK_SECRET", secret)
    with pytest.raises(ServiceError, match=words) as refused:
        Push.of(advisor, "told", Settings())
    assert "hidden-host" not in str(refused.value)
    assert "short" not in str(refused.value)


def test_without_settings_there_is_no_webhook_and_with_never_nobody_decides(advisor, monkeypatch):
    monkeypatch.delenv("LEM_WEBHOOK_URL", raising=False)
    push = Push.of(advisor, "never", Settings())
    assert (push.webhook, push.decider) == (None, None)
