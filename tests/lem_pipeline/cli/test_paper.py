"""`lem paper` and the page on adapters: its commands run, and its loop works beside a service that is real."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import time
import types
from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from lem.paper.book import Book
from tests.conftest import ROOT
from tests.integration.live_fleet import Fleet, kept_by, kill
from tests.lem.advice.desk import HOURLY, NOON, make_desk

PAGE = (ROOT / "docs" / "adapters.md").read_text(encoding="utf-8")
TEN = NOON.replace(month=3, day=30, hour=10)
FILES = dict(re.findall(r"^`([\w./-]+)`:\n\n```python\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL))


@pytest.fixture(scope="module")
def folder(tmp_path_factory, make_universe, tiny_keys, write_universe) -> Path:
    """A home with a tiny universe by the name of the page's, and its champion."""
    keys = tiny_keys(**HOURLY, name="sample", start="2024-03-01", end="2024-04-05")
    keys |= {"assets": {"BTC-USDT": {"lot": 0.5, "tick": 0.01}, "ETH-USDT": {}}, "horizon": 12}
    keys["training"] = {**keys["training"], "sequence": 20}
    made = tmp_path_factory.mktemp("desk")
    write_universe(made / "universes", keys)
    make_desk(made, make_universe(**keys), date=TEN.date())
    return made


def test_the_commands_of_the_page_run_and_the_order_is_filled_as_the_books_say(folder, lem_command):
    outputs = []
    for line in re.findall(r"^ {4}(lem .+)$", PAGE, flags=re.MULTILINE):
        done = lem_command(folder, *shlex.split(line)[1:])
        assert done.code == 0, f"{line}\n{done.out}{done.err}"
        outputs.append(done.out)
    assert len(outputs) == 3
    assert "slices settled with" in outputs[1]
    assert "refused" not in outputs[1]
    with closing(Book(folder / "home" / "paper" / "sample.sqlite", "sample")) as book:
        fills = book.fills("paper-1")
    filled = sum((fill.amount for fill in fills), Decimal(0))
    assert filled > 0
    assert f"{filled.normalize():f}" in outputs[2]
    assert all(fill.amount % Decimal("0.5") == 0 for fill in fills)
    again = lem_command(folder, "paper", "-u", "sample", "--at", "2024-03-31T20:00Z")
    assert (again.code, len(again.out.splitlines())) == (0, 1), "nothing is left to do"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--partial", "1.5"], "partial 1.5; allowed: 0 to 1"),
        (["--lot", "some"], "--lot 'some'; allowed: a number such as 0.001"),
        (["--url", "ftp://127.0.0.1"], "url 'ftp://127.0.0.1'; allowed: an address such as http://127.0.0.1:8321"),
        (["--url", "http://127.0.0.1:1", "--at", "2024-03-30T10:00Z"], "--at with --url; allowed: one of them"),
        (["--at", "2024-05-01T10:00Z"], "no bars are expected on 2024-05-01"),
    ],
)
def test_what_cannot_be_done_is_a_message(folder, lem_command, arguments, message):
    done = lem_command(folder, "paper", "-u", "sample", *arguments)
    assert (done.code, message in " ".join(done.err.split())) == (1, True), done.err


@pytest.fixture
def served(folder) -> Iterator[Fleet]:
    fleet = Fleet(folder, f"sqlite:///{folder}/home/registry.sqlite", TEN, speed=900.0, universe="sample")
    server = fleet.serve()
    yield fleet
    kill(server)


@pytest.mark.slow
def test_the_venue_works_beside_a_service_and_ends_when_no_order_is_open(served, folder, lem_command):
    order = {"id": "beside", "asset": "ETH-USDT", "side": "sell", "size": 6.5, "mode": "confirm", "max_bars": 3}
    assert httpx.post(f"{served.url}/orders", json=order, timeout=60).status_code == 201
    state = str(folder / "beside.sqlite")
    done = lem_command(folder, "paper", "-u", "sample", "--url", served.url, "--every", "0.1", "--state", state)
    assert done.code == 0, done.err
    kept = kept_by(served.url)["beside"]
    assert kept.order["status"] == "finished"
    assert {key: Decimal(fill["amount"]) for key, fill in kept.counting.items()} == {
        fill.fill_id: fill.amount for fill in Book(Path(state), "sample").fills("beside")
    }


def run(folder: Path, served: Fleet) -> subprocess.Popen[str]:
    env = {"LEM_URL": served.url, "EVERY": "0.2", "OMS": str(folder / "oms.sqlite")}
    return served.python(folder / "adapter.py", **env)


@pytest.mark.slow
def test_the_loop_of_the_page_trades_orders_to_their_end_and_goes_on_after_a_kill(served, folder):
    for name in ("adapter.py", "oms.py"):
        (folder / name).write_text(FILES[name], encoding="utf-8")
    assert len(FILES["adapter.py"].splitlines()) < 50
    orders = [{"id": f"own-{n}", "asset": "BTC-USDT", "side": "buy", "size": 4.5 + n, "max_bars": 5} for n in range(3)]
    for order in orders:
        sent = httpx.post(f"{served.url}/orders", json={**order, "mode": "confirm"}, timeout=60)
        assert sent.status_code == 201, sent.text
    adapter, kills, deadline = run(folder, served), 0, time.monotonic() + 300
    try:
        while time.monotonic() < deadline:
            time.sleep(1.5)
            kept = {key: own for key, own in kept_by(served.url).items() if key.startswith("own-")}
            if all(own.order["status"] in ("finished", "expired") for own in kept.values()):
                break
            if kills < 2 and sum(len(own.fills) for own in kept.values()) > kills:
                adapter.kill()
                adapter.wait()
                adapter, kills = run(folder, served), kills + 1
        time.sleep(2)
        assert adapter.poll() is None, adapter.stdout.read()
    finally:
        adapter.kill()
        said = adapter.communicate()[0]
    assert "refused" not in said
    assert kills == 2
    book = Book(folder / "oms.sqlite", "sample")
    for key, own in kept.items():
        fills = {fill.fill_id: fill.amount for fill in book.fills(key)}
        assert {name: Decimal(fill["amount"]) for name, fill in own.counting.items()} == fills
        assert Decimal(own.order["filled"]) == sum(fills.values(), Decimal(0))
        assert Decimal(own.order["overfilled"]) == 0


class Exchange:
    """What the page uses of ccxt's unified API."""

    def __init__(self, keys: dict[str, Any]) -> None:
        self.orders: dict[str, dict[str, Any]] = {}

    def create_order(self, symbol, kind, side, amount, price, params):
        assert symbol == "BTC/USDT"
        key = f"v{len(self.orders)}"
        self.orders[key] = {"id": key, "amount": amount, "filled": amount - 0.5, "status": "open", "sent": params} | {
            "kind": (kind, side, price)
        }
        return self.orders[key]

    def fetch_order(self, key, symbol):
        return self.orders[key]

    def fetch_order_trades(self, key, symbol):
        fee = {"cost": 1.25, "currency": "USDT"}
        trade = {"id": 7, "amount": 1.5, "price": 42000.0, "datetime": "2024-03-30T10:20:00Z"}
        return [{**trade, "fee": fee}, {**trade, "id": 8, "fee": {"cost": 0.1, "currency": "BNB"}}]


def test_the_example_with_ccxt_places_once_counts_what_is_open_and_tells_trades(monkeypatch):
    fake = types.SimpleNamespace(binance=Exchange)
    monkeypatch.setitem(sys.modules, "ccxt", fake)
    own: dict[str, Any] = {}
    exec(compile(FILES["ccxt_oms.py"], "ccxt_oms.py", "exec"), own)
    order = {"id": "desk-17", "asset": "BTC-USDT", "side": "buy", "size": 12.5, "limit_price": "42000.5"}
    slice_ = {"bar": "2024-03-30T10:00:00Z"}
    assert own["left"](order) == Decimal("12.5")
    for _ in range(2):
        own["place"](slice_, order, Decimal("2.5"), "2024-03-30T10:00:05Z")
    (placed,) = own["venue"].orders.values()
    assert placed["kind"] == ("limit", "buy", 42000.5)
    assert placed["sent"] == {"clientOrderId": "desk-17-2024-03-30-1000"}
    assert own["left"](order) == Decimal("10.0"), "what is open counts as traded"
    placed["status"] = "canceled"
    assert own["left"](order) == Decimal("10.5")
    (key, trade), (_, other) = own["trades"]("2024-03-30T11:00:00Z")
    assert (key, trade["id"], trade["amount"], trade["fee"], trade["bar"]) == ("desk-17", "7", 1.5, 1.25, slice_["bar"])
    assert "fee" not in other, "it is in another currency"
