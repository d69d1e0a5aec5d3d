"""Large Execution Models: markets, features, the model, execution and evaluation. Knows no scheduler.

What a notebook needs is here (`docs/notebook.md`); each name is imported when it is first asked for, so that
`import lem` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lem.backtest.leaks import leak_panel
    from lem.data.features import FEATURES
    from lem.data.panel import Panel
    from lem.execution.orders import SCENARIOS, Order, Scenario
    from lem.lake import Lake
    from lem.model.lem import LEM
    from lem.notebook import Desk, plot_gains, plot_schedule
    from lem.registry import Registry
    from lem.strategies.base import Decision, Strategy, View
    from lem.strategies.learned import Learned
    from lem.universe import Universe, load_universe

_HOME = {
    "Decision": "lem.strategies.base",
    "Desk": "lem.notebook",
    "FEATURES": "lem.data.features",
    "LEM": "lem.model.lem",
    "Lake": "lem.lake",
    "Learned": "lem.strategies.learned",
    "Order": "lem.execution.orders",
    "Panel": "lem.data.panel",
    "Registry": "lem.registry",
    "SCENARIOS": "lem.execution.orders",
    "Scenario": "lem.execution.orders",
    "Strategy": "lem.strategies.base",
    "Universe": "lem.universe",
    "View": "lem.strategies.base",
    "leak_panel": "lem.backtest.leaks",
    "load_universe": "lem.universe",
    "plot_gains": "lem.notebook",
    "plot_schedule": "lem.notebook",
}
__all__ = [
    "FEATURES",
    "LEM",
    "SCENARIOS",
    "Decision",
    "Desk",
    "Lake",
    "Learned",
    "Order",
    "Panel",
    "Registry",
    "Scenario",
    "Strategy",
    "Universe",
    "View",
    "leak_panel",
    "load_universe",
    "plot_gains",
    "plot_schedule",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'lem' has no attribute {name!r}; it exports {', '.join(__all__)}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
