"""A stage is one entry in the table and one body: from there the graph, plan, status and all others have it."""

from __future__ import annotations

import datetime as dt
import sys
from types import ModuleType

import dagster as dg
import pyarrow as arrow
import pytest

from assets.graph import UniverseGraph
from assets.recording import Wrote, record, recorded
from lem.data.bars import TABLE_SCHEMA
from lem.dictionary.entries import dictionary, entry_of
from lem.lake import Lake
from lem.lineage import stages
from lem.lineage.keys import parse_keys
from lem.lineage.reads import Reads
from lem.lineage.stages import STAGES, Grain, Stage, stage_named
from lem.lineage.state import states
from lem.lineage.versions import named
from lem.lineage.words import Words
from lem.registry import Registry
from lem.registry.records import InputVersion
from lem_pipeline.automation import conditions
from lem_pipeline.build import build
from lem_pipeline.planning.dates import data_dates, dates_for
from lem_pipeline.planning.estimate import seconds_of
from lem_pipeline.planning.plan import data_steps, report_steps
from resources.stores import LakeResource
from tests.lem_pipeline.simulation import Nights

DAY, LATER = dt.date(2024, 1, 18), dt.date(2024, 6, 1)
SCHEMA = arrow.schema([("ts", arrow.timestamp("us", tz="UTC")), ("height", arrow.float64())])
TOY = Stage(
    "heights",
    "How high each bar is.",
    Grain.ASSET_DATE,
    reads=(Reads("bars", first=lambda universe: -1),),
    kinds=("parquet",),
    seconds=0.5,
    meaning="A row for each bar.",
    schema=SCHEMA,
    words={"ts": Words("open of the bar", "UTC"), "height": Words("high less low", "quote currency")},
)


def body(graph: UniverseGraph) -> dg.AssetsDefinition:
    def heights(context: dg.AssetExecutionContext, lake: LakeResource):
        fenced = lake.fenced()
        with recorded(context) as wrote:
            for key in parse_keys(context.partition_keys):
                bars, version = fenced.read_versioned(fenced.path("tiny", "bars", key.date, key.symbol))
                before = fenced.path("tiny", "bars", key.date - dt.timedelta(days=1), key.symbol)
                read = [InputVersion("bars", str(key), version)]
                if fenced.exists(before):
                    yesterday = f"{key.symbol}|{key.date - dt.timedelta(days=1)}"
                    read.append(InputVersion("bars", yesterday, fenced.read_versioned(before)[1]))
                table = bars[["ts"]].assign(height=bars["high"] - bars["low"])
                path = fenced.path("tiny", "heights", key.date, key.symbol)
                made = fenced.write_table(path, table, SCHEMA, named(read) | graph.made_with("heights"))
                wrote[str(key)] = Wrote(made.data_version, {"rows": made.rows})
        yield from record(context, wrote)

    heights.__annotations__ = {"context": dg.AssetExecutionContext, "lake": LakeResource}
    return graph.asset("heights")(heights)


@pytest.fixture
def added(monkeypatch):
    """The stage is in the table, behind the panel, and its body beside the others."""
    monkeypatch.setattr(stages, "STAGES", (*STAGES[:4], TOY, *STAGES[4:]))
    module = ModuleType("assets.stages.heights")
    module.asset_of = body
    monkeypatch.setitem(sys.modules, "assets.stages.heights", module)


def stores(folder):
    return Lake(str(folder / "home/lake")), Registry(f"sqlite:///{folder}/home/registry.sqlite")


def test_without_the_entry_nobody_knows_it(tiny_home):
    assert "heights" not in dictionary()
    assert "heights" not in conditions(tiny_home.universe)


def test_the_graph_has_it_with_what_it_reads(added, tiny_home):
    graph = build([tiny_home.universe]).get_repository_def().asset_graph
    node = graph.get(dg.AssetKey(["tiny", "heights"]))
    assert {key.path[-1] for key in node.parent_keys} == {"bars"}
    assert node.code_version == "1"
    assert "How high each bar is." in node.description


def test_the_dictionary_says_what_it_means(added):
    entry = entry_of("heights")
    assert [(column.name, column.unit) for column in entry.columns] == [("ts", "UTC"), ("height", "quote currency")]
    assert entry.place == "<universe>/heights/asset=<asset>/date=<date>.parquet"


def test_a_backfill_and_a_report_plan_it_for_the_dates_of_the_data(added, home, tiny_home):
    lake, registry = stores(home)
    universe, wanted = tiny_home.universe, data_dates(tiny_home.universe, dt.date(2024, 1, 12), DAY)
    steps = data_steps(lake, universe, wanted, force=False)
    assert [step.text for step in steps] == ["heights  AAA-USD|2024-01-12 ... BBB-USD|2024-01-18"]
    assert seconds_of(universe, steps[0], {}) == pytest.approx(1.5 + 14 * 0.5)
    report = report_steps(lake, registry, universe, dates_for(universe, DAY, LATER), force=False)
    assert [step.tables for step in report] == [("heights",), ("execution_report",)]


def test_the_command_makes_it_and_status_shows_it(added, home, lem_command):
    done = lem_command(home, "backfill", "-u", "tiny", "--from", "2024-01-12", "--to", "2024-01-13")
    assert done.code == 0, done.err
    told = lem_command(home, "status", "-u", "tiny").out
    (row,) = [line for line in told.splitlines() if " heights " in line]
    assert row.split()[3] == "4"
    assert len(stores(home)[0].names("tiny/heights/asset=AAA-USD")) == 2


def test_it_is_out_of_date_where_what_it_reads_or_its_code_has_changed(
    added, home, lem_command, tiny_home, monkeypatch
):
    assert lem_command(home, "backfill", "-u", "tiny", "--from", "2024-01-12", "--to", "2024-01-13").code == 0
    lake, registry = stores(home)

    def stale():
        found = states(lake, registry, tiny_home.universe, [dt.date(2024, 1, n) for n in range(1, 20)])
        return {state.table: [str(key) for key in state.stale] for state in found if state.stale}

    assert stale() == {}
    path = lake.path("tiny", "bars", dt.date(2024, 1, 12), "AAA-USD")
    bars = lake.read_table(path)
    lake.write_table(path, bars.assign(volume=bars["volume"] * 2), TABLE_SCHEMA, {})
    assert stale()["heights"] == ["AAA-USD|2024-01-12", "AAA-USD|2024-01-13"]
    changed = tuple(stage if stage.name != "heights" else TOY_2 for stage in stages.STAGES)
    monkeypatch.setattr(stages, "STAGES", changed)
    assert len(stale()["heights"]) == 4


TOY_2 = Stage(**{**vars(TOY), "code_version": "2"})


def test_the_automation_asks_for_it_when_its_bars_have_come(added, make_universe, tiny_keys):
    sim = Nights(make_universe(**tiny_keys(end=None)), "2024-01-15 23:50")
    sim.history("2024-01-14")
    sim.make("heights", sim.keys("heights", "2024-01-01", "2024-01-14"))
    assert sim.work() == []
    asked = sim.at("2024-01-16 00:30")
    assert [sorted(tick) for tick in asked][:3] == [["raw_bars"], ["bars"], ["features", "heights"]]
    assert stage_named("heights").name in conditions(sim.universe)
