"""What the automation asks for, tick by tick, in nights good and bad."""

from __future__ import annotations

import dagster as dg
import pytest

from lem_pipeline.automation import automation_of
from tests.lem_pipeline.simulation import TICK, Nights, merged, utc

pytestmark = pytest.mark.usefixtures("empty_pictures")

A, B = "AAA-USD", "BBB-USD"
XNYS = {
    "calendar": "XNYS",
    "bar": "1d",
    "horizon": 3,
    "source": {"kind": "files", "url": "{data}/{symbol}.csv"},
    "assets": {"AAA": {}},
    "features": {"volatility": 4, "short_volatility": 2, "volume": 4, "seasons": 2},
    "model": {"hidden": 8, "heads": 2, "lookback": 2, "warmup": 2},
    "training": {"window_days": 12, "holdout_days": 2, "sequence": 8, "steps": 3, "batch": 2},
    "backtest": {"min_bars": [1], "report_days": 2},
}


@pytest.fixture
def nights(make_universe, tiny_keys):
    """`nights("2024-01-15 12:00", data_to="2024-01-14")`: a tiny universe that runs until today, its history made."""

    def make(start, data_to, /, **overrides):
        made = Nights(make_universe(**tiny_keys(end=None, **overrides)), start)
        made.history(data_to)
        assert made.work() == []
        return made

    return make


def both(date):
    return [f"{A}|{date}", f"{B}|{date}"]


def test_a_happy_night_makes_each_stage_once_and_in_order(nights):
    sim = nights("2024-01-15 23:50", "2024-01-14")
    assert sim.at("2024-01-16 00:10") == []  # the date is over, its night has not begun
    assert sim.at("2024-01-16 00:30") == [
        {"raw_bars": both("2024-01-15")},
        {"bars": both("2024-01-15")},
        {"features": both("2024-01-15")},
        {"panel": ["2024-01-15"], "backtest": both("2024-01-14")},
        {"lem_model": ["2024-01-16"], "execution_report": ["2024-01-14"]},
        {"champion": ["2024-01-16"]},
    ]
    assert sim.at("2024-01-16 01:30") == []


def test_a_failed_symbol_holds_up_only_what_needs_it_and_its_repair_heals_all_below(nights):
    sim = nights("2024-01-15 12:00", "2024-01-14")
    sim.broken = {("bars", f"{B}|2024-01-15")}
    assert merged(sim.at("2024-01-16 00:30")) == {
        "raw_bars": both("2024-01-15"),
        "bars": both("2024-01-15"),
        "features": [f"{A}|2024-01-15"],
        "backtest": [f"{A}|2024-01-14"],
    }
    # The source is asked once more, and gives the same: bars never join the run of the raw bars that they wait for.
    assert sim.at("2024-01-16 01:30") == [{"raw_bars": [f"{B}|2024-01-15"]}, {"bars": [f"{B}|2024-01-15"]}]
    sim.broken = set()
    assert merged(sim.at("2024-01-16 02:30")) == {
        "raw_bars": [f"{B}|2024-01-15"],
        "bars": [f"{B}|2024-01-15"],
        "features": [f"{B}|2024-01-15"],
        "panel": ["2024-01-15"],
        "backtest": [f"{B}|2024-01-14"],
        "lem_model": ["2024-01-16"],
        "champion": ["2024-01-16"],
        "execution_report": ["2024-01-14"],
    }


@pytest.mark.thorough
def test_a_late_source_is_asked_again_each_hour_until_it_answers(nights):
    sim = nights("2024-01-15 12:00", "2024-01-14")
    sim.broken = {("raw_bars", key) for key in both("2024-01-15")}
    for hour in ("00:30", "01:30", "02:30"):
        assert sim.at(f"2024-01-16 {hour}") == [{"raw_bars": both("2024-01-15")}]
    sim.broken = set()
    healed = merged(sim.at("2024-01-16 03:30"))
    assert healed["champion"] == ["2024-01-16"]
    assert healed["execution_report"] == ["2024-01-14"]


def test_nights_that_were_missed_are_caught_up_and_decisions_stay_in_order(nights):
    sim = nights("2024-01-12 12:00", "2024-01-11")
    asked = sim.at("2024-01-15 05:00")  # no tick for almost three days
    caught_up = merged(asked)
    dates = ["2024-01-12", "2024-01-13", "2024-01-14"]
    assert caught_up["raw_bars"] == [f"{symbol}|{date}" for symbol in (A, B) for date in dates]
    assert caught_up["lem_model"] == ["2024-01-13", "2024-01-14", "2024-01-15"]
    assert [wanted["champion"] for wanted in asked if "champion" in wanted] == [
        ["2024-01-13"],
        ["2024-01-14"],
        ["2024-01-15"],
    ]
    assert caught_up["execution_report"] == ["2024-01-11", "2024-01-12", "2024-01-13"]
    assert all(len(keys) == len(set(keys)) for keys in caught_up.values())


def test_an_old_partition_that_is_rewritten_reaches_the_backtests_and_no_model(nights):
    sim = nights("2024-01-15 12:00", "2024-01-14")
    old = f"{A}|2024-01-10"
    sim.make("raw_bars", [old], "revised")
    sim.content = {("bars", old): "revised", ("features", old): "revised", ("panel", "2024-01-10"): "revised"}
    done = merged(sim.work())
    assert done["bars"] == [old]
    assert done["features"] == [f"{A}|2024-01-{day}" for day in range(10, 15)]
    assert done["panel"] == ["2024-01-10"]
    assert done["backtest"] == [f"{A}|2024-01-{day}" for day in ("09", 10, 11, 12)]
    assert not {"raw_bars", "lem_model", "champion"} & set(done)


def test_what_is_rewritten_with_the_same_content_makes_nothing_again(nights):
    sim = nights("2024-01-15 12:00", "2024-01-14")
    sim.make("raw_bars", [f"{A}|2024-01-10"])
    assert sim.work() == []


def test_a_new_asset_is_fetched_and_the_panels_wait_until_its_history_is_there(nights, make_universe, tiny_keys):
    sim, new = nights("2024-01-15 12:00", "2024-01-14"), "CCC-USD"
    sim.deploy(make_universe(**tiny_keys(end=None, assets={A: {}, B: {}, new: {}}, night={"catch_up_days": 1})))
    assert sim.work() == []
    first = merged(sim.at("2024-01-16 00:30"))
    assert f"{new}|2024-01-15" in first["raw_bars"]
    assert first["features"] == both("2024-01-15")
    assert "panel" not in first
    for table in ("raw_bars", "bars", "features"):  # lem backfill
        sim.make(table, [f"{new}|2024-01-{day:02}" for day in range(1, 15)])
    sim.make("panel", sim.keys("panel", "2024-01-01", "2024-01-14"), "with the new asset")
    healed = merged(sim.work() + sim.at("2024-01-16 01:30"))
    assert f"{new}|2024-01-15" in healed["features"]
    assert "2024-01-15" in healed["panel"]
    assert healed["champion"] == ["2024-01-16"]


@pytest.mark.thorough
def test_where_no_model_is_due_the_decision_waits_for_none(nights):
    training = {"window_days": 8, "holdout_days": 2, "steps": 3, "batch": 2, "sequence": 12, "retrain_every": 5}
    sim = nights("2024-01-15 12:00", "2024-01-14", training=training)
    first = merged(sim.at("2024-01-16 00:30"))
    assert (first["lem_model"], first["champion"]) == (["2024-01-16"], ["2024-01-16"])  # the 1st, 6th, 11th, 16th
    second = merged(sim.at("2024-01-17 00:30"))
    assert "lem_model" not in second
    assert second["champion"] == ["2024-01-17"]


def test_an_equity_universe_rests_at_the_weekend_and_has_empty_partitions_on_holidays(nights):
    sim = nights("2024-01-11 12:00", "2024-01-10", **XNYS)  # a Thursday
    raw = {}
    for evening in range(11, 17):  # 20:30 in New York, until Tuesday; Monday the 15th is a holiday
        sim.now = utc(f"2024-01-{evening + 1} 01:30")
        raw[evening] = sim.tick().get("raw_bars", [])
        sim.make("raw_bars", raw[evening])
    assert raw == {
        11: ["AAA|2024-01-11"],
        12: ["AAA|2024-01-12"],
        13: [],
        14: [],
        15: ["AAA|2024-01-15"],
        16: ["AAA|2024-01-16"],
    }


@pytest.mark.parametrize(
    ("noon", "data_to", "before", "at"),
    [
        # New York's 19:30 is behind the end of the UTC date in winter, and no time for a retry.
        ("2024-01-09 23:50", "2024-01-08", "2024-01-10 01:20", "2024-01-10 01:30"),
        ("2024-07-09 23:50", "2024-07-08", "2024-07-10 00:20", "2024-07-10 00:30"),
    ],
    ids=["winter", "summer"],
)
def test_the_night_keeps_its_local_hour_when_the_clock_changes(noon, data_to, before, at, nights):
    start = "2024-06-20" if "-07-" in noon else "2023-12-20"
    sim = nights(noon, data_to, **XNYS, start=start)
    sim.now = utc(before)
    assert sim.tick() == {}
    sim.now = utc(at)
    assert sim.tick() == {"raw_bars": [f"AAA|{noon[:10]}"]}


def test_a_source_that_revises_is_asked_again_for_its_last_days(nights, tiny_keys):
    source = {"kind": "files", "url": "{data}/{symbol}.csv", "revisit_days": 3}
    sim = nights("2024-01-15 12:00", "2024-01-14", source=source)
    sim.now = utc("2024-01-16 00:30")
    asked = sim.tick()["raw_bars"]
    assert asked == [f"{symbol}|2024-01-{day}" for symbol in (A, B) for day in (13, 14, 15)]
    sim.make("raw_bars", asked)
    sim.now += TICK
    assert sim.tick() == {"bars": both("2024-01-15")}  # the others have the content that they had


@pytest.mark.parametrize("enabled", [True, False])
def test_the_automation_is_off_until_the_universe_or_somebody_turns_it_on(enabled, make_universe):
    sensor = automation_of(make_universe(night={"enabled": enabled}))
    on = dg.DefaultSensorStatus.RUNNING if enabled else dg.DefaultSensorStatus.STOPPED
    assert sensor.default_status == on
