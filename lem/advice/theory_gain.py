"""What an order of any length gains where prices have no direction, by the theory that models correct.

Orders of the same terms are simulated by `lem.model.base.ProgrammeBase`, the rule that a model is before it learns: the
mean of their gains after costs, and the range of 90 in 100. What a model learned is not in it. They trade the bars of
the days before (`lem.advice.past_bars`), on each stretch one that buys and one that sells; where there are none,
Gaussian bars of even volatility, which a real market's are not: orders there lose more in the worst case.

Gains are kept in sigma, before fee and half spread, for sizes on a grid; between its points they are read along
straight lines in the size's logarithm. Moves are small, so that quantities and notionals are alike.

Shapes: A = simulated orders, K = their bars.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch

from lem.advice.past_bars import PastBars
from lem.backtest.simulator import Market, simulate
from lem.execution.costs import BPS
from lem.execution.costs_config import CostsConfig
from lem.execution.orders import TOLERANCE, Benchmark, Scenario, Side, Target
from lem.execution.step import FINISH_AT
from lem.execution.terms import make_terms
from lem.model.allocation import within_limits
from lem.model.base import ProgrammeBase
from lem.strategies.base import Decision, View

ORDERS, FEWEST = 2048, 512
"""Orders that are simulated of up to 12 bars; of longer ones fewer, and these at least."""
_SIGMA = 0.002
_RATIO, _SMALLEST = 1.08, 1e-3
"""Largest of neighbours on the grid of sizes, and its smallest size, in mean bar volumes: smaller orders pay no impact
to speak of."""
_MOST_KEPT = 4096
_VOLUME_SPREAD = 0.5


class Kind(NamedTuple):
    """What a simulated order is, but for its size.

    Args:
        benchmark: vwap or twap.
        min_bars: m.
        max_bars: N.
        min_rate: smallest share in a bar.
        max_rate: largest share in a bar.
        risk_aversion: lambda.
    """

    benchmark: str
    min_bars: int
    max_bars: int
    min_rate: float
    max_rate: float
    risk_aversion: float

    @property
    def orders(self) -> int:
        """How many are simulated."""
        return max(FEWEST, min(ORDERS, 12 * ORDERS // self.max_bars))


@dataclass(frozen=True)
class TheoryGain:
    """Gain after costs, in bps; positive is good.

    Args:
        mean_bps: of the orders.
        low_bps: of 5 in 100 orders it was lower.
        high_bps: of 5 in 100 orders it was higher.
    """

    mean_bps: float
    low_bps: float
    high_bps: float


Node = tuple[Kind, float, PastBars | None]
"""What is simulated: orders of a kind, their size on the grid, and the bars; None for Gaussian ones."""


class TheoryGains:
    """Gains of orders under the costs of a universe; each kind and size of the grid is simulated once.

    Args:
        costs: fee, half spread, impact and participation cap.
    """

    def __init__(self, costs: CostsConfig) -> None:
        self._costs = costs
        self._base: ProgrammeBase | None = None
        self._known: dict[tuple[Kind, float, str], tuple[float, ...]] = {}

    def missing(self, kind: Kind, size: float, past: PastBars | None = None) -> list[Node]:
        """What has to be simulated before `of` answers at once.

        Args:
            kind: of the order.
            size: in mean bar volumes.
            past: as in `of`.
        """
        beside = self._beside(kind, size)
        nodes = [(kind, at, past) for at in beside[:2]] if beside else []
        return [node for node in nodes if _key(node) not in self._known]

    def simulated(self, node: Node, before_bar: Callable[[], None] | None = None) -> tuple[float, ...]:
        """Mean, 5 % and 95 % quantile in sigma, before fee and half spread; the first time takes some 2 ms a bar.

        Args:
            node: what is simulated.
            before_bar: is called before each simulated bar; who has time waits in it.
        """
        found = self._known.get(_key(node))
        if found is None:
            if len(self._known) >= _MOST_KEPT:
                self._known = {}
            self._base = self._base or ProgrammeBase()
            found = self._known[_key(node)] = _simulate(_Theory(self._base, before_bar), *node, self._costs)
        return found

    def of(self, kind: Kind, size: float, sigma: float, past: PastBars | None = None) -> TheoryGain | None:
        """The gain of an order; None where the participation cap does not let its bars trade it.

        Args:
            kind: of the order.
            size: in mean bar volumes.
            sigma: volatility per bar.
            past: bars that hold stretches of its length; Gaussian ones if left out.
        """
        beside = self._beside(kind, size)
        if beside is None:
            return None
        below, above, share = beside
        fixed = self._costs.fee_bps + self._costs.half_spread_bps
        both = zip(*(self.simulated((kind, at, past)) for at in (below, above)), strict=True)
        return TheoryGain(*(BPS * sigma * (low + share * (high - low)) - fixed for low, high in both))

    def _beside(self, kind: Kind, size: float) -> tuple[float, float, float] | None:
        cap = self._costs.participation_cap
        most = cap * min(kind.max_bars, 1.0 / max(kind.min_rate, TOLERANCE))
        if size > most * (1.0 + TOLERANCE) or kind.max_rate * kind.max_bars < 1.0 - TOLERANCE:
            return None
        return _beside(min(max(size, _SMALLEST), most), cap, kind.max_rate, most)


def _key(node: Node) -> tuple[Kind, float, str]:
    kind, size, past = node
    return kind, size, past.days if past else ""


def _beside(size: float, cap: float, max_rate: float, most: float) -> tuple[float, float, float]:
    """Points of the grid below and above a size, and the share of the way between them.

    A line is drawn only between sizes that take as many bars at least: one bar more is a jump.
    """
    fewest = math.ceil(1.0 / max_rate - TOLERANCE)
    bars = max(fewest, math.ceil(size / cap - TOLERANCE))
    low, high = cap * (bars - 1) * (1.0 + 1e-6) if bars > fewest else _SMALLEST, min(cap * bars, most)
    if high <= low:
        return size, size, 0.0
    steps = math.ceil(math.log(high / low) / math.log(_RATIO))
    place = min(max(math.log(size / low) / math.log(high / low), 0.0), 1.0) * steps
    step = min(math.floor(place), steps - 1)
    below, above = (low * (high / low) ** (at / steps) for at in (step, step + 1))
    return below, min(above, high), place - step


class _Theory:
    """The rule that a model is before it learns."""

    name = "theory"

    def __init__(self, base: ProgrammeBase, before_bar: Callable[[], None] | None) -> None:
        self._base, self._before_bar = base, before_bar

    def decide(self, view: View) -> Decision:
        """The theory's slice, and whether it would finish."""
        if self._before_bar is not None:
            self._before_bar()
        terms, ledger, k = view.terms, view.ledger, view.k
        base = self._base(ledger, terms, view.last_close_A11, k)
        none = torch.zeros((), dtype=torch.float64)
        slice_O, probability_O = within_limits(none, none, ledger, terms, k, base)
        return Decision(slice_O, probability_O >= FINISH_AT)


@torch.no_grad()
def _simulate(rule: _Theory, kind: Kind, size: float, past: PastBars | None, costs: CostsConfig) -> tuple[float, ...]:
    """Mean, 5 % and 95 % quantile in sigma, before fee and half spread."""
    bars = past.market(kind.max_bars) if past else None
    sides = (Side.BUY, Side.SELL) if bars else (Side.BUY,)  # of each drawn path there is the mirror image, too
    market = bars or _driftless(kind.max_bars, kind.orders)
    terms = make_terms([Scenario(side, Benchmark(kind.benchmark), Target.QUANTITY) for side in sides], *kind[1:])
    sized = costs.model_copy(update={"order_size": size, "fee_bps": 0.0, "half_spread_bps": 0.0})
    # Not within `reproducible`, which is one setting of the whole process: a bar may be decided at the same time.
    gain_O = simulate(rule, market, terms, sized).net_gain_O / market.sigma_A[:, None, None]
    quantiles = gain_O.flatten().quantile(torch.tensor([0.05, 0.95], dtype=torch.float64))
    return float(gain_O.mean()), *quantiles.tolist()


def _driftless(bars: int, orders: int) -> Market:
    """Bars of even volatility, and volume drawn without a pattern; to each path there is its mirror image.

    The draws are the joint law of a bar's increment and its mean price, as in `lem.backtest.driftless`.
    """
    chance = torch.Generator().manual_seed(0)

    def drawn(rows: int) -> torch.Tensor:
        return torch.randn(rows, bars, generator=chance, dtype=torch.float64)

    half = orders // 2
    move_AK, apart_AK = (torch.cat([x, -x]) for x in (drawn(half), drawn(half)))
    volume_AK = torch.exp(_VOLUME_SPREAD * drawn(2 * half) - _VOLUME_SPREAD**2 / 2)
    close_AK = torch.exp((_SIGMA * move_AK - _SIGMA**2 / 2).cumsum(1))
    last_close_AK = torch.cat([torch.ones(2 * half, 1, dtype=torch.float64), close_AK[:, :-1]], dim=1)
    price_AK = last_close_AK * (1.0 + _SIGMA * (move_AK / 2 + math.sqrt(1 / 12) * apart_AK))
    sigma_A = torch.full((2 * half,), _SIGMA, dtype=torch.float64)
    return Market(price_AK, volume_AK, last_close_AK, sigma_A, torch.ones(2 * half, dtype=torch.bool))
