"""What the catalogue says of every asset of every universe: enough to use a table without reading the code."""

from __future__ import annotations

import dagster as dg
import pytest

from assets.catalogue import figure
from lem.dictionary.entries import entry_of
from lem.lineage.stages import STAGES
from lem.universe import load_universes
from lem_pipeline.build import build
from tests.conftest import ROOT

UNIVERSES = load_universes(ROOT / "universes")
EVERY = [(name, stage) for name in UNIVERSES for stage in (one.name for one in STAGES)]


@pytest.fixture(scope="module")
def definitions():
    return build(UNIVERSES.values()).get_repository_def()


@pytest.fixture(scope="module")
def graph(definitions):
    return definitions.asset_graph


@pytest.mark.parametrize(("universe", "stage"), EVERY)
def test_an_asset_says_what_it_is_whose_and_what_a_partition_and_a_row_of_it_are(universe, stage, graph):
    node, entry = graph.get(dg.AssetKey([universe, stage])), entry_of(stage)
    sentence, row, *rest = node.description.split("\n\n")
    assert sentence.endswith(".")
    assert row == entry.meaning
    assert rest[0] == f"**Partition:** {entry.partition}."
    assert rest[1] == f"**Universe:** {UNIVERSES[universe].description}."
    assert node.owners == ["team:execution"]
    assert "python" in node.kinds
    assert len(node.kinds) > 1
    assert node.group_name == universe
    assert node.code_version
    assert node.metadata["lies at"] == entry.place


@pytest.mark.parametrize(("universe", "stage"), EVERY)
def test_an_assets_columns_are_those_of_its_schema_with_type_meaning_unit_and_constraints(universe, stage, graph):
    node, entry = graph.get(dg.AssetKey([universe, stage])), entry_of(stage)
    schema = node.metadata["dagster/column_schema"]
    assert [(column.name, column.type) for column in schema.columns] == [(c.name, c.type) for c in entry.columns]
    assert list(schema.constraints.other) == list(entry.rules)
    for shown, column in zip(schema.columns, entry.columns, strict=True):
        assert shown.description.startswith(f"{column.meaning}.")
        assert (f"Unit: {column.unit}." in shown.description) == bool(column.unit)
        assert shown.constraints.nullable == column.nullable
        assert (f"No value: {column.null}." in shown.description) == column.nullable
        assert list(shown.constraints.other) == [rule.replace("`", "") for rule in column.allowed]


def test_every_check_says_what_it_checks(definitions):
    checks = [spec for check in definitions.asset_checks_defs_by_key.values() for spec in check.check_specs]
    assert {spec.asset_key.path[0] for spec in checks} == set(UNIVERSES)
    assert not [spec.name for spec in checks if not (spec.description or "").endswith(".")]


@pytest.mark.parametrize(
    ("value", "shown"), [(1.13335267e-16, "0.0"), (-2.8e-17, "0.0"), (19.981183576, "19.9812"), (-0.5, "-0.5")]
)
def test_figures_of_the_ui_are_short_and_have_no_minus_zero(value, shown):
    assert str(figure(value)) == shown
