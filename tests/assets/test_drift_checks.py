"""The drift checks on the tiny universe: what they say with nothing to tell, and what makes them warn."""

from __future__ import annotations

import datetime as dt
import shutil

import dagster as dg
import numpy as np
import pandas as pd
import pytest

from lem.backtest.schema import BACKTEST_SCHEMA
from lem.data.features import FEATURES
from lem.data.panel import PANEL_SCHEMA
from lem.drift.reading import NotKnown, gain_drift_on, input_drift_on, read_columns
from lem.errors import LakeError
from lem.registry.decision_figures import BpsByStrategy
from lem_pipeline.running.launch import failed_checks
from tests.assets.test_graph import DAY, Place

REPORT_DAYS = 7


@pytest.fixture
def place(tiny_home, make_universe, tiny_keys, tmp_path):
    """A copy of the tiny home whose report covers a week, to be changed."""
    shutil.copytree(tiny_home.folder / "home", tmp_path, dirs_exist_ok=True)
    backtest = {"min_bars": [1, 3], "report_days": REPORT_DAYS, "bootstrap": 100}
    return Place(make_universe(**tiny_keys(backtest=backtest)), tmp_path, dg.DagsterInstance.ephemeral())


def verdict(place, check, first, last=None, table="execution_report"):
    result = place.run([table], str(first), str(last) if last else None, checks=[check])
    assert result.success
    (found,) = result.get_asset_check_evaluations()
    assert found.severity == dg.AssetCheckSeverity.WARN
    return found


def write_panels(place, **shift):
    """Panels of independent normal features, 60 valid bars a day; the last three before DAY are moved."""
    lake, rng = place.lake, np.random.default_rng(0)
    for number in range(9, 18):
        path = lake.path("tiny", "panel", dt.date(2024, 1, number))
        table = pd.concat([lake.read_table(path)] * 5, ignore_index=True).assign(valid=True)
        table[list(FEATURES)] = rng.standard_normal((len(table), len(FEATURES)))
        for name, by in shift.items() if number >= 15 else ():
            table[name] += by
        lake.write_table(path, table, PANEL_SCHEMA)


def write_week(place, expected_by):
    """Backtests of a week, copies of DAY's with another gain a day; the gate expected `expected_by` more than came."""
    lake, gains = place.lake, []
    for symbol in place.universe.symbols:
        table = lake.read_table(lake.path("tiny", "backtest", DAY, symbol))
        for back in range(REPORT_DAYS):
            day = table.assign(
                arrival=table["arrival"] - pd.Timedelta(back, "D"), gain_bps=table["gain_bps"] + back / 10
            )
            lake.write_table(lake.path("tiny", "backtest", DAY - dt.timedelta(days=back), symbol), day, BACKTEST_SCHEMA)
            gains.append(day.loc[(day["status"] == "done") & (day["model_id"] != ""), "gain_bps"])
    for model in place.registry.models("tiny"):
        measured = BpsByStrategy(candidate=float(pd.concat(gains).mean()) + expected_by, optimal_stopping=0.0)
        place.registry.set_gate_gains(model.id, measured)


@pytest.mark.parametrize(
    ("check", "table", "text"),
    [
        ("input_drift", "execution_report", "Nothing to tell on 2024-01-09: no model trades on 2024-01-09."),
        ("gain_drift", "execution_report", "Nothing to tell on 2024-01-09: no orders from 2024-01-03 to 2024-01-09"),
        ("model_age", "champion", "Nothing to tell: no model trades on 2024-01-09."),
    ],
)
def test_before_the_first_model_a_check_passes_and_says_that_there_is_nothing_to_tell(check, table, text, place):
    found = verdict(place, check, "2024-01-09", table=table)
    assert found.passed
    assert found.description.startswith(text)
    assert "in the universe file" in found.metadata["set_by"].value


def test_of_a_few_bars_nothing_is_told(place):
    found = verdict(place, "input_drift", DAY)
    assert found.passed
    champion = place.registry.champion_on("tiny", DAY)
    window = f"[{champion.train_start}, {champion.train_end})"
    assert f"the champion's training window, {window}, hold(s) 60 valid bars in the lake; 100 are needed" in (
        found.description
    )


def test_panels_of_the_training_that_are_gone_are_said(place):
    shutil.rmtree(place.folder / "lake/tiny/panel")
    found = verdict(place, "input_drift", DAY)
    assert found.passed
    assert "hold(s) 0 valid bars in the lake" in found.description


def test_inputs_like_those_of_the_training_pass_with_every_feature_in_the_table(place):
    write_panels(place)
    found = verdict(place, "input_drift", DAY)
    assert found.passed, found.description
    assert found.metadata["threshold"].value == 0.25
    assert found.metadata["set_by"].value == "drift.psi in the universe file"
    rows = [record.data for record in found.metadata["features"].records]
    assert {row["feature"] for row in rows} == set(FEATURES)
    assert found.metadata["bars_of_training"].value == 300
    assert found.metadata["window_days"].value == 14


@pytest.mark.parametrize("first", [DAY, "2024-01-16"], ids=["one date", "a range"])
def test_a_feature_that_has_moved_is_named_alone(first, place):
    write_panels(place, log_volume=1.5, day_sin=3.0)
    found = verdict(place, "input_drift", first, DAY)
    assert not found.passed
    assert "2024-01-18: not distributed as in the champion's training window: log_volume" in found.description
    rows = {record.data["feature"]: record.data for record in found.metadata["features"].records}
    assert [name for name, row in rows.items() if row["verdict"] == "drifted"] == ["log_volume"]
    assert rows["day_sin"]["verdict"] == "calendar, not judged"
    assert rows["log_volume"]["psi"] > 0.25


def test_the_last_days_hold_nothing_that_the_champion_was_trained_on(place):
    write_panels(place, log_volume=1.5)
    drift = input_drift_on(place.lake, place.registry, place.universe, DAY)
    # 14 days before the date would reach back into the training window
    after = (DAY - place.registry.champion_on("tiny", DAY).train_end).days
    assert (drift.training_bars, drift.recent_bars) == (300, 60 * after)
    assert after < place.universe.drift.window_days


def test_gains_as_the_gate_measured_them_pass(place):
    write_week(place, 0.0)
    found = verdict(place, "gain_drift", DAY)
    assert found.passed, found.description
    assert found.metadata["blocks_of_days"].value == REPORT_DAYS
    assert found.metadata["realised_minus_expected_bps"].value == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("first", [DAY, "2024-01-17"], ids=["one date", "a range"])
def test_gains_far_below_what_the_gate_measured_warn(first, place):
    write_week(place, 30.0)
    found = verdict(place, "gain_drift", first, DAY)
    assert not found.passed
    assert "-30.0 bps (-30." in found.description
    assert "tolerated: -5 bps" in found.description
    assert found.metadata["set_by"].value == "drift.gain_tolerance_bps in the universe file"


def test_two_days_of_orders_are_too_few_for_an_interval(place):
    found = verdict(place, "gain_drift", DAY)
    assert found.passed
    assert "2 blocks of days are too few for an interval (5 are needed)" in found.description


def test_orders_of_models_that_the_gate_never_measured_are_nothing_to_tell(place):
    lake = place.lake
    for symbol in place.universe.symbols:
        for number in (17, 18):
            path = lake.path("tiny", "backtest", dt.date(2024, 1, number), symbol)
            table = lake.read_table(path)
            lake.write_table(path, table[table["model_id"] == ""], BACKTEST_SCHEMA)
    found = gain_drift_on(lake, place.registry, place.universe, DAY)
    assert isinstance(found, NotKnown)
    assert "traded by a model that the gate has measured" in found.reason


def test_a_champion_that_trades_on_and_on_is_too_old_at_last(place):
    young = verdict(place, "model_age", DAY, table="champion")
    assert young.passed
    assert young.metadata["threshold"].value == 6  # twice 2 days held out, 1 of purge, and a model every night
    old = verdict(place, "model_age", DAY, "2024-01-25", table="champion")
    assert not old.passed
    assert "The champion of 2024-01-25 was trained up to" in old.description
    assert old.metadata["age"].value > 6
    assert old.metadata["dates_checked"].value == 8


def test_the_universe_file_sets_the_thresholds(place, make_universe, tiny_keys):
    write_panels(place, log_volume=1.5)
    loose = make_universe(**tiny_keys(drift={"psi": 50.0, "max_age": 30}))
    other = Place(loose, place.folder, dg.DagsterInstance.ephemeral())
    assert verdict(other, "input_drift", DAY).passed
    assert verdict(other, "model_age", "2024-01-25", table="champion").passed


def test_the_command_line_has_a_warning_with_what_the_check_says(place):
    write_panels(place, log_volume=1.5)
    (failed,) = failed_checks(place.run(["execution_report"], str(DAY), checks=["input_drift"]))
    assert failed.warning
    assert failed.text.startswith("tiny/execution_report:input_drift 2024-01-18: not distributed as in")
    path = place.lake.path("tiny", "bars", dt.date(2024, 1, 16), "AAA-USD")
    place.lake.fs.cp_file(f"{place.lake.root}/{path.replace('01-16', '01-15')}", f"{place.lake.root}/{path}")
    (failed,) = failed_checks(place.run(["bars"], "AAA-USD|2024-01-16", checks=["complete"]))
    assert not failed.warning
    assert "AAA-USD|2024-01-16" in failed.text


def test_a_damaged_partition_is_an_error_with_its_path(place):
    path = place.lake.path("tiny", "panel", dt.date(2024, 1, 16))
    with pytest.raises(LakeError, match=r"date=2024-01-16\.parquet has no column psi; materialise it again"):
        read_columns(place.lake, [path], ["ts", "psi"])
    place.lake.write_bytes(path, b"no parquet")
    with pytest.raises(LakeError, match=r"date=2024-01-16\.parquet is not valid Parquet"):
        read_columns(place.lake, [path], ["ts"])
