"""live_orders in the catalogue: it says what it is, and an observation shows the desk's orders."""

from __future__ import annotations

import dagster as dg

from assets.graph import UniverseGraph
from assets.live_orders import live_orders_of
from resources.stores import RegistryResource
from tests.lem.advice.desk import HOURLY, NOON, StoppedClock, buy, make_desk


def test_an_observation_shows_the_orders_and_changes_with_what_is_done(tmp_path, make_universe, tiny_keys):
    desk = make_desk(tmp_path, make_universe(**tiny_keys(**HOURLY)))
    advisor = desk.advisor(StoppedClock(NOON))
    advisor.submit(buy(desk.universe, "one"))
    advisor.submit(buy(desk.universe, "two"))
    asset = live_orders_of(UniverseGraph.of(desk.universe))
    job = dg.define_asset_job("look", selection=[asset])
    resources = {"registry": RegistryResource(url=desk.url)}
    look = dg.Definitions(assets=[asset], jobs=[job], resources=resources).resolve_job_def("look")

    def observed() -> tuple[str, dict[str, dg.MetadataValue]]:
        with dg.instance_for_test() as instance:
            assert look.execute_in_process(instance=instance).success
            event = instance.fetch_observations(asset.key, limit=1).records[0].asset_observation
        return event.data_version, event.metadata

    first, figures = observed()
    rows = [record.data for record in figures["newest orders"].records]
    assert (figures["open orders"].value, [row["id"] for row in rows]) == (2, ["one", "two"])
    advisor.cancel("two")
    second, figures = observed()
    assert (figures["open orders"].value, first != second) == (1, True)
    spec = next(iter(asset.specs))
    assert (spec.group_name, spec.owners, next(iter(spec.deps)).asset_key) == (
        "tiny",
        ["team:execution"],
        dg.AssetKey(["tiny", "champion"]),
    )
    assert "Live orders" in spec.description
    assert {column.name for column in spec.metadata["dagster/column_schema"].columns} > {"id", "status", "fallback"}
