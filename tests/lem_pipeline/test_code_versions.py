"""A change of code makes stored data out of date: told by status, remade by run, and no further than bytes change."""

from __future__ import annotations

import shlex
from dataclasses import replace

import pytest

from lem.lake import Lake
from lem.lineage import stages
from lem.lineage.stages import below, stage_named
from lem.registry import Registry
from tests.lem_pipeline.simulation import Nights

pytestmark = pytest.mark.usefixtures("empty_pictures")

RUN = ("run", "-u", "tiny", "-d", "2024-01-18")


@pytest.fixture
def raised(monkeypatch):
    """`raised("features")`: the code version of a stage, one higher."""

    def raise_it(name):
        changed = replace(stage_named(name), code_version=f"{stage_named(name).code_version}, raised")
        monkeypatch.setattr(stages, "STAGES", tuple(changed if s.name == name else s for s in stages.STAGES))

    return raise_it


def contents(home):
    """Data versions of all tables, ids of models and champions, and which runs made them."""
    lake, registry = Lake(str(home / "home/lake")), Registry(f"sqlite:///{home}/home/registry.sqlite")
    root = home / "home/lake/tiny"
    tables = {
        str(p.relative_to(root)): lake.versions(f"tiny/{p.relative_to(root)}") for p in root.rglob("date=*.parquet")
    }
    models = {model.usable_on: model.id for model in registry.models("tiny")}
    decided = [(p.date, p.champion_id, p.decided_at) for p in registry.promotions("tiny")]
    return {name: versions.data for name, versions in tables.items() if versions}, models, decided


def remade(out):
    """Stages that a command said it made."""
    return [line.split("] ")[1].split("  ")[0] for line in out.splitlines() if line.startswith("[")]


def out_of_date(out):
    """The lines of a status that name what is stale."""
    return [line for line in out.splitlines() if line.startswith("stale")]


def test_features_of_earlier_code_are_named_remade_and_leave_models_alone_where_the_bytes_are_the_same(
    home, raised, lem_command
):
    before = contents(home)
    raised("features")
    told = " ".join(lem_command(home, "status", "-u", "tiny").out.split())
    assert "stale features: AAA-USD|2024-01-09 ... 2024-01-19, BBB-USD|2024-01-09 ... 2024-01-19; " in told
    assert "(panel, lem_model, champion, backtest, execution_report)" in told
    done = lem_command(home, *RUN)
    assert done.code == 0, done.err
    assert "features" in remade(done.out)
    assert not {"lem_model", "champion"} & set(remade(done.out))
    assert contents(home) == before
    assert out_of_date(lem_command(home, "status", "-u", "tiny").out) == []
    assert lem_command(home, *RUN).out.count("Everything is there already.") == 1


@pytest.mark.slow
def test_the_command_that_status_names_repairs_them(home, raised, lem_command):
    for name in ("bars", "backtest"):
        raised(name)
    out = lem_command(home, "status", "-u", "tiny").out
    commands = [line.rpartition(": ")[2] for line in out_of_date(out)]
    assert len(commands) == 2
    for command in commands:
        assert lem_command(home, *shlex.split(command)[1:]).code == 0
    assert out_of_date(lem_command(home, "status", "-u", "tiny").out) == []


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("raw_bars", ["raw_bars"]),
        ("panel", ["panel"]),
        pytest.param(
            "lem_model",
            ["lem_model", "champion", "lem_model", "champion", "backtest", "execution_report"],
            marks=pytest.mark.slow,
        ),
        pytest.param("champion", ["champion", "backtest", "execution_report"], marks=pytest.mark.slow),
        ("backtest", ["backtest", "execution_report"]),
        pytest.param("execution_report", ["execution_report"], marks=pytest.mark.slow),
    ],
)
def test_each_stage_is_made_again_when_its_code_version_is_raised(home, raised, lem_command, name, made):
    raised(name)
    # What was decided is decided again only where somebody asks for it.
    done = lem_command(home, *RUN, *["--redecide"] * (name in ("lem_model", "champion")))
    assert done.code == 0, done.err
    found = remade(done.out)
    assert [stages for n, stages in enumerate(found) if stages in made] == found
    assert set(made) == set(found)
    assert "Everything is there already." in lem_command(home, *RUN).out


@pytest.mark.parametrize("name", ["lem_model", "champion"])
def test_a_decision_of_earlier_code_is_named_and_stands(home, raised, lem_command, name):
    before = contents(home)
    raised(name)
    assert "stale decisions: 2024-01-17, 2024-01-18; " in lem_command(home, "status", "-u", "tiny").out
    assert remade(lem_command(home, *RUN).out) == []
    assert contents(home) == before


def test_the_automation_makes_again_what_earlier_code_has_made_and_no_model(make_universe, tiny_keys, raised):
    sim = Nights(make_universe(**tiny_keys(end=None)), "2024-01-16 12:00")
    sim.history("2024-01-15")
    assert sim.work() == []
    raised("features")
    sim.deploy(sim.universe)
    asked = sim.work()
    assert list(asked[0]) == ["features"]
    assert len(asked[0]["features"]) == 2 * 15
    raised("lem_model")
    sim.deploy(sim.universe)
    assert sim.work() == []


def test_what_lies_below_is_all_that_is_made_from_it():
    assert [stage.name for stage in below("champion")] == ["backtest", "execution_report"]
    assert below("execution_report") == []
