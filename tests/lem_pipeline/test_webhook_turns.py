"""Several services on one registry push each event to the webhook once; one that dies has its turn taken."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from sqlalchemy import select

from lem.registry.audit_tables import AuditReaderRow
from lem.registry.connection import Database
from lem_pipeline.service import webhook as module
from lem_pipeline.service.hiding import Hiding
from lem_pipeline.service.tail import Tail
from lem_pipeline.service.webhook import Webhook
from resources.settings import Settings
from tests.conftest import ROOT
from tests.lem.advice.desk import HOURLY, NOON, StoppedClock, buy, make_desk

SECRET = "q7Zr0bXn_2mV5tLw8Kd1HyCe"


class Desk:
    """A receiver on loopback that keeps the entries that it took, in order.

    Args:
        answers: takes one in so many posts and refuses the others.
    """

    def __init__(self, answers: int = 1) -> None:
        self.entries: list[dict] = []
        self.posts, self.status, outer = 0, 200, self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                outer.posts += 1
                status = outer.status if outer.posts % answers == 0 else 503
                if status == 200:
                    outer.entries += body.get("entries", [])
                self.send_response(status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/hook"

    @property
    def ids(self) -> list[int]:
        return [entry["id"] for entry in self.entries]


@pytest.fixture
def receiver() -> Iterator[Desk]:
    with receiving() as desk:
        yield desk


@contextmanager
def receiving(answers: int = 1) -> Iterator[Desk]:
    desk = Desk(answers)
    try:
        yield desk
    finally:
        desk.server.shutdown()
        desk.server.server_close()


@pytest.fixture
def desk(tmp_path, make_universe, tiny_keys):
    return make_desk(tmp_path, make_universe(**tiny_keys(**HOURLY)))


def until(true, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.02)


def all_ids(advisor) -> list[int]:
    return [entry.id for entry in advisor.store.audit.entries("tiny")]


@contextmanager
def hooked(receiver, advisor) -> Iterator[Webhook]:
    webhook = Webhook(receiver.url, SECRET, "tiny", Tail(advisor.store.audit), Hiding(Settings()), first_wait=0.05)
    webhook.start()
    try:
        yield webhook
    finally:
        webhook.stop()


def test_of_several_one_sends_and_the_next_goes_on_when_it_ends(desk, receiver):
    advisor = desk.advisor(StoppedClock(NOON))
    with ExitStack() as others:
        with hooked(receiver, advisor):
            for _ in range(3):
                others.enter_context(hooked(receiver, desk.advisor(StoppedClock(NOON))))
            for place in range(20):
                advisor.submit(buy(desk.universe, f"o{place}"))
            until(lambda: len(receiver.entries) >= 20)
        advisor.advise()
        until(lambda: len(receiver.entries) >= 60)
    time.sleep(0.5)
    assert receiver.ids == all_ids(advisor)


def test_each_is_sent_once_in_order_also_where_the_receiver_refuses_most_posts(desk):
    advisor = desk.advisor(StoppedClock(NOON))
    with receiving(answers=3) as receiver, ExitStack() as all_of_them:
        for _ in range(3):
            all_of_them.enter_context(hooked(receiver, desk.advisor(StoppedClock(NOON))))
        for place in range(10):
            advisor.submit(buy(desk.universe, f"o{place}"))
        advisor.advise()
        until(lambda: len(receiver.entries) >= 30)
        time.sleep(0.5)
        assert receiver.ids == all_ids(advisor)


@pytest.mark.thorough
def test_the_turn_of_one_elsewhere_that_is_silent_is_taken_in_time_and_not_before(desk, receiver, monkeypatch):
    monkeypatch.setattr(module, "TURN_SECONDS", 3.0)
    advisor, far = desk.advisor(StoppedClock(NOON)), "far-host a-boot 1 1/x"
    with hooked(receiver, advisor) as webhook:
        reader = webhook._reader
    reader.take(far, reader.turn())
    began = time.monotonic()
    with hooked(receiver, advisor):
        advisor.submit(buy(desk.universe, "one"))
        for _ in range(4):
            time.sleep(1.0)
            assert reader.beat(far)
        assert receiver.entries == []
        until(lambda: receiver.entries)
    assert time.monotonic() - began > 6.5
    assert receiver.ids == all_ids(advisor)
    assert not reader.beat(far), "whoever was silent is told that it lost its turn"


def test_the_turn_of_a_process_of_this_machine_that_has_ended_is_taken_at_once(desk, receiver):
    advisor = desk.advisor(StoppedClock(NOON))
    with hooked(receiver, advisor) as webhook:
        reader = webhook._reader
    host, boot, *_ = webhook._me.split(" ")
    reader.take(f"{host} {boot} 4194305 1/x", reader.turn())
    with hooked(receiver, advisor):
        advisor.submit(buy(desk.universe, "one"))
        until(lambda: receiver.entries, seconds=module.TURN_SECONDS / 2)


def test_one_that_lost_its_turn_while_it_stood_still_sends_nothing_more(desk, receiver, monkeypatch):
    monkeypatch.setattr(module, "TURN_SECONDS", 1.0)
    advisor = desk.advisor(StoppedClock(NOON))
    with hooked(receiver, advisor) as webhook:
        until(lambda: webhook._sends)
        reader = webhook._reader
        # As another one does that saw no beat for too long.
        until(lambda: reader.take("far-host a-boot 1 1/x", reader.turn()))
        until(lambda: not webhook._sends)
        advisor.submit(buy(desk.universe, "one"))
        for _ in range(10):
            time.sleep(0.2)
            assert reader.beat("far-host a-boot 1 1/x")
        assert receiver.entries == []


# The command.


@contextmanager
def serving(tmp_path: Path, url: str, hook: str) -> Iterator[subprocess.Popen]:
    """A real `lem serve` on a registry; yields its process."""
    settings = {
        "LEM_HOME": str(tmp_path / "home"),
        "LEM_REGISTRY": url,
        "LEM_UNIVERSES": str(tmp_path / "universes"),
        "LEM_WEBHOOK_URL": hook,
        "LEM_WEBHOOK_SECRET": SECRET,
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, "-m", "lem_pipeline.cli", "serve", "-u", "tiny", "--port", "0"]
    command += ["--at", "2024-01-18T12:00Z"]
    pipe = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    process = subprocess.Popen(command, env=os.environ | settings, cwd=tmp_path, **pipe)
    try:
        yield process
    finally:
        process.kill()
        output = process.communicate()[0]
        assert "Traceback" not in output, output


def address(process: subprocess.Popen) -> str:
    line = process.stdout.readline()
    found = re.search(r"http://127\.0\.0\.1:\d+", line)
    assert found, line
    return found[0]


def order(key: str) -> dict:
    return {"id": key, "asset": "AAA-USD", "side": "buy", "size": 100.0}


@pytest.mark.thorough
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_two_commands_push_each_event_once_and_the_one_that_is_left_goes_on_after_a_kill(
    tmp_path, make_universe, tiny_keys, write_universe, receiver, database, request
):
    write_universe(tmp_path / "universes", tiny_keys(**HOURLY))
    with ExitStack() as stack:
        url = ""
        if database == "postgresql":
            url = stack.enter_context(request.getfixturevalue("postgresql").database())
        desk = make_desk(tmp_path, make_universe(**tiny_keys(**HOURLY)), url=url)
        processes = [stack.enter_context(serving(tmp_path, desk.url, receiver.url)) for _ in range(2)]
        urls = [address(process) for process in processes]
        for place in range(10):
            answer = httpx.post(f"{urls[place % 2]}/orders", json=order(f"o{place}"), timeout=60)
            assert answer.status_code == 201
        advisor = desk.advisor(StoppedClock(NOON))
        # Both decide as soon as orders come, one of them each: 10 are taken on, begin and are advised.
        until(lambda: len(receiver.entries) >= 30)
        time.sleep(0.5)
        assert receiver.ids == all_ids(advisor)
        holder = advisor.store.audit.reader("tiny", _reader_name(desk)).turn().holder
        first = next(process for process in processes if f" {process.pid} " in holder)
        first.send_signal(signal.SIGKILL)
        first.wait(20)
        other = urls[1 - processes.index(first)]
        assert httpx.post(f"{other}/orders", json=order("last"), timeout=60).status_code == 201
        until(lambda: [entry["event"] for entry in receiver.entries if entry["order_id"] == "last"][-1:] == ["advised"])
        ids = list(dict.fromkeys(receiver.ids))
        # What was sent as it was killed may have come twice: whoever counts each id once has all, once.
        assert ids == sorted(ids) == all_ids(advisor)


def _reader_name(desk) -> str:
    with Database(desk.url).transaction("look") as connection:
        return connection.execute(select(AuditReaderRow.reader)).scalar_one()
