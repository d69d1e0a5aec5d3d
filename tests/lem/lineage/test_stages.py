"""The table of stages: in order, complete, and the one place that says what is made from what."""

from __future__ import annotations

import ast
import datetime as dt
from dataclasses import replace

import pytest

from lem.errors import LineageError
from lem.lineage import stages
from lem.lineage.keys import PartitionKey
from lem.lineage.stages import STAGES, data_tables, delay, judged_tables, stage_named, tables
from lem.lineage.versions import made_with
from lem.universe.windows import execution_dates, forward_days, gate_dates, history_dates, training_window
from tests.conftest import ROOT

DATE = dt.date(2024, 1, 17)
NAMES = {stage.name for stage in STAGES}


@pytest.fixture
def universe(make_universe, tiny_keys):
    return make_universe(**tiny_keys())


def reads(stage, other):
    """What a stage reads of another one."""
    (read,) = [read for read in stage_named(stage).reads if read.stage == other]
    return read


def names(found):
    return [stage.name for stage in found]


def test_each_stage_stands_after_all_that_it_reads():
    for place, stage in enumerate(STAGES):
        before = {earlier.name for earlier in STAGES[: place + 1]}
        assert {read.stage for read in stage.reads} <= before


def test_tables_are_parted_by_whether_a_decision_goes_into_them():
    assert names(data_tables()) == ["raw_bars", "bars", "features", "panel"]
    assert names(judged_tables()) == ["backtest"]
    assert names(tables()) == names(data_tables()) + names(judged_tables())


def test_the_windows_are_those_that_the_bodies_read(universe):
    def dates(stage, other):
        return reads(stage, other).dates(universe, DATE)

    assert dates("bars", "raw_bars") == dates("panel", "features") == [DATE]
    assert dates("features", "bars") == [*history_dates(universe, DATE), DATE]
    assert dates("backtest", "features") == execution_dates(universe, DATE)
    assert dates("champion", "panel") == gate_dates(universe, DATE)
    assert dates("lem_model", "panel")[0] == training_window(universe, DATE).start
    assert dates("champion", "champion") == [DATE - dt.timedelta(days=1)]


def test_a_window_does_not_begin_before_the_universe(universe):
    first = universe.start + dt.timedelta(days=1)
    assert reads("features", "bars").dates(universe, first) == [universe.start, first]


def test_what_waits_for_orders_to_end_waits_as_long_as_they_may_last(universe):
    waits = {stage.name: delay(universe, stage) for stage in STAGES}
    assert {name for name, days in waits.items() if days} == {"backtest", "execution_report"}
    assert waits["backtest"] == waits["execution_report"] == forward_days(universe)


def test_the_first_version_of_a_stage_is_not_written_and_a_later_one_is(universe, monkeypatch):
    bars, raw = stage_named("bars"), stage_named("raw_bars")
    assert "code" not in made_with(universe, bars)["settings"]
    assert '"code": "2"' in made_with(universe, replace(bars, code_version="2"))["settings"]
    assert made_with(universe, raw) == {}
    assert made_with(universe, replace(raw, code_version="2")) == {"settings": '{"code": "2"}'}


def test_a_part_more_is_another_version():
    stage = replace(stage_named("backtest"), parts=lambda: ("twap",))
    assert stage.version.startswith(f"{stage.code_version}-")
    assert (
        len(
            {
                stage.version,
                replace(stage, parts=lambda: ("twap", "x")).version,
                replace(stage, code_version="next").version,
            }
        )
        == 3
    )


def test_no_such_stage_is_refused_with_those_there_are():
    with pytest.raises(LineageError, match="no stage 'candles'; allowed: raw_bars, bars, features"):
        stage_named("candles")


def test_a_stages_name_is_the_key_of_its_partitions_and_of_its_body():
    assert {path.stem for path in (ROOT / "assets" / "stages").glob("[a-z]*.py")} == NAMES
    assert str(PartitionKey("AAA", DATE)) == "AAA|2024-01-17"


def lists_of_stages(path):
    """Lines of a module with a list, tuple, set or dict that names three stages or more."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        parts = node.keys if isinstance(node, ast.Dict) else getattr(node, "elts", [])
        named = {part.value for part in parts if isinstance(part, ast.Constant)}
        if len(named & NAMES) >= 3:
            yield node.lineno


def test_nothing_else_lists_the_stages():
    modules = [path for room in ("lem", "resources", "assets", "lem_pipeline") for path in (ROOT / room).rglob("*.py")]
    found = {str(path.relative_to(ROOT)): list(lists_of_stages(path)) for path in modules}
    assert {path: lines for path, lines in found.items() if lines and path != "lem/lineage/stages.py"} == {}
    assert list(lists_of_stages(ROOT / "tests/lem/lineage/test_stages.py"))  # this file does: the search finds it


def test_the_table_is_read_when_it_is_asked(monkeypatch):
    monkeypatch.setattr(stages, "STAGES", STAGES[:2])
    assert names(tables()) == ["raw_bars", "bars"]
