"""Steps of a plan, written as people read them."""

from __future__ import annotations

from lem.lineage.keys import PartitionKey
from lem_pipeline.planning.steps import Step


def run_of(tables: tuple[str, ...], first: str, last: str = "") -> Step:
    """`run_of(("bars",), "AAA-USD|2024-01-01", "BBB-USD|2024-01-10")`."""
    return Step(tables, PartitionKey.parse(first), PartitionKey.parse(last or first))
