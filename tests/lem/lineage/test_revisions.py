"""Revised raw bars: what they replace is kept, and what was made from them is found out of date from the lake alone."""

from __future__ import annotations

import datetime as dt
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from lem.data.bars import TABLE_SCHEMA
from lem.errors import LakeError
from lem.lake import Lake, Versions, inputs_version
from lem.lineage.revisions import Versioned, inputs_of, named, settings_of, store_raw, superseded_path, traded_by
from lem.lineage.staleness import model_is_stale, report_is_stale, stale_decisions
from lem.registry import Registry
from lem.registry.records import InputVersion
from lem.sources.base import RAW_SCHEMA
from lem.sources.simulated import Simulated
from lem.universe.windows import execution_dates, gate_dates, history_dates

DATE = dt.date(2024, 1, 12)
KEY = ("AAA-USD", DATE)
START = dt.datetime(2024, 1, 12, tzinfo=dt.UTC)


def day(number):
    return dt.date(2024, 1, number)


@pytest.fixture(params=["local", "memory"])
def any_lake(request, tmp_path):
    return Lake(str(tmp_path / "lake") if request.param == "local" else f"memory://{tmp_path.name}")


@pytest.fixture(scope="module")
def raw(make_universe):
    return Simulated(make_universe()).fetch("AAA-USD", START, START + dt.timedelta(days=1)).table


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


def test_the_first_rows_of_a_partition_replace_nothing(any_lake, raw):
    written, old = store_raw(any_lake, "small", DATE, "AAA-USD", raw)
    assert old is None
    assert any_lake.read_versioned(written.path)[1] == written.data_version
    assert any_lake.names("small/superseded") == []


def test_the_same_rows_again_are_not_written(any_lake, raw, monkeypatch):
    first, _ = store_raw(any_lake, "small", DATE, "AAA-USD", raw)
    monkeypatch.setattr(any_lake, "write_bytes", lambda *_: pytest.fail("written"))
    assert store_raw(any_lake, "small", DATE, "AAA-USD", raw.copy()) == (first, None)


def test_rows_that_differ_replace_the_old_ones_which_are_kept_byte_for_byte(any_lake, raw):
    first, _ = store_raw(any_lake, "small", DATE, "AAA-USD", raw)
    data = any_lake.read_bytes(first.path)
    second, old = store_raw(any_lake, "small", DATE, "AAA-USD", raw.assign(volume=raw["volume"] * 2))
    assert (old, second.path) == (first.data_version, first.path)
    kept = superseded_path("small", DATE, "AAA-USD", first.data_version)
    assert kept == f"small/superseded/raw_bars/asset=AAA-USD/date=2024-01-12/sha256={first.data_version}.parquet"
    assert any_lake.read_bytes(kept) == data
    assert any_lake.read_versioned(second.path)[1] == second.data_version != first.data_version


def test_old_rows_are_copied_before_they_are_replaced(any_lake, raw, monkeypatch):
    first, _ = store_raw(any_lake, "small", DATE, "AAA-USD", raw)

    def full(*_):
        raise LakeError("the disk is full")

    monkeypatch.setattr(any_lake, "write_bytes", full)
    with pytest.raises(LakeError, match="disk is full"):
        store_raw(any_lake, "small", DATE, "AAA-USD", raw.iloc[1:])
    monkeypatch.undo()
    assert any_lake.read_versioned(first.path)[1] == first.data_version


@pytest.mark.parametrize("cut", [-50, 10])
def test_a_damaged_object_is_replaced_and_not_kept(any_lake, raw, cut):
    first, _ = store_raw(any_lake, "small", DATE, "AAA-USD", raw)
    any_lake.write_bytes(first.path, any_lake.read_bytes(first.path)[:cut])
    assert store_raw(any_lake, "small", DATE, "AAA-USD", raw) == (first, None)
    assert any_lake.read_versioned(first.path)[1] == first.data_version
    assert any_lake.names("small/superseded") == []


def test_an_object_whose_content_was_changed_under_its_old_hash_is_replaced(any_lake, raw, tmp_path):
    first, _ = store_raw(any_lake, "small", DATE, "AAA-USD", raw)
    forged = raw.assign(volume=1.0)
    path = tmp_path / "forged.parquet"
    table = pq.read_table(path_of(any_lake, first.path, tmp_path)).schema.metadata
    pq.write_table(_arrow(forged).replace_schema_metadata(table), path)
    any_lake.write_bytes(first.path, path.read_bytes())
    store_raw(any_lake, "small", DATE, "AAA-USD", raw)
    assert any_lake.read_versioned(first.path)[1] == first.data_version


def path_of(lake, path, folder):
    copy = folder / "copy.parquet"
    copy.write_bytes(lake.read_bytes(path))
    return copy


def _arrow(frame):
    import pyarrow

    return pyarrow.Table.from_pandas(frame, schema=RAW_SCHEMA, preserve_index=False)


def test_the_versions_of_an_object_are_read_from_its_footer(any_lake, raw):
    written = any_lake.write_table("t/a.parquet", raw, RAW_SCHEMA, {"x/1": "aa", "x/2": "bb"})
    plain = any_lake.write_table("t/b.parquet", raw, RAW_SCHEMA)
    assert written.data_version == plain.data_version
    any_lake.write_bytes("t/c.parquet", b"no parquet")
    versions = Versions(written.data_version, inputs_version({"x/2": "bb", "x/1": "aa"}))
    assert any_lake.versions("t/a.parquet") == versions
    assert any_lake.versions("t/b.parquet") == Versions(written.data_version, "")
    assert any_lake.versions("t/c.parquet") is None
    with pytest.raises(LakeError, match=r"there is no t/d\.parquet"):
        any_lake.versions("t/d.parquet")
    wanted = [f"t/{name}.parquet" for name in "abcd"]
    assert any_lake.versions_of(wanted) == {"t/a.parquet": versions, "t/b.parquet": any_lake.versions("t/b.parquet")}


def test_the_version_of_inputs_changes_with_each_name_and_version():
    base = {"x/1": "aa", "x/2": "bb"}
    others = [{"x/1": "aa"}, {"x/1": "bb", "x/2": "aa"}, {"x/1": "aa", "x/3": "bb"}, {**base, "y": ""}, {}]
    assert len({inputs_version(each) for each in (base, *others)}) == 6
    assert named([InputVersion("x", "2", "bb"), InputVersion("x", "1", "aa")]) == base


def test_an_object_is_removed_and_one_that_is_not_there_is_no_error(any_lake):
    any_lake.write_bytes("t/a.txt", b"x")
    for _ in range(2):
        any_lake.remove("t/a.txt")
        assert not any_lake.exists("t/a.txt")


def test_every_partition_names_what_the_graph_says_it_is_made_from(make_universe, tiny_keys):
    universe = make_universe(**tiny_keys())
    assert inputs_of(universe, "raw_bars", DATE, "AAA-USD") == []
    assert inputs_of(universe, "bars", DATE, "AAA-USD") == [("raw_bars", DATE, "AAA-USD")]
    history = [*history_dates(universe, DATE), DATE]
    assert inputs_of(universe, "features", DATE, "AAA-USD") == [("bars", date, "AAA-USD") for date in history]
    both = [("features", DATE, asset) for asset in ("AAA-USD", "BBB-USD")]
    assert inputs_of(universe, "panel", DATE, None) == both
    days = [("features", date, "BBB-USD") for date in execution_dates(universe, DATE)]
    assert inputs_of(universe, "backtest", DATE, "BBB-USD") == days


def stale(tiny, universe=None):
    """Keys of all that is out of date in the tiny universe, by table, or what would be with another universe file."""
    lake, registry, universe = *tiny[:2], universe or tiny[2]
    versioned, dates = Versioned(lake, universe), [day(n) for n in range(1, 32)]
    traded = {date: traded_by(registry.champion_on("tiny", date)) for date in dates}
    found = {t: versioned.stale(t, dates, traded if t == "backtest" else None) for t in ("bars", "features", "panel")}
    found["backtest"] = versioned.stale("backtest", dates, traded)
    out = {table: sorted(key for keys in found[table].values() for key in keys) for table in found}
    out["models"] = [str(m.usable_on) for m in registry.models("tiny") if model_is_stale(versioned, universe, m)]
    decisions = [str(date) for date in stale_decisions(lake, registry, universe)]
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
        ({"backtest": {"min_bars": [2, 3]}}, {"backtest"}),
        ({"horizon": 2, "backtest": {"min_bars": [1]}}, {"backtest", "models", "decisions"}),
        ({"gate": {"tail_tolerance": 0.2}, "description": "The same, later", "end": "2024-03-31"}, set()),
    ],
    ids=["features", "costs", "m", "horizon", "what makes no table"],
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
    inputs |= settings_of(universe, "bars")
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
    inputs |= settings_of(universe, "panel")
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
    assert found == {date: [f"{asset}|{date}" for asset in universe.symbols] for date in dates}
    path = lake.path("tiny", "backtest", day(17), "AAA-USD")
    schema = pq.read_schema(Path(lake.root) / path).remove_metadata()
    lake.write_table(path, lake.read_table(path).iloc[1:], schema)
    assert report_is_stale(lake, Versioned(lake, universe), universe, day(18))
