"""What paired differences allow to say, all those of a table together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lem.backtest.bootstrap import Interval
from lem.backtest.comparisons import LEVEL, holm
from lem.reports.wording import NO_BREAK

BETTER, WORSE, UNCLEAR, TOO_FEW = "better", "worse", "not distinguishable", "too few days to say"


def row_interval(row: Mapping[Any, Any], name: str = "") -> Interval:
    """The interval of a row of `full_table`; with `name` "worth_" that of what its gains are worth."""
    mean, low, high = (row[f"{name}{end}_bps"] for end in ("mean", "low", "high"))
    return Interval(mean, low, high, int(row["orders"]), int(row["blocks"]))


def verdict(interval: Interval, p_value: float) -> str:
    """What a paired difference allows to say: better, worse, not distinguishable, or too few days to say.

    Args:
        interval: of the difference alone.
        p_value: of the difference, adjusted for all that are made with it.
    """
    if not interval.known:
        return TOO_FEW
    if p_value < LEVEL and interval.low > 0:
        return BETTER
    return WORSE if p_value < LEVEL and interval.high < 0 else UNCLEAR


def verdicts(differences: Sequence[tuple[Interval, float]]) -> list[str]:
    """What differences allow to say that are shown together.

    If none of them is real, the chance that even one is called better or worse is 5 % at most (Holm).

    Args:
        differences: the interval and the p-value of each, alone.
    """
    adjusted = holm([p_value for _, p_value in differences])
    return [verdict(interval, p) for (interval, _), p in zip(differences, adjusted, strict=True)]


def row_verdicts(rows: Sequence[Mapping[Any, Any]]) -> list[str]:
    """What the rows of differences of a `full_table` allow to say that are shown together."""
    return verdicts([(row_interval(row), row["p_value"]) for row in rows])


def together(compared: int) -> str:
    """How many comparisons the verdicts of a table hold for, for its caption; empty where it says nothing."""
    if compared == 0:
        return ""
    if compared == 1:
        return ". One comparison"
    return f". “Better” and “worse” hold for all {compared} comparisons of the table together (Holm, 5{NO_BREAK}%)"
