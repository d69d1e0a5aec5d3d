"""The three steps of a live order as modules of plain tensors, which torch can write as ONNX graphs.

`context` takes a market one bar further, `heads` says what each order trades in the bar that opens, `book` writes a
closed bar into the orders' ledgers. Together they do what `lem.model.streaming` and `lem.advice.live_orders` do: they
call the same functions.

Shapes: N = markets, F = features, H = context, O = orders, S = scenarios.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn

from lem.data.features import FEATURES
from lem.execution.costs import charged_price
from lem.execution.fills import Ledger
from lem.execution.orders import SCENARIOS
from lem.execution.step import FINISH_AT, book, over, step
from lem.execution.terms import Terms, make_terms
from lem.model.lem import LEM
from lem.model.streaming import MarketStream, named, rebuilt

ORDER_TERMS = {
    "m": "fewest bars",
    "n": "most bars, N",
    "min_rate": "smallest share of the order in a bar",
    "max_rate": "largest share of the order in a bar; no more than participation cap / size",
    "risk_aversion": "lambda of E[g] - lambda/2 E[g^2], g in sigma",
    "sigma": "volatility of a bar at arrival, log units",
    "size": "the order, in trailing mean bar volumes at arrival; 0 if too small to matter",
    "impact": "Y of the square-root law of impact",
    "fixed": "fee and half spread of every fill, as a fraction of its price",
}
"""The terms of an order that `heads` and `book` take, in their order; side, benchmark and target follow from `head`."""
LEDGER = {
    "remaining": "share of the order still to trade; 1 before the first bar",
    "units": "what was traded: sum x of a quantity, sum y / P of a notional; 0 before the first bar",
    "cash": "paid or received for it: sum x P of a quantity, sum y of a notional; 0 before the first bar",
    "weight": "sum of the benchmark's weights, the bar's volume or 1; 0 before the first bar",
    "weighted": "sum of weight times price; 0 before the first bar",
}
"""What an order carries from bar to bar."""


@dataclass(frozen=True)
class Graph:
    """A step with what its graph needs.

    Args:
        module: what is exported.
        inputs: name, example, and the dimension that is any number of markets or orders; in order.
        outputs: names, in order.
        rows: what that dimension counts.
    """

    module: nn.Module
    inputs: list[tuple[str, Tensor, int]]
    outputs: list[str]
    rows: str


def graphs(model: LEM) -> dict[str, Graph]:
    """The graphs `context`, `heads` and `book` of a model, which stays as it was."""
    own = copy.deepcopy(model).eval().requires_grad_(False)
    rows = 3  # of the examples: torch takes a dimension of 1 for one that is always 1
    stream = MarketStream(own, rows)
    state = [
        (name, tensor, 1 if name.endswith("LBW") or name.endswith("1BH") else 0)
        for name, tensor in stream.state().items()
    ]
    market = [("features", torch.zeros(rows, len(FEATURES)), 0), ("valid", torch.ones(rows, dtype=torch.bool), 0)]
    one_O = torch.ones(rows, dtype=torch.float64)
    head = ("head", torch.arange(rows), 0)
    columns = [(name, one_O.clone(), 0) for name in (*ORDER_TERMS, *LEDGER)]
    context = ("context", torch.zeros(rows, own.config.hidden), 0)
    after = [f"{name}.after" for name, _, _ in state]
    said = [(name, one_O.clone(), 0) for name in ("last_close", "bar")]
    booked = [("bar", one_O - 1, 0), *((name, one_O.clone(), 0) for name in ("slice", "price", "volume"))]
    return {
        "context": Graph(_Context(own, stream), [*market, *state], ["context", *after], "markets"),
        "heads": Graph(_Heads(own), [context, head, *said, *columns], ["slice", "ends", "probability"], "orders"),
        "book": Graph(
            _Book(),
            [head, *booked, *columns],
            [*(f"{name}.after" for name in LEDGER), "bar.after", "over", "charged_price"],
            "orders",
        ),
    }


def empty_state(model: LEM, markets: int) -> dict[str, Tensor]:
    """What markets carry before their first bar, by name: zeros, and False."""
    return MarketStream(model, markets).state()


class _Context(nn.Module):
    def __init__(self, model: LEM, stream: MarketStream) -> None:
        super().__init__()
        self.context, self._like = model.context, stream.carried
        self._names = list(stream.state())

    def forward(self, features_NF: Tensor, valid_N: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        before = rebuilt(self._like, dict(zip(self._names, state, strict=True)))
        context_N1H, after = self.context(features_NF.unsqueeze(1), valid_N.unsqueeze(1), before)
        return context_N1H[:, 0], *(tensor for _, tensor in named(after))


class _Heads(nn.Module):
    def __init__(self, model: LEM) -> None:
        super().__init__()
        self.heads = model.heads

    def forward(
        self, context_OH: Tensor, head_O: Tensor, last_close_O: Tensor, k_O: Tensor, *columns: Tensor
    ) -> tuple[Tensor, ...]:
        own, ledger_columns = columns[: len(ORDER_TERMS)], columns[len(ORDER_TERMS) :]
        terms = _terms(head_O, own)
        ledger = Ledger(*ledger_columns)
        wide = Terms(*(_wide(getattr(terms, field.name)) for field in fields(terms)))
        # Every head answers for every order, and the answer of the order's own is taken.
        read_SOD = self.heads.read_context(context_OH)
        asked_OS, wish_OS = self.heads.decide(
            read_SOD, Ledger(*map(_wide, ledger_columns)), wide, _wide(last_close_O), _wide(k_O)
        )
        asked_O, wish_O = (x_OS.gather(1, head_O.unsqueeze(1)).squeeze(1) for x_OS in (asked_OS, wish_OS))
        taken = step(ledger, terms, k_O, asked_O, wish_O >= FINISH_AT)
        return taken.slice_O, taken.ends_O, wish_O


class _Book(nn.Module):
    def forward(
        self, head_O: Tensor, k_O: Tensor, slice_O: Tensor, price_O: Tensor, volume_O: Tensor, *columns: Tensor
    ) -> tuple[Tensor, ...]:
        own, ledger_columns = columns[: len(ORDER_TERMS)], columns[len(ORDER_TERMS) :]
        terms = _terms(head_O, own)
        traded_O = volume_O > 0
        # Decisions see the fills before costs, in training, backtest and live.
        after = book(Ledger(*ledger_columns), terms, slice_O, price_O, volume_O, traded_O)
        k_O = k_O + traded_O
        charged_O = charged_price(terms, slice_O, price_O, volume_O)
        return *_columns(after), k_O, over(after.remaining_O, terms, k_O), charged_O


def _columns(ledger: Ledger) -> tuple[Tensor, ...]:
    return tuple(getattr(ledger, field.name) for field in fields(ledger))


def _wide(x_O: Tensor) -> Tensor:
    """The same number for each scenario, (O, S)."""
    return x_O.unsqueeze(1).expand(-1, len(SCENARIOS))


def _terms(head_O: Tensor, columns: tuple[Tensor, ...]) -> Terms:
    """Terms of orders, from their heads and the columns of `ORDER_TERMS`."""
    of_S = make_terms(SCENARIOS, 1, 1)
    own = {f"{name}_O": column_O for name, column_O in zip(ORDER_TERMS, columns, strict=True)}
    return Terms(sign_O=of_S.sign_O[head_O], vwap_O=of_S.vwap_O[head_O], notional_O=of_S.notional_O[head_O], **own)
