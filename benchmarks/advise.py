"""How long live orders wait for a bar's slices: through the service, through the Python API, and the bare model call.

All three advance the same orders over the same bars and take turns bar by bar, so that a change in the machine's load
meets all of them. The service is a process of its own, asked over HTTP on a kept connection. Its market, like that of
the API, is brought up to the bar first, so that only deciding, storing and answering are timed. The bare model call is
`LiveOrders.decide` and `settle` alone: nothing is stored.

Rows of their own: bringing 50 assets up to a bar, and reading and cancelling an order over HTTP while a request for
advice waits for a source that hangs for ten seconds.
"""

from __future__ import annotations

import argparse
import http.client
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.common import BenchmarkError, Column, Row, command_line, parser, publish
from benchmarks.live_desk import PAIRS, START, Service, advisor_of, make_home, orders_of, take_on
from lem.advice.advisor import Advised
from lem.advice.live_orders import LiveOrders
from lem.advice.order import ParentOrder
from lem.execution.orders import SCENARIOS, Order
from lem.model.lem import LEM
from lem.universe import Universe

NAME = "advise"
PARTS = ("orders", "refresh", "hanging")
COLUMNS = (
    Column("what", "1 bar of all orders"),
    Column("orders", "orders", ",d"),
    Column("p50_ms", "p50 (ms)", ".1f"),
    Column("p99_ms", "p99 (ms)", ".1f"),
    Column("ratio", "p50 over the model call", ".1f"),
    Column("p99_ratio", "p99 over the model call's p50", ".1f"),
    Column("over_fewest", "p50 over that of the fewest orders", ".1f"),
    Column("bars", "bars", ",d"),
)


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    """Milliseconds of a call, and its answer."""
    began = time.perf_counter()
    answer = call()
    return 1e3 * (time.perf_counter() - began), answer


class Bare:
    """The same orders in memory, with nothing around the model."""

    def __init__(self, model: LEM, universe: Universe, orders: list[ParentOrder]) -> None:
        self.live = LiveOrders(model, len(PAIRS), universe.horizon, universe.costs)
        market = [PAIRS.index(order.asset) for order in orders]
        sizes = [order.size for order in orders]
        self.live.open([order.order for order in orders], market, 0.002, 100.0, 50.0, sizes)
        self.context_NH = torch.randn(len(PAIRS), model.config.hidden, generator=torch.Generator().manual_seed(0))

    def bar(self) -> None:
        """Decide and settle one bar of all orders."""
        self.live.decide(self.context_NH, 100.0)
        self.live.settle(100.0, 50.0)


def fresh(advised: Advised, count: int) -> None:
    """Refuse an answer without a fresh decision for every order: its time means nothing.

    Raises:
        BenchmarkError: an order has no slice, or one that was decided before.
    """
    if len(advised.slices) != count or any(advice.repeated for advice in advised.slices):
        raise BenchmarkError(
            f"the API advised {len(advised.slices)} of {count} orders: {list(advised.refused.values())[:1]}"
        )


def measure(folder: Path, count: int, bars: int) -> dict[str, list[float]]:
    """Milliseconds of each contender, one figure a bar; the first bar, which opens the orders, is left out."""
    universe, model = make_home(folder, bars + 50)
    orders, took = orders_of(universe, count), {name: list[float]() for name in ("service", "api", "model")}
    take_on(folder, orders)
    api, bare = advisor_of(folder, "api"), Bare(model, universe, orders)
    with ExitStack() as stack:
        service = Service(folder)
        stack.callback(service.close)
        last = ""
        while len(took["model"]) <= bars:
            _, bar = service.market()
            if bar == last:  # the service's clock has not been moved yet
                time.sleep(0.001)
                continue
            answered, advised = service.ask("POST", "/advice")
            if len(advised["slices"]) != count or any(s["repeated"] for s in advised["slices"]):
                raise BenchmarkError(f"the service advised {len(advised['slices'])} of {count}: {advised['refused']}")
            last = bar
            api.refresh()
            spent, done = timed(api.advise)
            fresh(done, count)
            figures = {"service": answered, "api": spent, "model": timed(bare.bar)[0]}
            for name, value in figures.items():
                took[name].append(value)
            api.clock.sleep(300)
            service.sleep(300)
    return {name: values[1:] for name, values in took.items()}


def refreshed(folder: Path, assets: int, bars: int) -> list[float]:
    """Milliseconds to bring so many assets up to a bar, bar by bar; the first one, which reads all, is left out."""
    pairs = [f"A{n:02}-USDT" for n in range(assets)]
    universe, _ = make_home(folder, bars + 50, pairs)
    order = Order(SCENARIOS[0], universe.horizon, universe.horizon)
    take_on(folder, [ParentOrder(pair, universe.name, pair, order, 1.0, START) for pair in pairs])
    api = advisor_of(folder, "api")
    api.advise()
    took = []
    for _ in range(bars):
        api.clock.sleep(300)
        took.append(timed(api.refresh)[0])
        api.advise()
    return took


def while_hanging(folder: Path, count: int, asked: int, seconds: float) -> dict[str, list[float]]:
    """Milliseconds of reading and of cancelling an order while a request for advice waits for a source that hangs.

    Raises:
        BenchmarkError: the source did not hang.
    """
    universe, _ = make_home(folder, 100)
    take_on(folder, orders_of(universe, count))
    took: dict[str, list[float]] = {"read": [], "cancel": []}
    with ExitStack() as stack:
        service = Service(folder)
        stack.callback(service.close)
        service.ask("POST", "/advice")
        service.hang(seconds)
        service.sleep(300)
        time.sleep(0.1)

        def wait() -> None:
            connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=600)
            connection.request("POST", "/advice")
            connection.getresponse().read()

        waiting = [threading.Thread(target=wait) for _ in range(45)]
        for thread in waiting:
            thread.start()
        time.sleep(0.5)
        for n in range(asked):
            took["read"].append(service.ask("GET", f"/orders/o{n}")[0])
            took["cancel"].append(service.ask("POST", f"/orders/o{n}/cancel")[0])
        if not all(thread.is_alive() for thread in waiting):
            raise BenchmarkError("the source answered before the orders were read and cancelled")
        for thread in waiting:
            thread.join()
    return took


def plain_row(what: str, count: int, took: list[float]) -> Row:
    """A row that has no model call beside it."""
    quantiles = {"p50_ms": float(np.median(took)), "p99_ms": float(np.percentile(took, 99))}
    return {"what": what, "orders": count, **quantiles, "bars": len(took), "all_ms": took}


def rows_of(took: dict[str, list[float]], count: int) -> list[Row]:
    """A row for each contender."""
    titles = {
        "service": "service (HTTP), decided, stored and answered",
        "api": "Python API, decided and stored",
        "model": "bare model call",
    }
    bare = float(np.median(took["model"]))
    return [
        {
            "what": title,
            "orders": count,
            "p50_ms": float(np.median(took[name])),
            "p99_ms": float(np.percentile(took[name], 99)),
            "ratio": float(np.median(took[name])) / bare,
            "p99_ratio": float(np.percentile(took[name], 99)) / bare,
            "bars": len(took[name]),
            "all_ms": took[name],
        }
        for name, title in titles.items()
    ]


def main() -> None:
    """Run the benchmark and publish its table."""
    made = parser(NAME, __doc__.partition("\n")[0], seeds=None)
    made.add_argument("--orders", type=int, nargs="+", default=[1_000, 10_000], help="live orders (1000 10000)")
    made.add_argument("--assets", type=int, default=50, help="assets that are brought up to a bar (default 50)")
    made.add_argument("--bars", type=int, default=200, help="bars that are timed (default 200)")
    made.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="what is measured (all of it)")
    arguments: argparse.Namespace = made.parse_args()
    seconds, asked = 10.0, 40
    if arguments.quick:
        arguments.orders, arguments.assets, arguments.bars, seconds, asked = [20], 3, 3, 3.0, 5
    if not (all(1 <= count <= 100_000 for count in arguments.orders) and 1 <= arguments.bars <= 400):
        raise BenchmarkError("--orders, --bars; allowed: 1 to 100000, 1 to 400")
    if not 1 <= arguments.assets <= 100:
        raise BenchmarkError("--assets; allowed: 1 to 100")
    rows: list[Row] = []
    for count in arguments.orders if "orders" in arguments.parts else ():
        # A bar of ten times the orders takes ten times as long: fewer of them say as much.
        bars = max(3, min(arguments.bars, 200_000 // count))
        with tempfile.TemporaryDirectory() as folder:
            rows += rows_of(measure(Path(folder), count, bars), count)
    for place, row in enumerate(rows):
        row["over_fewest"] = row["p50_ms"] / rows[place % 3]["p50_ms"]
    if "refresh" in arguments.parts:
        with tempfile.TemporaryDirectory() as folder:
            took = refreshed(Path(folder), arguments.assets, min(arguments.bars, 40))
        rows.append(plain_row(f"{arguments.assets} assets brought up", arguments.assets, took))
    if "hanging" in arguments.parts:
        with tempfile.TemporaryDirectory() as folder:
            hung = while_hanging(Path(folder), 100, asked, seconds)
        rows += [plain_row(f"{what} while a source hangs", 100, figures) for what, figures in hung.items()]
    publish(NAME, "Live orders advanced by one bar", COLUMNS, rows, arguments, seeds=[])


if __name__ == "__main__":
    command_line(main)
