"""Which partitions a partition needs, asked of Dagster itself: nothing is executed."""

from __future__ import annotations

import datetime as dt

import dagster as dg
import pandas as pd
import pytest
from dagster._core.definitions.partitions.context import partition_loading_context

from assets.factory import graph_of
from assets.partitions import Partitions
from lem.lineage.keys import PartitionKey, parse_keys
from lem.lineage.stages import stage_named
from lem.universe.calendars import partition_dates
from lem.universe.windows import execution_dates, forward_days, history_dates, training_window, warmup_days
from lem_pipeline.planning.dates import latest_report_date
from resources.stores import LakeResource, RegistryResource, SourceResource

NOW = dt.datetime(2024, 2, 10, 12, tzinfo=dt.UTC)
XNYS = {
    "calendar": "XNYS",
    "bar": "1d",
    "end": "2024-03-29",
    "source": {"kind": "files", "url": "{data}/{symbol}.csv"},
    "training": {"window_days": 20, "holdout_days": 5, "sequence": 12},
}


LONG = {"window_days": 8, "holdout_days": 2, "steps": 3, "batch": 2, "sequence": 24}


@pytest.fixture
def graph(make_universe, tiny_keys):
    """`graph(**keys)`: a tiny universe, and a function (table, key, upstream table) -> keys that it needs, sorted."""

    instance = dg.DagsterInstance.ephemeral()

    def make(**overrides):
        universe = make_universe(**tiny_keys(**overrides))
        resources = {"lake": LakeResource(), "registry": RegistryResource(), "source": SourceResource()}
        defs = dg.Definitions.merge(graph_of(universe), dg.Definitions(resources=resources))
        assets = defs.get_repository_def().asset_graph

        def needs(table, key, upstream):
            child, parent = (assets.get(dg.AssetKey([universe.name, name])) for name in (table, upstream))
            mapping = assets.get_partition_mapping(child.key, parent.key)
            with partition_loading_context(NOW, instance):
                subset = child.partitions_def.subset_with_partition_keys([key])
                result = mapping.get_upstream_mapped_partitions_result_for_partitions(
                    subset, child.partitions_def, parent.partitions_def, NOW, instance
                )
                assert not result.required_but_nonexistent_partition_keys
                return sorted(map(str, result.partitions_subset.get_partition_keys()))

        return universe, needs

    return make


def days(first, last, asset=None):
    first, last = dt.date.fromisoformat(first), dt.date.fromisoformat(last)
    dates = [first + dt.timedelta(days=n) for n in range((last - first).days + 1)]
    return [f"{asset}|{date}" if asset else f"{date}" for date in dates]


def test_bars_need_the_raw_bars_of_the_same_asset_and_date(graph):
    _, needs = graph()
    assert needs("bars", "AAA-USD|2024-01-10", "raw_bars") == ["AAA-USD|2024-01-10"]


def test_features_need_the_same_assets_bars_of_the_day_and_its_history(graph):
    universe, needs = graph()
    expected = days("2024-01-05", "2024-01-10", "AAA-USD")
    assert needs("features", "AAA-USD|2024-01-10", "bars") == expected
    read = [*history_dates(universe, dt.date(2024, 1, 10)), dt.date(2024, 1, 10)]
    assert [f"AAA-USD|{date}" for date in read] == expected


def test_features_of_the_first_days_need_no_bars_from_before_the_universe(graph):
    _, needs = graph()
    assert needs("features", "BBB-USD|2024-01-02", "bars") == days("2024-01-01", "2024-01-02", "BBB-USD")


def test_a_panel_needs_all_assets_of_its_date_and_no_other(graph):
    _, needs = graph()
    assert needs("panel", "2024-01-10", "features") == ["AAA-USD|2024-01-10", "BBB-USD|2024-01-10"]


def test_a_model_needs_the_panels_of_its_window_and_never_its_own_date(graph):
    universe, needs = graph()
    assert needs("lem_model", "2024-01-18", "panel") == days("2024-01-10", "2024-01-17")
    assert training_window(universe, dt.date(2024, 1, 18)).start == dt.date(2024, 1, 10)


def test_a_champion_needs_its_dates_model_the_champion_before_and_panels_of_earlier_days(graph):
    _, needs = graph()
    assert needs("champion", "2024-01-18", "lem_model") == ["2024-01-18"]
    assert needs("champion", "2024-01-18", "champion") == ["2024-01-17"]
    panels = days("2024-01-14", "2024-01-17")  # the gate's days, and the warm-up before them
    assert needs("champion", "2024-01-18", "panel") == panels


def test_the_first_champion_needs_no_champion_before_it(graph):
    _, needs = graph()
    assert needs("champion", "2024-01-01", "champion") == []


def test_a_backtest_needs_the_same_assets_features_from_the_warm_up_to_the_end_of_the_last_order(graph):
    universe, needs = graph()
    assert (warmup_days(universe), forward_days(universe)) == (2, 1)
    expected = days("2024-01-16", "2024-01-19", "BBB-USD")
    assert needs("backtest", "BBB-USD|2024-01-18", "features") == expected
    assert [f"BBB-USD|{date}" for date in execution_dates(universe, dt.date(2024, 1, 18))] == expected


def test_a_backtest_of_long_orders_needs_features_of_several_following_days(graph):
    _, needs = graph(horizon=13, backtest={"min_bars": [1]}, training={"window_days": 20, "sequence": 24})
    assert needs("backtest", "AAA-USD|2024-01-18", "features")[-1] == "AAA-USD|2024-01-21"


def test_a_backtest_needs_the_champion_of_its_own_date(graph):
    _, needs = graph()
    assert needs("backtest", "AAA-USD|2024-01-18", "champion") == ["2024-01-18"]


def test_a_report_needs_every_assets_backtest_and_the_champion_of_its_date(graph):
    _, needs = graph()
    assert needs("execution_report", "2024-01-18", "backtest") == ["AAA-USD|2024-01-18", "BBB-USD|2024-01-18"]
    assert needs("execution_report", "2024-01-18", "champion") == ["2024-01-18"]


def test_offsets_of_an_equity_universe_skip_weekends_and_count_holidays(graph):
    universe, needs = graph(**XNYS)
    # Monday the 15th of January 2024 is a holiday, and a partition without rows.
    window = [str(stamp.date()) for stamp in pd.bdate_range(end="2024-02-05", periods=20)]
    assert "2024-01-15" in window
    assert needs("lem_model", "2024-02-06", "panel") == window
    assert str(training_window(universe, dt.date(2024, 2, 6)).start) == window[0]
    assert needs("champion", "2024-01-15", "champion") == ["2024-01-12"]
    assert needs("backtest", "AAA-USD|2024-01-12", "features")[-1] == f"AAA-USD|{dt.date(2024, 1, 12 + 11)}"
    read = [f"AAA-USD|{date}" for date in execution_dates(universe, dt.date(2024, 1, 12))]
    assert needs("backtest", "AAA-USD|2024-01-12", "features") == read


@pytest.mark.parametrize("keys", [{}, XNYS], ids=["24/7", "XNYS"])
def test_dagster_and_the_library_have_the_same_partition_dates(keys, make_universe, tiny_keys):
    universe = make_universe(**tiny_keys(**keys))
    expected = partition_dates(universe, universe.start, universe.end)
    assert Partitions(universe).of(stage_named("panel")).get_partition_keys() == list(map(str, expected))


@pytest.mark.parametrize(
    ("keys", "now", "last"),
    [
        ({}, NOW, "2024-02-01"),
        ({"end": None}, NOW, "2024-02-10"),
        ({"end": "2024-12-31"}, NOW, "2024-02-10"),
        ({**XNYS, "end": "2024-02-01"}, NOW, "2024-02-02"),
        ({**XNYS, "end": "2024-01-05"}, NOW, "2024-01-08"),
        ({**XNYS, "end": None}, NOW - dt.timedelta(days=1), "2024-02-09"),
        ({**XNYS, "end": None}, NOW, "2024-02-12"),
        ({**XNYS, "end": None}, NOW + dt.timedelta(days=1), "2024-02-12"),
        ({**XNYS, "end": None}, NOW + dt.timedelta(days=2), "2024-02-12"),
    ],
    ids=[
        "end",
        "no end",
        "later end",
        "end on a Thursday",
        "end on a Friday",
        "Friday",
        "Saturday",
        "Sunday",
        "Monday",
    ],
)
def test_models_have_one_date_more_than_the_data_so_that_the_model_for_today_exists(
    keys, now, last, make_universe, tiny_keys
):
    parts = Partitions(make_universe(**tiny_keys(**keys)))
    data = parts.of(stage_named("panel")).get_partition_keys(current_time=now)
    models = parts.of(stage_named("lem_model")).get_partition_keys(current_time=now)
    assert models == [*data, last]


@pytest.mark.parametrize(
    ("keys", "now"),
    [
        ({}, NOW),
        ({"end": "2024-12-31"}, NOW),
        ({"end": None}, NOW),
        (XNYS, NOW),
        ({**XNYS, "end": None}, NOW),
        ({"horizon": 13, "training": LONG}, NOW),
    ],
    ids=["end", "later end", "no end", "XNYS, later end", "XNYS, no end", "orders of three days"],
)
def test_backtests_and_reports_have_partitions_up_to_the_last_date_whose_orders_have_ended(
    keys, now, make_universe, tiny_keys
):
    universe = make_universe(**tiny_keys(**keys))
    parts, latest = Partitions(universe), str(latest_report_date(universe, now.date()))
    assert parts.of(stage_named("execution_report")).get_partition_keys(current_time=now)[-1] == latest
    of_assets = parse_keys(parts.of(stage_named("backtest")).get_partition_keys(current_time=now))
    assert {str(key.date) for key in of_assets if str(key.date) >= latest} == {latest}
    assert {key.symbol for key in of_assets} == set(universe.symbols)


def test_a_universe_of_one_asset_has_the_same_mappings(graph):
    _, needs = graph(assets={"ONLY-USD": {}})
    assert needs("panel", "2024-01-10", "features") == ["ONLY-USD|2024-01-10"]
    assert needs("features", "ONLY-USD|2024-01-10", "bars") == days("2024-01-05", "2024-01-10", "ONLY-USD")
    assert needs("backtest", "ONLY-USD|2024-01-18", "champion") == ["2024-01-18"]


def test_keys_are_parsed_and_sorted_whatever_order_they_come_in():
    texts = {"ETH-USD|2024-01-02", "BTC-USD|2024-01-10", "BTC-USD|2024-01-09", "BRK.B|2024-01-10"}
    keys = parse_keys(texts)
    assert [str(key) for key in keys] == sorted(texts)
    assert keys[0] == PartitionKey("BRK.B", dt.date(2024, 1, 10))
    assert [key.date for key in parse_keys({"2024-01-10", "2024-01-09"})] == [dt.date(2024, 1, 9), dt.date(2024, 1, 10)]


def test_dagster_spells_the_keys_of_asset_and_date_as_we_read_them(make_universe):
    keys = Partitions(make_universe()).of(stage_named("bars")).get_partition_keys()
    assert {str(key) for key in parse_keys(keys)} == set(keys)
    assert len(keys) == 2 * 31
