"""live_orders in the catalogue: a day's live orders as a table, made of what the desk did, for whoever asks for a day.

It is no stage: no night and no automation makes it, since the fills of a day may be told days later. The orders lie in
the registry; a partition records what they had come to when it was made.
"""

# No `from __future__ import annotations` here: Dagster reads the annotations of its functions as objects.

import hashlib
from typing import Any

import dagster as dg

from assets.catalogue import column_schema, describe, figure
from assets.graph import OWNER, UniverseGraph
from assets.recording import Wrote, record, recorded
from lem.dictionary.entries import dictionary
from lem.lineage.keys import parse_keys
from lem.sources.limits import CLOCK
from resources.stores import LakeResource, RegistryResource, SourceResource

NAME = "live_orders"
VERSION = "1"
"""Raised when the same orders give another table."""
_SENTENCE = (
    "Live orders of a day that `lem advise` and `lem serve` worked on, by the champion of that day: those whose first "
    "bar lies on it (UTC), with their reports. Made when it is asked for; make it again after late fills."
)


def live_orders_of(graph: UniverseGraph) -> dg.AssetsDefinition:
    """The asset of a universe's live orders, a partition a day up to today.

    Args:
        graph: of the universe.
    """
    universe, entry = graph.universe, dictionary()["advised_orders"]

    @dg.asset(
        key=graph.key(NAME),
        deps=[graph.key("champion")],
        partitions_def=graph.partitions_of("champion"),
        backfill_policy=dg.BackfillPolicy.single_run(),
        code_version=VERSION,
        description=describe(entry, _SENTENCE, universe.description),
        group_name=universe.name,
        owners=[OWNER],
        kinds={"python", "sqlalchemy"},
        metadata={"dagster/column_schema": column_schema(entry), "lies at": entry.place},
    )
    @graph.body
    def asset(  # type: ignore[no-untyped-def]
        context: dg.AssetExecutionContext, lake: LakeResource, registry: RegistryResource, source: SourceResource
    ):
        # Here, as few processes need them.
        from lem.advice.report_page import as_json
        from lem.advice.reporting import Reporting
        from lem.advice.store import AdviceStore

        reporting = Reporting(universe, lake.open(), AdviceStore(registry.location()), source.open(universe))
        with recorded(context) as wrote:
            for date in [key.date for key in parse_keys(context.partition_keys)]:
                day = reporting.day(date, CLOCK.now())
                version = hashlib.sha256(as_json(day).encode()).hexdigest()
                wrote[str(date)] = Wrote(version, figures_of(day))
        yield from record(context, wrote)

    return asset


def figures_of(day: Any) -> dict[str, Any]:
    """What the UI shows of a day.

    Args:
        day: `lem.advice.reporting.DayReport`.
    """
    from lem.advice.report_page import day_grid

    grid = day_grid(day)
    columns = [dg.TableColumn(name, "string") for name in grid.head]
    rows = [dg.TableRecord(dict(zip(grid.head, row, strict=True))) for row in grid.rows]
    executions = [line.report.execution for line in day.orders if line.report and line.report.execution]
    gains = [execution.gain_bps for execution in executions if execution.gain_bps is not None]
    figures: dict[str, Any] = {
        "orders": len(day.orders),
        "orders without a report": sum(line.report is None for line in day.orders),
        "day": dg.MetadataValue.table(rows, dg.TableSchema(columns)),
        "as a page": dg.MetadataValue.md(f"`lem advise report -u {day.universe} --date {day.date} --save PAGE.html`"),
    }
    return figures | ({"gain_bps": figure(sum(gains) / len(gains))} if gains else {})
