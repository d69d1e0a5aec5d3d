"""live_orders in the catalogue: a partition is a day's orders with what they came to, made when it is asked for."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import dagster as dg
import pytest

from assets.graph import UniverseGraph
from assets.live_orders import live_orders_of
from lem.advice.fills import FillNews
from lem_pipeline.build import build
from resources.stores import LakeResource, RegistryResource, SourceResource
from tests.lem.advice.desk import HOURLY, NOON, StoppedClock, buy, make_desk

DAY, HOUR = "2024-01-18", dt.timedelta(hours=1)


@pytest.fixture
def desk(tmp_path, make_universe, tiny_keys):
    """A desk whose order `one` had 4 bars of DAY, `two` was cancelled, and `three` began on the day after."""
    desk = make_desk(tmp_path, make_universe(**tiny_keys(**HOURLY)))
    clock = StoppedClock(NOON)
    advisor = desk.advisor(clock)
    advisor.submit(buy(desk.universe, "one", min_bars=4, max_bars=4))
    advisor.submit(buy(desk.universe, "two"))
    for hour in range(5):
        clock.set(NOON + hour * HOUR)
        advisor.advise()
        if hour == 0:
            advisor.cancel("two")
    advisor.submit(buy(desk.universe, "three", start=NOON + dt.timedelta(days=1)))
    return desk


@pytest.fixture
def defs(desk):
    asset = live_orders_of(UniverseGraph.of(desk.universe))
    resources = {
        "lake": LakeResource(root=str(desk.folder / "home" / "lake")),
        "registry": RegistryResource(url=desk.url),
        "source": SourceResource(),
    }
    job = dg.define_asset_job("make", selection=[asset])
    return dg.Definitions(assets=[asset], jobs=[job], resources=resources, executor=dg.in_process_executor)


def make(defs, instance, first: str, last: str | None = None) -> dict[str, tuple[str, dict]]:
    """Make days. Returns data version and figures of each, as the UI shows them."""
    job = defs.resolve_job_def("make")
    key = dg.AssetKey(["tiny", "live_orders"])
    ends = ("dagster/asset_partition_range_start", "dagster/asset_partition_range_end")
    how = {"partition_key": first} if last is None else {"tags": dict(zip(ends, (first, last), strict=True))}
    assert job.execute_in_process(instance=instance, **how).success
    out = {}
    for record in reversed(instance.fetch_materializations(key, limit=100).records):
        event = record.asset_materialization
        out[event.partition] = event.tags["dagster/data_version"], event.metadata
    return out


def test_a_day_shows_its_orders_with_what_they_came_to(desk, defs):
    with dg.instance_for_test() as instance:
        _, figures = make(defs, instance, DAY)[DAY]
    rows = [record.data for record in figures["day"].records]
    assert [(row["Order"], row["Status"]) for row in rows] == [("one", "finished"), ("two", "cancelled")]
    assert all(row["Net gain"] for row in rows)
    assert (figures["orders"].value, figures["orders without a report"].value) == (2, 0)
    own = [desk.advisor(StoppedClock(NOON + 12 * HOUR)).report(key).execution.gain_bps for key in ("one", "two")]
    assert figures["gain_bps"].value == pytest.approx(sum(own) / 2, abs=1e-4)


def test_a_fill_that_is_told_late_changes_the_day_once_it_is_made_again_and_nothing_else_does(desk, defs):
    with dg.instance_for_test() as instance:
        first = make(defs, instance, DAY)[DAY][0]
        assert make(defs, instance, DAY)[DAY][0] == first
        advisor = desk.advisor(StoppedClock(NOON + 8 * HOUR))
        advisor.fill("one", FillNews("t-1", Decimal("0.5"), Decimal(90), bar=NOON))
        assert make(defs, instance, DAY)[DAY][0] != first


def test_old_days_are_made_as_a_backfill_each_with_its_own_orders(defs):
    with dg.instance_for_test() as instance:
        made = make(defs, instance, "2024-01-17", "2024-01-19")
    assert {day: figures["orders"].value for day, (_, figures) in made.items() if day} == {
        "2024-01-17": 0,
        DAY: 2,
        "2024-01-19": 1,
    }
    assert "three" in str(made["2024-01-19"][1]["day"].records[0].data["Order"])
    assert made["2024-01-19"][1]["orders without a report"].value == 1
    assert made[DAY][0] != made["2024-01-17"][0]


def test_it_stands_below_the_champion_of_the_same_day_and_no_night_or_automation_makes_it(desk):
    graph = build([desk.universe]).get_repository_def().asset_graph
    key, champion = dg.AssetKey(["tiny", "live_orders"]), dg.AssetKey(["tiny", "champion"])
    node = graph.get(key)
    assert (node.parent_keys, node.is_materializable, node.automation_condition) == ({champion}, True, None)
    assert node.partitions_def == graph.get(champion).partitions_def
    assert {column.name for column in node.metadata["dagster/column_schema"].columns} > {"id", "status", "fallback"}
    assert "Live orders" in node.description
