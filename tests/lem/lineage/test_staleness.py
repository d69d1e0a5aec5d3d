"""Models, decisions and reports beside what is in the lake now, on tables of one row."""

from __future__ import annotations

import datetime as dt
import json

import pandas as pd
import pyarrow as arrow
import pytest

from lem.lake import Lake
from lem.lineage.keys import Partition, PartitionKey
from lem.lineage.stages import DECISION, MODEL, REPORT, stage_named
from lem.lineage.staleness import decision_is_stale, model_is_stale, report_is_stale
from lem.lineage.stored_report import (
    BACKTESTS_VERSION,
    FILES,
    REPORT_VERSION,
    SETTINGS_VERSION,
    backtests_version,
    report_path,
    settings_version,
    trailing_dates,
)
from lem.lineage.versions import Versioned
from lem.registry import ModelRecord, PromotionRecord
from lem.registry.decision_figures import DecisionFigures
from lem.registry.records import InputVersion
from lem.universe.windows import gate_dates

DATE = dt.date(2024, 1, 18)
SCHEMA = arrow.schema([("x", arrow.int64())])


@pytest.fixture
def universe(make_universe, tiny_keys):
    return make_universe(**tiny_keys())


@pytest.fixture
def lake(tmp_path):
    return Lake(str(tmp_path))


@pytest.fixture
def put(lake):
    """`put("panel", date, 1)`: a partition with this number in it; returns its data version."""

    def write(table, date, number, asset=None):
        path = lake.path("tiny", table, date, asset)
        return lake.write_table(path, pd.DataFrame({"x": [number]}), SCHEMA).data_version

    return write


def model(inputs=(), name="0123456789abcdef", manifest=None):
    windows = (DATE, dt.date(2024, 1, 9), dt.date(2024, 1, 15))
    return ModelRecord(name, "tiny", *windows, "0" * 64, "tiny/weights", "1", 0, manifest or {}, list(inputs))


def manifest_of(universe):
    features = universe.features.model_dump(mode="json")
    return {"horizon": universe.horizon, "features": features, "stage_version": stage_named(MODEL).version}


def decision(candidate, **figures):
    name = candidate.id if candidate else None
    kind = "promoted" if name else "none"
    made = DecisionFigures(stage_version=stage_named(DECISION).version, **figures)
    return PromotionRecord("tiny", DATE, name, name, None, kind, [], made)


def test_a_model_is_stale_once_a_panel_that_it_read_has_another_content(lake, universe, put):
    days = [dt.date(2024, 1, n) for n in (9, 10)]
    inputs = [InputVersion("panel", f"{day}", put("panel", day, 1)) for day in days]
    record = model(inputs, manifest=manifest_of(universe))
    assert not model_is_stale(Versioned(lake, universe), universe, record)
    lake.remove(lake.path("tiny", "panel", days[0]))
    assert not model_is_stale(Versioned(lake, universe), universe, record), "a panel that is missing says nothing"
    put("panel", days[1], 2)
    assert model_is_stale(Versioned(lake, universe), universe, record)


@pytest.mark.parametrize("changed", [{"horizon": 2, "backtest": {"min_bars": [1]}}, {"features": {"volatility": 20}}])
def test_a_model_for_another_horizon_or_other_features_is_stale(lake, universe, changed, make_universe, tiny_keys):
    record = model(manifest=manifest_of(universe))
    assert not model_is_stale(Versioned(lake, universe), universe, record)
    other = make_universe(**tiny_keys(**changed))
    assert model_is_stale(Versioned(lake, other), other, record)


def test_a_decision_is_stale_with_another_candidate_or_another_panel_of_its_gate_unless_it_was_made_by_hand(
    lake, universe, put
):
    days, candidate = gate_dates(universe, DATE), model()
    for day in days:
        put("panel", day, 1)

    def stale(made, now=candidate, before=None):
        return decision_is_stale(Versioned(lake, universe), universe, made, now, before)

    version = Versioned(lake, universe).version([Partition("panel", PartitionKey.of(day)) for day in days], {})
    judged = decision(candidate, panel_version=version)
    assert not stale(judged)
    assert stale(judged, model(name="f" * 16))
    assert stale(judged, None)
    assert stale(decision(None))
    assert not stale(decision(None), None)
    assert stale(judged, before="a" * 16), "the first model, before which another one trades now"
    assert stale(decision(None), None, before="a" * 16)
    put("panel", days[0], 2)
    assert stale(judged)
    assert stale(decision(candidate)), "a decision without a record of its panels"
    by_hand = decision(candidate, by_hand=True)
    assert not stale(by_hand)
    assert not stale(by_hand, None)
    assert not stale(by_hand, before="a" * 16)
    lake.remove(lake.path("tiny", "panel", days[-1]))
    assert not stale(judged), "with a panel that is missing nothing can be said"


@pytest.mark.parametrize("file", FILES)
def test_a_report_is_stale_without_one_of_its_files(lake, universe, put, file):
    whole(lake, universe, put)
    assert not report_is_stale(lake, Versioned(lake, universe), universe, DATE)
    lake.remove(report_path("tiny", DATE, file))
    assert report_is_stale(lake, Versioned(lake, universe), universe, DATE)


def test_a_report_is_stale_once_one_of_its_backtests_has_another_content_or_its_versions_are_not_told(
    lake, universe, put
):
    whole(lake, universe, put)
    put("backtest", DATE, 7, "BBB-USD")
    assert report_is_stale(lake, Versioned(lake, universe), universe, DATE)
    whole(lake, universe, put)
    lake.write_bytes(report_path("tiny", DATE, "report.json"), b"{}")
    assert report_is_stale(lake, Versioned(lake, universe), universe, DATE)


@pytest.mark.parametrize(
    "changes",
    [
        {"backtest": {"min_bars": [1, 3], "report_days": 2, "bootstrap": 200}},
        {"drift": {"psi": 0.5}},
        {"gate": {"confidence": 0.9}},
    ],
)
def test_a_report_is_stale_once_the_universe_file_says_other_things_about_its_page(
    lake, universe, put, changes, make_universe, tiny_keys
):
    whole(lake, universe, put)
    changed = make_universe(**tiny_keys(**changes))
    assert trailing_dates(changed, DATE) == trailing_dates(universe, DATE)
    assert report_is_stale(lake, Versioned(lake, changed), changed, DATE)


def whole(lake, universe, put):
    """A report and the backtests that it was made from."""
    read = [
        InputVersion("backtest", f"{asset}|{day}", put("backtest", day, 1, asset))
        for day in trailing_dates(universe, DATE)
        for asset in universe.symbols
    ]
    for file in FILES:
        lake.write_bytes(report_path("tiny", DATE, file), b"x")
    versions = {
        BACKTESTS_VERSION: backtests_version(read),
        SETTINGS_VERSION: settings_version(universe),
        REPORT_VERSION: stage_named(REPORT).version,
    }
    lake.write_bytes(report_path("tiny", DATE, "report.json"), json.dumps({"versions": versions}).encode())
