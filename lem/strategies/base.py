"""The one interface of all strategies, and what they are allowed to see.

A strategy decides bar k from a `View` that holds nothing of bar k or later: the simulator cuts it from the tape, so a
strategy cannot look ahead even by mistake.

Shapes: O = (A, M, S): arrivals, limits (values of m), scenarios in the order of `lem.execution.orders.SCENARIOS`;
K = bars of the horizon, H = context.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from lem.execution.costs_config import CostsConfig
from lem.execution.fills import Ledger
from lem.execution.terms import Terms
from lem.model.lem import LEM


@dataclass(frozen=True)
class View:
    """What is known when bar k opens.

    Args:
        k: bar of the order, 0-based.
        terms: of the orders.
        ledger: of the bars before k.
        last_close_A11: close of bar k-1 relative to the arrival price; 1 at k = 0.
        context_AH: market context of bar k-1 (at k = 0 of the bar before the order); None for rules.
        slot_AK: int64, place of each of the order's bars on the clock (`lem.data.features.season_slots`), also of
            later ones: the calendar is known in advance, so this is no look-ahead. None on a market without
            a calendar.
    """

    k: int
    terms: Terms
    ledger: Ledger
    last_close_A11: Tensor
    context_AH: Tensor | None
    slot_AK: Tensor | None = None


@dataclass(frozen=True)
class Decision:
    """What a strategy asks for in bar k. The simulator applies the order's limits: it may get less.

    Args:
        slice_O: share to trade if the order goes on.
        finish_O: bool; trade all that remains and end in this bar.
    """

    slice_O: Tensor
    finish_O: Tensor


@dataclass(frozen=True)
class Setting:
    """What a rule may be made from.

    There is no panel here: a rule that read one could see the bars that it trades on. Whatever a rule needs from bars
    is fitted in training, on the training window, and kept with the model.

    Args:
        horizon: N, the most bars of an order.
        costs: charged where costs are on.
        curve_W: relative volume of each slot of the clock: `volume_curve_W` of the champion, or of the first model
            where there is no champion. None without a model.
        rule_risk: number of the rule `optimal_with_risk`, from the same model; 0 without a model.
    """

    horizon: int
    costs: CostsConfig
    curve_W: Tensor | None = None
    rule_risk: float = 0.0

    @classmethod
    def beside(cls, model: LEM | None, horizon: int, costs: CostsConfig) -> Setting:
        """The setting of rules that trade beside a model, with what was fitted on its training window.

        Args:
            model: None where there is none.
            horizon: N.
            costs: charged where costs are on.
        """
        if model is None:
            return cls(horizon, costs)
        return cls(horizon, costs, model.volume_curve_W, float(model.rule_risk))


class Strategy(Protocol):
    """A rule or a model that executes parent orders."""

    @property
    def name(self) -> str:
        """The name in tables: `twap`, `optimal_stopping`, `lem`."""
        ...

    def decide(self, view: View) -> Decision:
        """The decision for bar `view.k`."""
        ...
