"""Whether onnxruntime does with the exported graphs what torch does with the model.

Orders of all scenarios are driven to their ends, each side from its own state: the context's is carried through
`context.onnx`, the ledgers through `book.onnx`. Torch's side is the one that advises live orders.

Shapes: N = markets, O = orders, H = context.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lem.advice.live_orders import LiveOrders
from lem.data.features import FEATURES
from lem.errors import ExportError
from lem.execution.costs_config import CostsConfig
from lem.execution.orders import SCENARIOS, Order
from lem.execution.step import FINISH_AT
from lem.export.extra import needed
from lem.export.graphs import LEDGER, ORDER_TERMS, empty_state
from lem.model.lem import LEM
from lem.model.streaming import MarketStream
from lem.numerics import reproducible

LARGEST = 1e-5
"""Largest difference of a slice (share of the order) that is allowed."""
MARKETS, SIGMA = 2, 0.01

Arrays = dict[str, NDArray]


@dataclass(frozen=True)
class Verified:
    """What came of it.

    Args:
        difference: largest difference of a slice, as a share of the order.
        orders: how many were driven to their end.
        bars: N.
        on_edge: orders that were left out from where their probability to finish was so near to one half that rounding
            decides.
        torch_ms: median time of one step (a bar: context and slices of all orders) in torch, milliseconds.
        onnx_ms: likewise in onnxruntime.
    """

    difference: float
    orders: int
    bars: int
    on_edge: int
    torch_ms: float
    onnx_ms: float


def sessions(folder: Path) -> dict[str, Any]:
    """Sessions of onnxruntime on one thread, by name of the graph."""
    runtime = needed("onnxruntime", "export")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    return {
        name: runtime.InferenceSession(str(folder / f"{name}.onnx"), options, providers=["CPUExecutionProvider"])
        for name in ("context", "heads", "book")
    }


def answer(session: Any, inputs: Arrays) -> Arrays:
    """The outputs of a graph by name; inputs that it does not have are left out."""
    fed = {wanted.name: inputs[wanted.name] for wanted in session.get_inputs()}
    return dict(zip([output.name for output in session.get_outputs()], session.run(None, fed), strict=True))


def verify(model: LEM, folder: Path, horizon: int, costs: CostsConfig) -> Verified:
    """Drive orders over N bars of a random market through both.

    Args:
        model: as it was exported.
        folder: of the graphs.
        horizon: N.
        costs: of the orders.

    Raises:
        ExportError: a slice differs by more than `LARGEST`.
    """
    with reproducible(), torch.no_grad():
        found = _drive(model, sessions(folder), horizon, costs)
    if not found.difference <= LARGEST:
        raise ExportError(
            f"{folder}: the graphs' slices differ from the model's by {found.difference:.3g} of the order over "
            f"{horizon} bars; allowed: {LARGEST:g}; nothing was written"
        )
    return found


def _orders(horizon: int) -> list[Order]:
    limits = dict.fromkeys((1, (horizon + 1) // 2, horizon))
    return [
        Order(scenario, m, horizon, risk_aversion=risk) for scenario, m, risk in product(SCENARIOS, limits, (0.0, 1.0))
    ]


def _drive(model: LEM, graphs: dict[str, Any], horizon: int, costs: CostsConfig) -> Verified:
    generator = np.random.default_rng(0)
    orders = _orders(horizon)
    market_O = np.arange(len(orders)) % MARKETS
    stream, live = MarketStream(model, MARKETS), LiveOrders(model, MARKETS, horizon, costs)
    live.open(orders, market_O, SIGMA, 1.0, 1.0, costs.order_size)
    state = {name: tensor.numpy() for name, tensor in empty_state(model, MARKETS).items()}
    own = _own(orders, costs)
    close_N = np.ones(MARKETS)
    times: tuple[list[float], list[float]] = [], []
    difference, edge_O = 0.0, np.zeros(len(orders), dtype=bool)
    running_O = np.ones(len(orders), dtype=bool)

    def closed(valid: bool) -> tuple[torch.Tensor, NDArray, float, float]:
        """A bar closes: its context from both sides, and how long each took."""
        nonlocal state
        valid_N = np.full(MARKETS, valid)
        features_NF = (generator.standard_normal((MARKETS, len(FEATURES))) * valid_N[:, None]).astype(np.float32)
        one, first = _timed(lambda: stream.advance(torch.from_numpy(features_NF), torch.from_numpy(valid_N)))
        two, second = _timed(lambda: answer(graphs["context"], {"features": features_NF, "valid": valid_N, **state}))
        state = {name: two[f"{name}.after"] for name in state}
        return one, two["context"], first, second

    for bar in range(model.config.lookback):
        context = closed(bar % 5 != 3)
    for _ in range(horizon):
        context_NH, other_NH, first, second = context
        asked = {"context": other_NH[market_O], "last_close": close_N[market_O], **own}
        decided, takes = _timed(partial(live.decide, context_NH, torch.from_numpy(close_N)))
        taken, takes_too = _timed(partial(answer, graphs["heads"], asked))
        times[0].append(first + takes)
        times[1].append(second + takes_too)
        id_O = decided.id_O.numpy()
        edge_O[id_O] |= np.abs(decided.probability_O.numpy() - FINISH_AT) < LARGEST
        sure_O = id_O[~edge_O[id_O]]
        if not running_O[sure_O].all():
            return Verified(np.inf, len(orders), horizon, int(edge_O.sum()), 0.0, 0.0)
        ours = np.zeros(len(orders))
        ours[id_O] = decided.slice_O.numpy()
        gaps = np.abs(ours - np.where(running_O, taken["slice"], 0.0))[~edge_O]
        difference = max(difference, float(gaps.max(initial=0.0)))
        price_N = close_N * np.exp(SIGMA * generator.standard_normal(MARKETS) / 2)
        volume_N = np.exp(generator.normal(0.0, 0.5, MARKETS))
        live.settle(price_N, volume_N)
        slice_O = np.where(running_O, taken["slice"], 0.0)
        booked = answer(
            graphs["book"], {"slice": slice_O, "price": price_N[market_O], "volume": volume_N[market_O], **own}
        )
        own |= {name: booked[f"{name}.after"] for name in (*LEDGER, "bar")}
        running_O &= ~booked["over"]
        close_N = price_N * np.exp(SIGMA * generator.standard_normal(MARKETS) / 2)
        context = closed(True)
    if len(live) or running_O[~edge_O].any():
        difference = np.inf
    one_ms, other_ms = (1e3 * statistics.median(each) for each in times)
    return Verified(difference, len(orders), horizon, int(edge_O.sum()), one_ms, other_ms)


def _own(orders: list[Order], costs: CostsConfig) -> Arrays:
    """What the orders are and carry, as the graphs take it, before the first bar."""
    count = len(orders)
    terms = {
        "m": [order.min_bars for order in orders],
        "n": [order.max_bars for order in orders],
        "min_rate": [order.min_rate for order in orders],
        "max_rate": [min(order.max_rate, costs.largest_rate) for order in orders],
        "risk_aversion": [order.risk_aversion for order in orders],
        "sigma": [SIGMA] * count,
        "size": [costs.order_size] * count,
        "impact": [costs.impact] * count,
        "fixed": [(costs.fee_bps + costs.half_spread_bps) / 1e4] * count,
    }
    ledger = {name: [float(name == "remaining")] * count for name in (*LEDGER, "bar")}
    assert set(terms) == set(ORDER_TERMS)
    heads = np.array([SCENARIOS.index(order.scenario) for order in orders])
    return {"head": heads, **{name: np.array(values, dtype=np.float64) for name, values in (terms | ledger).items()}}


def _timed(call: Callable[[], Any]) -> tuple[Any, float]:
    before = time.perf_counter()
    return call(), time.perf_counter() - before
