"""What is said of a column in words: its meaning, unit and nulls."""

from __future__ import annotations

from dataclasses import dataclass

NEVER = "never"


@dataclass(frozen=True)
class Words:
    """What a column means. unit: empty for text and pure numbers. null: when there is no value. allowed: what the
    schema does not say of the values."""

    meaning: str
    unit: str = ""
    null: str = NEVER
    allowed: str = ""
