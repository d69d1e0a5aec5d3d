"""What is deployed loads: the definitions of the shipped universes, in this process and in Dagster's own tools."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from lem.lineage.stages import STAGES
from lem.universe import load_universes
from lem_pipeline.build import build
from tests.conftest import ROOT

BIN = Path(sys.executable).parent


@pytest.fixture(scope="module")
def shipped():
    return load_universes(ROOT / "universes")


def call(*command, cwd=ROOT):
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        [BIN / command[0], *command[1:]],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env=os.environ | {"PATH": path},
        timeout=180,
    )


def test_the_definitions_of_all_shipped_universes_are_loadable(shipped):
    dg.Definitions.validate_loadable(build(shipped.values()))


def test_every_universe_has_every_stage_under_its_name(shipped):
    graph = build(shipped.values()).get_repository_def().asset_graph
    keys = {tuple(key.path) for key in graph.get_all_asset_keys()}
    assert keys == {(name, stage) for name in shipped for stage in (*(one.name for one in STAGES), "live_orders")}
    assert {graph.get(key).group_name for key in graph.get_all_asset_keys()} == set(shipped)


def test_every_stage_has_what_the_ui_shows(shipped):
    graph = build(shipped.values()).get_repository_def().asset_graph
    for key in graph.materializable_asset_keys:
        node = graph.get(key)
        assert node.description
        assert node.owners
        assert node.code_version
        assert node.kinds
        assert node.partitions_def


@pytest.mark.parametrize("stages", [("raw_bars", "bars"), ("features",), ("backtest",)])
def test_stages_of_one_run_share_their_partitions_and_are_one_run(stages, shipped):
    graph = build(shipped.values()).get_repository_def().asset_graph
    nodes = [graph.get(dg.AssetKey(["sample", stage])) for stage in stages]
    assert len({node.partitions_def for node in nodes}) == 1
    assert all(node.backfill_policy == dg.BackfillPolicy.single_run() for node in nodes)


def test_dg_finds_nothing_wrong():
    done = call("dg", "check", "defs")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "All definitions loaded successfully" in done.stdout + done.stderr


@pytest.mark.thorough
def test_the_workspace_loads_from_any_directory(tmp_path):
    done = call("dagster", "definitions", "validate", "-w", str(ROOT / "workspace.yaml"), cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Validation successful for code location lem" in done.stdout + done.stderr
