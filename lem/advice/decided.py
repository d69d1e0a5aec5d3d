"""What a decision of a bar writes."""

from __future__ import annotations

from dataclasses import dataclass, field

from lem.advice.order import OrderResult
from lem.advice.records import ArrivalRecord, SliceRecord


@dataclass(frozen=True)
class Decided:
    """What a decision writes.

    Args:
        slices: new ones.
        relaid: slices of a gap, with their ledgers as they are known by now.
        begun: arrivals of orders that begin, by id.
        ended: results of those that end, by id.
    """

    slices: list[SliceRecord] = field(default_factory=list)
    relaid: list[SliceRecord] = field(default_factory=list)
    begun: dict[str, ArrivalRecord] = field(default_factory=dict)
    ended: dict[str, OrderResult] = field(default_factory=dict)

    def extend(self, other: Decided) -> None:
        """Add what another decision writes."""
        self.slices.extend(other.slices)
        self.relaid.extend(other.relaid)
        self.begun.update(other.begun)
        self.ended.update(other.ended)
