"""A problem, as alerts know it: its universe, kind and subject, a sentence and a command.

Apart from what finds problems, which reads reports: whoever keeps or lists alerts imports nothing heavy.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

NIGHT, DEGRADED, DRIFT, AGE, QUARANTINE, DISK = "night", "degraded", "drift", "age", "quarantine", "disk"


@dataclass(frozen=True)
class Problem:
    """Something that is wrong.

    Args:
        universe: its name; empty for this machine.
        kind: one of `NIGHT`, `DEGRADED`, `DRIFT`, `AGE`, `QUARANTINE`, `DISK`.
        subject: which one of its kind, such as a date.
        sentence: what is wrong.
        command: what shows more, or repairs it.
    """

    universe: str
    kind: str
    subject: str
    sentence: str
    command: str


@dataclass(frozen=True)
class Findings:
    """What a look has found.

    Args:
        problems: that there are.
        lasting: whether a problem of this subject that was found earlier, and not by this look, is not over yet.
    """

    problems: list[Problem]
    lasting: Callable[[str], bool] = lambda subject: False
