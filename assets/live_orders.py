"""live_orders in the catalogue: what a desk does beside the pipeline, observed and not made by it."""

# No `from __future__ import annotations` here: Dagster reads the annotations of its functions as objects.

from typing import Any

import dagster as dg

from assets.catalogue import column_schema, describe
from assets.failing import told
from assets.graph import OWNER, UniverseGraph
from assets.resource_names import prefixed
from lem.dictionary.entries import dictionary
from resources.stores import RegistryResource

NAME = "live_orders"
MOST_ORDERS = 100
"""Orders that an observation shows, the newest first."""
_SENTENCE = "Live orders that `lem advise` and `lem serve` work on, by the champion of the day on which each arrived."
_COLUMNS = ("id", "asset", "side", "size", "filled", "left", "status", "gain_bps")


def live_orders_of(graph: UniverseGraph) -> dg.AssetsDefinition:
    """The asset of a universe's live orders. It is observed: whoever trades makes it.

    Args:
        graph: of the universe.
    """
    universe, entry = graph.universe, dictionary()["advised_orders"]
    spec = dg.AssetSpec(
        graph.key(NAME),
        deps=[graph.key("champion")],
        description=describe(entry, _SENTENCE, universe.description),
        group_name=universe.name,
        owners=[OWNER],
        kinds={"python", "sqlalchemy"},
        metadata={"dagster/column_schema": column_schema(entry), "lies at": entry.place},
    )

    def observe(context: dg.AssetExecutionContext, registry: RegistryResource):  # type: ignore[no-untyped-def]
        from lem.advice.store import AdviceStore  # here, as few processes need it

        store = AdviceStore(registry.location())
        return dg.ObserveResult(
            asset_key=graph.key(NAME),
            data_version=dg.DataVersion(str(store.audit.newest())),
            metadata=figures_of(store, universe.name),
        )

    made: dg.AssetsDefinition = dg.multi_observable_source_asset(name=f"{universe.name}__{NAME}", specs=[spec])(
        prefixed(told(observe), graph.prefix)
    )
    return made


def figures_of(store: Any, universe: str) -> dict[str, Any]:
    """What the UI shows of an observation.

    Args:
        store: `lem.advice.store.AdviceStore`.
        universe: its name.
    """
    from lem.advice.listing import Listing

    states = store.page(universe, Listing(limit=MOST_ORDERS)).states
    rows = [
        {
            "id": state.order.id,
            "asset": state.order.asset,
            "side": str(state.order.order.scenario.side),
            "size": f"{state.order.size:.8g}",
            "filled": f"{state.filled:f}",
            "left": f"{state.left:f}",
            "status": state.status,
            "gain_bps": "" if state.result is None else f"{state.result.gain_bps:+.1f}",
        }
        for state in states
    ]
    return {
        "open orders": len(store.booked(universe)),
        "newest orders": dg.MetadataValue.table(
            [dg.TableRecord(row) for row in rows], dg.TableSchema([dg.TableColumn(name, "string") for name in _COLUMNS])
        ),
        "reports": dg.MetadataValue.md(f"`lem advise report -u {universe} --date DATE`"),
    }
