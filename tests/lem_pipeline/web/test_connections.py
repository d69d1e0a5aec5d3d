"""Connections that are silent, slow or too many, against a server of ours."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from lem_pipeline.service import guards
from lem_pipeline.service.guards import Guard
from lem_pipeline.web import connections
from lem_pipeline.web.connections import Connection
from lem_pipeline.web.listening import listen

TOKEN = "n4XDS2m0aVYh_p8Kq1GmBzWc"
SHOWN = {"authorization": f"Bearer {TOKEN}"}
HEAD = f"Host: x\r\nAuthorization: Bearer {TOKEN}\r\n"
LONG = 8_000_000


class Served:
    """A server in a thread of its own: `url`, `port`, and `release`, which lets held requests end."""

    def __init__(self) -> None:
        self.release, self.listener = threading.Event(), listen("127.0.0.1", 0)
        self.port = self.listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        routes = [
            Route("/", lambda request: PlainTextResponse("here"), methods=["GET", "POST"]),
            Route("/held", self._held),
            Route("/long", lambda request: PlainTextResponse("x" * LONG)),
        ]
        config = uvicorn.Config(
            Guard(Starlette(routes=routes), TOKEN),
            http=Connection,
            h11_max_incomplete_event_size=guards.MAX_HEADER,
            log_level="critical",
        )
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self.listener]}, daemon=True)
        self.thread.start()

    def _held(self, request):
        self.release.wait(60)
        return PlainTextResponse("held")

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)

    def ask(self, path="/"):
        return httpx.get(self.url + path, headers=SHOWN, timeout=60)

    def open_connections(self) -> int:
        return len(self.server.server_state.connections)


@pytest.fixture
def served():
    server = Served()
    yield server
    server.release.set()
    server.server.should_exit = True
    server.server.force_exit = True
    server.thread.join(20)


def is_closed(one: socket.socket, seconds: float) -> bool:
    """Whether the other side closes the connection within some seconds."""
    one.settimeout(seconds)
    try:
        while one.recv(65536):
            pass
    except TimeoutError:
        return False
    except ConnectionError:
        pass
    return True


@pytest.mark.parametrize("count", [128, 400])
def test_silent_connections_take_nobodys_place(served, count):
    with contextlib.ExitStack() as stack:
        silent = [stack.enter_context(served.connect()) for _ in range(count)]
        assert [served.ask().status_code for _ in range(5)] == [200] * 5
        assert served.open_connections() <= connections.IDLE_PER_PEER + 1
        assert is_closed(silent[0], 5), "the oldest has made room"
        assert not is_closed(silent[-1], 0.2)


def test_where_all_places_are_idle_the_peer_that_has_most_makes_room(served, monkeypatch):
    monkeypatch.setattr(connections, "MOST_IDLE", 20)
    with contextlib.ExitStack() as stack:

        def connect(address):
            return stack.enter_context(
                socket.create_connection(("127.0.0.1", served.port), timeout=20, source_address=(address, 0))
            )

        few = [connect("127.0.0.9") for _ in range(3)]
        many = [connect("127.0.0.8") for _ in range(40)]
        assert is_closed(many[0], 5)
        assert not any(is_closed(one, 0.1) for one in few)
        assert served.open_connections() <= 21


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nHost: x\r\nX-A: "])
def test_a_header_that_does_not_end_is_waited_for_some_seconds(served, monkeypatch, sent):
    monkeypatch.setattr(connections, "HEADER_SECONDS", 0.5)
    with served.connect() as slow:
        slow.sendall(sent)
        begun = time.monotonic()
        closed = False
        while not closed and time.monotonic() < begun + 10:
            with contextlib.suppress(OSError):
                slow.sendall(b"a" if sent else b"")
            closed = is_closed(slow, 0.1)
    assert 0.3 < time.monotonic() - begun < 5


def test_a_kept_connection_gets_the_same_time_for_its_next_header(served, monkeypatch):
    monkeypatch.setattr(connections, "HEADER_SECONDS", 0.5)
    with served.connect() as kept:
        kept.sendall(f"GET / HTTP/1.1\r\n{HEAD}\r\n".encode())
        assert b"200 OK" in kept.recv(1000)
        time.sleep(1)
        kept.sendall(f"GET / HTTP/1.1\r\n{HEAD}\r\n".encode())
        assert b"200 OK" in kept.recv(1000), "nothing of a header had come"
        kept.sendall(b"GET / HT")
        assert is_closed(kept, 5)


def test_a_stranger_who_sends_a_body_slowly_is_not_waited_for(served, monkeypatch):
    monkeypatch.setattr(connections, "HEADER_SECONDS", 0.5)
    with served.connect() as stranger:
        stranger.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")
        assert b" 401 " in stranger.recv(1000)
        closed = False
        end = time.monotonic() + 10
        while not closed and time.monotonic() < end:
            with contextlib.suppress(OSError):
                stranger.sendall(b"a")
            closed = is_closed(stranger, 0.1)
        assert closed


def test_a_body_that_does_not_come_is_408(served, monkeypatch):
    monkeypatch.setattr(guards, "BODY_SECONDS", 0.3)
    with served.connect() as slow:
        slow.sendall(f"POST / HTTP/1.1\r\n{HEAD}Content-Length: 5\r\n\r\nab".encode())
        answer = slow.recv(10_000)
    assert b" 408 " in answer
    assert b"the body did not come within" in answer


@pytest.mark.parametrize("size", [20_000, 40_000, 3_000_000])
def test_a_header_that_is_too_long_is_431(served, size):
    with served.connect() as long:
        with contextlib.suppress(ConnectionError):
            long.sendall(f"GET / HTTP/1.1\r\n{HEAD}X-Long: {'x' * size}\r\n\r\n".encode())
        answer = b""
        with contextlib.suppress(ConnectionError):
            answer = long.recv(10_000)
    if size < 1_000_000:  # of more, the kernel may drop the answer with what was not read
        assert b" 431 " in answer
        assert "allowed: 16384" in json.loads(answer.partition(b"\r\n\r\n")[2])["reason"]
    assert b" 200 " not in answer
    assert served.ask().status_code == 200


@pytest.mark.parametrize("sent", [b"\x00\xffGET / HTTP/9\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"])
def test_what_is_no_request_is_400_in_json(served, sent):
    with served.connect() as one:
        one.sendall(sent)
        head, _, body = one.recv(10_000).partition(b"\r\n\r\n")
        assert b" 400 " in head
        assert json.loads(body)["reason"].startswith("the request cannot be read: ")
        assert is_closed(one, 5)


def test_at_capacity_the_answer_is_json_and_says_when_to_ask_again(served, monkeypatch):
    monkeypatch.setattr(guards, "MOST_REQUESTS", 3)
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(served.connect()) for _ in range(3)]
        for one in held:
            one.sendall(f"GET /held HTTP/1.1\r\n{HEAD}\r\n".encode())
        end = time.monotonic() + 20
        while (answer := served.ask()).status_code != 503 and time.monotonic() < end:
            time.sleep(0.05)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert "3 requests are being answered" in answer.json()["reason"]
        assert httpx.get(served.url, timeout=60).status_code == 401, "a stranger learns nothing of it"
        served.release.set()
        assert all(b"200 OK" in one.recv(1000) for one in held)
    assert served.ask().status_code == 200


def test_who_does_not_read_the_answer_keeps_no_place(served, monkeypatch):
    monkeypatch.setattr(connections, "READ_SECONDS", 0.5)
    with served.connect() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.sendall(f"GET /long HTTP/1.1\r\n{HEAD}\r\n".encode())
        end = time.monotonic() + 10
        time.sleep(0.3)
        while served.open_connections() and time.monotonic() < end:
            time.sleep(0.05)
        assert not served.open_connections()
    assert len(served.ask("/long").text) == LONG
