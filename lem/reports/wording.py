"""How the execution report prints numbers, and what it says about costs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from lem.execution.costs_config import CostsConfig
from lem.strategies import rules

NO_BREAK = "\N{NO-BREAK SPACE}"
MODEL_ID = 8
"""Characters of a model's id that tables show."""


def label(strategy: str) -> str:
    """A strategy's name as readers see it."""
    labels = {"lem": "LEM model"} | {rule.name: rule.label for rule in rules.RULES}
    return labels.get(strategy, strategy.replace("_", " ").capitalize())


def number(value: float, digits: int = 1) -> str:
    """A number as it is printed; NaN reads n/a, and a rounded zero has no sign."""
    if not math.isfinite(value):
        return "n/a"
    return f"{round(float(value), digits) + 0.0:,.{digits}f}".replace("-", "−")


def optional(value: Any) -> str:
    """A number that may be missing."""
    return "" if value is None or _missing(value) else number(value)


def short(model_id: Any) -> str:
    """A model's id as tables show it."""
    return str(model_id)[:MODEL_ID] if model_id and not _missing(model_id) else "none"


def _missing(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


def with_interval(row: Mapping[Any, Any]) -> str:
    """Mean in bps, with its interval as small print below."""
    interval = (
        f"{number(row['low_bps'])} to {number(row['high_bps'])}" if math.isfinite(row["low_bps"]) else "no interval"
    )
    return f"{number(row['mean_bps'])}\n{interval}"


def percent(share: float) -> str:
    """A share as it is printed."""
    return f"{number(100 * share)}{NO_BREAK}%"


def count(value: float) -> str:
    """A whole number as it is printed."""
    return f"{int(value):,}"


def size(volumes: float) -> str:
    """An order size in bar volumes, as tables print it; infinity reads "no limit"."""
    if math.isinf(volumes):
        return "no limit"
    return "0" if volumes == 0 else number(volumes, 2 if volumes < 10 else 0)


def bar_volumes(volumes: float) -> str:
    """An order size in a sentence: 20 % of a bar's volume, 3.4 times a bar's volume."""
    if volumes < 1:
        return f"{100 * volumes:.3g}{NO_BREAK}% of a bar’s volume"
    return f"{volumes:,.3g} times a bar’s volume"


def cost_sentence(costs: CostsConfig) -> str:
    """What the costs are assumed to be, in one sentence for the first screen."""
    impact = f", and impact for orders of {bar_volumes(costs.order_size)}" if costs.impact else ", without impact"
    return (
        f"Assumed, not measured: a fee of {costs.fee_bps:g} bps and half a spread of {costs.half_spread_bps:g} bps on "
        f"every fill{impact}."
    )


def cost_words(costs: CostsConfig, horizon: int) -> list[tuple[str, str]]:
    """Each assumption about costs: its name, and what it means."""
    law = f"{costs.impact:g} × sigma × √(slice ÷ volume of the bar)"
    example = costs.impact * 50 * math.sqrt(0.02)
    largest = costs.largest_rate
    binds = (
        f"that is {percent(largest)} of the order a bar, so an order needs at least {math.ceil(1 / largest - 1e-9)} of "
        f"its {horizon} bars"
        if largest < 1
        else "at this order size it caps nothing"
    )
    return [
        ("Fee", f"{costs.fee_bps:g} bps of every fill."),
        ("Half spread", f"{costs.half_spread_bps:g} bps of every fill."),
        (
            "Impact",
            f"{law}, in bps of the fill: {example:.1f} bps where sigma is 50 bps and the slice is "
            f"2{NO_BREAK}% of the bar’s volume. Each slice pays its own; nothing of it stays in later prices."
            if costs.impact
            else "Not charged.",
        ),
        (
            "Order size",
            f"{bar_volumes(costs.order_size)}, by the trailing mean when the order arrives.",
        ),
        (
            "Participation cap",
            f"At most {bar_volumes(costs.participation_cap)} in one bar, by the same mean: {binds}.",
        ),
    ]


def capacity_sentence(volumes: float, costs: CostsConfig, horizon: int) -> str:
    """At what size the model's mean gain is gone, and what comes before that."""
    most = costs.participation_cap * horizon
    if volumes == 0:
        return "Fee and spread alone take the whole gain, at any order size."
    if math.isinf(volumes):
        return "Without impact the gain does not depend on the order size."
    if volumes < costs.order_size:
        return f"The gain is gone: it is zero at orders of {bar_volumes(volumes)}, smaller than those assumed."
    said = f"The gain would be gone at orders of {bar_volumes(volumes)}"
    if volumes > most:
        said += f"; the cap lets no more than {size(most)} be traded in {horizon} bars, so it binds first"
    return said + "."
