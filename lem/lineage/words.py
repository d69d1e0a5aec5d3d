"""A column in words: its meaning, unit and nulls."""

from __future__ import annotations

from dataclasses import dataclass

NEVER = "never"


@dataclass(frozen=True)
class Words:
    """What a column means.

    Args:
        meaning: in words.
        unit: empty for text and pure numbers.
        null: when there is no value.
        allowed: rules on the values, beyond those of the schema.
    """

    meaning: str
    unit: str = ""
    null: str = NEVER
    allowed: str = ""
