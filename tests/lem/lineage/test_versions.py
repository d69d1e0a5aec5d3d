"""What was made from something else than is there now is found out of date, from the lake alone."""

from __future__ import annotations

import datetime as dt
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from lem.data.bars import TABLE_SCHEMA
from lem.lake import Lake
from lem.lineage.keys import PartitionKey
from lem.lineage.revisions import store_raw
from lem.lineage.stages import stage_named
from lem.lineage.staleness import model_is_stale, report_is_stale, stale_decisions
from lem.lineage.versions import Versioned, inputs_of, made_with, traded_by
from lem.registry import Registry
from lem.universe.windows import execution_dates, gate_dates, history_dates

DATE = dt.date(2024, 1, 12)
KEY = ("AAA-USD", DATE)
START = dt.datetime(2024, 1, 12, tzinfo=dt.UTC)


def day(number):
    return dt.date(2024, 1, number)


@pytest.fixture
def tiny(tiny_home, tmp_path):
    """A copy of the tiny universe's lake, its registry, and its universe."""
    shutil.copytree(tiny_home.folder / "home", tmp_path, dirs_exist_ok=True)
    lake, registry = Lake(str(tmp_path / "lake")), Registry(f"sqlite:///{tmp_path}/registry.sqlite")
    return lake, registry, tiny_home.universe


def revise(lake, universe, asset, date):
    """Store other raw bars; returns the version that they replace."""
    path = lake.path(universe, "raw_bars", date, asset)
    table = lake.read_table(path)
    return store_raw(lake, universe, date, asset, table.assign(source="revised"))[1]


def test_every_partition_names_what_the_graph_says_it_is_made_from(make_universe, tiny_keys):
    universe = make_universe(**tiny_keys())

    def reads(table, asset):
        found = inputs_of(universe, stage_named(table), PartitionKey(asset, DATE))
        return [(partition.table, partition.key.date, partition.key.asset) for partition in found]

    assert reads("raw_bars", "AAA-USD") == []
    assert reads("bars", "AAA-USD") == [("raw_bars", DATE, "AAA-USD")]
    history = [*history_dates(universe, DATE), DATE]
    assert reads("features", "AAA-USD") == [("bars", date, "AAA-USD") for date in history]
    assert reads("panel", None) == [("features", DATE, asset) for asset in ("AAA-USD", "BBB-USD")]
    days = [("features", date, "BBB-USD") for date in execution_dates(universe, DATE)]
    assert reads("backtest", "BBB-USD") == days


PAGE = {"report_days": 2, "bootstrap": 100}
"""Keys of `[backtest]` in the tiny universe that change no backtest."""


def stale(tiny, universe=None):
    """Keys of all that is out of date in the tiny universe, by table, or what would be with another universe file."""
    lake, registry, universe = *tiny[:2], universe or tiny[2]
    versioned, dates = Versioned(lake, universe), [day(n) for n in range(1, 32)]
    traded = {date: traded_by(one.id if (one := registry.champion_on("tiny", date)) else None) for date in dates}
    found = {t: versioned.stale(t, dates, traded if t == "backtest" else None) for t in ("bars", "features", "panel")}
    found["backtest"] = versioned.stale("backtest", dates, traded)
    out = {table: sorted(str(key) for keys in found[table].values() for key in keys) for table in found}
    out["models"] = [str(m.usable_on) for m in registry.models("tiny") if model_is_stale(versioned, universe, m)]
    decisions = [str(date) for date in stale_decisions(Versioned(lake, universe), registry, universe)]
    out |= {"decisions": decisions, "report": report_is_stale(lake, versioned, universe, day(18))}
    return {table: keys for table, keys in out.items() if keys}


def test_nothing_is_out_of_date_in_what_was_just_made(tiny):
    assert stale(tiny) == {}


@pytest.mark.parametrize(
    ("changed", "tables"),
    [
        (
            {"features": {"volatility": 10, "short_volatility": 3, "volume": 12, "seasons": 2}},
            {"features", "models", "decisions"},
        ),
        ({"costs": {"fee_bps": 2.0}}, {"backtest"}),
        ({"backtest": {"min_bars": [2, 3], **PAGE}}, {"backtest"}),
        ({"horizon": 2, "backtest": {"min_bars": [1], **PAGE}}, {"backtest", "models", "decisions"}),
        ({"gate": {"tail_tolerance": 0.2}, "description": "The same, later", "end": "2024-03-31"}, set()),
        ({"drift": {"psi": 0.5}}, {"report"}),
        ({"backtest": {"min_bars": [1, 3], **PAGE, "bootstrap": 200}}, {"report"}),
    ],
    ids=["features", "costs", "m", "horizon", "what makes no table", "drift", "bootstrap"],
)
def test_what_was_made_with_other_settings_is_out_of_date(tiny, changed, tables, make_universe, tiny_keys):
    assert set(stale(tiny, make_universe(**tiny_keys(**changed)))) == tables


def test_revised_raw_bars_leave_the_bars_of_their_day_out_of_date_and_nothing_else_yet(tiny):
    lake, _, _ = tiny
    assert revise(lake, "tiny", *KEY)
    assert stale(tiny) == {"bars": ["AAA-USD|2024-01-12"]}


def test_other_bars_leave_the_features_out_of_date_whose_history_they_are(tiny):
    lake, _, universe = tiny
    path = lake.path("tiny", "bars", DATE, "AAA-USD")
    inputs = {"raw_bars/AAA-USD|2024-01-12": lake.versions(lake.path("tiny", "raw_bars", DATE, "AAA-USD")).data}
    inputs |= made_with(universe, stage_named("bars"))
    bars = lake.read_table(path)
    lake.write_table(path, bars.assign(volume=bars["volume"] * 2), TABLE_SCHEMA, inputs)
    reads = [n for n in range(9, 20) if DATE in (day(n), *history_dates(universe, day(n)))]
    assert stale(tiny) == {"features": [f"AAA-USD|2024-01-{n}" for n in reads]}
    assert reads[0] == 12
    assert len(reads) > 1


@pytest.mark.parametrize("number", [9, 12, 16, 17])
def test_another_panel_leaves_models_and_decisions_out_of_date_that_read_it(tiny, number):
    lake, registry, universe = tiny
    path = lake.path("tiny", "panel", day(number))
    inputs = {
        f"features/{asset}|2024-01-{number:02}": lake.versions(lake.path("tiny", "features", day(number), asset)).data
        for asset in universe.symbols
    }
    inputs |= made_with(universe, stage_named("panel"))
    panel = lake.read_table(path)
    lake.write_table(path, panel.iloc[::-1], pq.read_schema(Path(lake.root) / path).remove_metadata(), inputs)
    trained = [m for m in registry.models("tiny") if f"2024-01-{number:02}" in {i.partition_key for i in m.inputs}]
    judged = {p.date for p in registry.promotions("tiny") if day(number) in gate_dates(universe, p.date)}
    judged |= {model.usable_on for model in trained}
    expected = {"models": [str(m.usable_on) for m in trained], "decisions": [str(date) for date in sorted(judged)]}
    assert stale(tiny) == {table: keys for table, keys in expected.items() if keys}


def test_a_partition_without_a_record_of_its_inputs_is_out_of_date(tiny):
    lake, _, _ = tiny
    path = lake.path("tiny", "bars", DATE, "AAA-USD")
    lake.write_table(path, lake.read_table(path), TABLE_SCHEMA)
    assert stale(tiny) == {"bars": ["AAA-USD|2024-01-12"]}


def test_a_partition_that_lacks_an_input_is_not_judged(tiny):
    lake, _, _ = tiny
    lake.remove(lake.path("tiny", "raw_bars", DATE, "AAA-USD"))
    assert stale(tiny) == {}


def test_another_champion_leaves_its_backtests_and_another_backtest_the_report_out_of_date(tiny):
    lake, _, universe = tiny
    versioned, dates = Versioned(lake, universe), [day(17), day(18)]
    found = versioned.stale("backtest", dates, {day(17): {"champion": "other"}, day(18): {"champion": "other"}})
    assert found == {date: [PartitionKey(asset, date) for asset in universe.symbols] for date in dates}
    path = lake.path("tiny", "backtest", day(17), "AAA-USD")
    schema = pq.read_schema(Path(lake.root) / path).remove_metadata()
    lake.write_table(path, lake.read_table(path).iloc[1:], schema)
    assert report_is_stale(lake, Versioned(lake, universe), universe, day(18))
