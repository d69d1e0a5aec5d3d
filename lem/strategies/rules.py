"""The list of the rules: what every backtest, gate, benchmark, report and notebook executes beside the models.

A new rule is a file of this package and a line in `RULES`. Here stands what must be known without executing anything
(counting rows, naming rows), so this module imports no torch; the file has the rest:

- a class with the rule's `name` and `decide` (`lem.strategies.base.Strategy`),
- `make(setting)`: the rule for a universe and its champion (`lem.strategies.base.Setting`),
- `MEANING`: what it does, in a sentence or two for the report's glossary.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

from lem.errors import OrderError

if TYPE_CHECKING:
    from lem.strategies.base import Setting, Strategy


@dataclass(frozen=True)
class Rule:
    """A rule that needs no training.

    Args:
        name: in tables; also the name of its file in this package.
        label: the name for people.
    """

    name: str
    label: str

    @property
    def meaning(self) -> str:
        """What it does, in words. Imports its file, and so torch."""
        return str(self._file().MEANING)

    def make(self, setting: Setting) -> Strategy:
        """The rule as a strategy. Imports its file, and so torch.

        Raises:
            OrderError: the strategy has another name than its line in the list.
        """
        strategy: Strategy = self._file().make(setting)
        if strategy.name != self.name:
            raise OrderError(
                f"rule {self.name}: lem/strategies/{self.name}.py makes a strategy named {strategy.name}; "
                "allowed: the name of its line in lem/strategies/rules.py"
            )
        return strategy

    def _file(self) -> ModuleType:
        return import_module(f"lem.strategies.{self.name}")


RULES: tuple[Rule, ...] = (
    Rule("twap", "TWAP"),
    Rule("twap_to_m", "TWAP to m"),
    Rule("volume_curve", "Volume curve"),
    Rule("bang_bang", "Bang-bang"),
    Rule("optimal_stopping", "Optimal stopping"),
    Rule("optimal_with_costs", "Optimal with costs"),
    Rule("optimal_with_risk", "Optimal with costs and risk"),
)
"""One line a rule. Tables have their rows in this order, and figures give colours and markers by it: a new rule goes to
the end, and the others keep theirs."""


RULES_WITH_COSTS = ("optimal_with_costs", "optimal_with_risk")
"""The rules that know what trading costs: after costs, what a model has to beat."""


def rule_label(name: str) -> str:
    """The name of a rule for people."""
    return next(rule.label for rule in RULES if rule.name == name)


def rule_names() -> tuple[str, ...]:
    """Names of the rules: every order of a backtest has a row for each of them, and one for each model."""
    return tuple(rule.name for rule in RULES)


def make_rules(setting: Setting) -> tuple[Strategy, ...]:
    """Every rule as a strategy, in the order of the list."""
    return tuple(rule.make(setting) for rule in RULES)
