"""Which runs a report needs: everything the first time, nothing the second, and after a loss what depends on it."""

from __future__ import annotations

import datetime as dt
import shutil
from dataclasses import replace

import pytest

from lem.errors import UniverseError
from lem.lake import Lake
from lem.lineage.stored_report import report_path
from lem.registry import Registry
from lem_pipeline.planning.dates import data_dates, dates_for, last_data_date, latest_report_date
from lem_pipeline.planning.plan import data_steps, report_steps
from lem_pipeline.planning.redecide import redecided, told
from lem_pipeline.planning.steps import span_steps

DAY = dt.date(2024, 1, 18)
LATER = dt.date(2024, 6, 1)
XNYS = {
    "calendar": "XNYS",
    "bar": "1d",
    "end": "2024-03-29",
    "source": {"kind": "files", "url": "{data}/{symbol}.csv"},
    "training": {"window_days": 20, "holdout_days": 5, "sequence": 12},
}


def day(number):
    return dt.date(2024, 1, number)


def days(first, last):
    return [day(n) for n in range(first, last + 1)]


@pytest.fixture
def tiny(make_universe, tiny_keys):
    """`tiny(horizon=4)`: the tiny universe with other keys."""
    return lambda **overrides: make_universe(**tiny_keys(**overrides))


@pytest.fixture
def stores(tiny_home, tmp_path):
    """A copy of the materialised lake and registry, to be damaged."""
    shutil.copytree(tiny_home.folder / "home", tmp_path, dirs_exist_ok=True)
    return Lake(str(tmp_path / "lake")), Registry(f"sqlite:///{tmp_path}/registry.sqlite")


@pytest.fixture
def plan(stores, tiny_home):
    """`plan(force=True)`: the steps of the tiny report, as `table first` (or `table first..last`)."""

    def steps(date=DAY, force=False, redecide=False):
        dates = dates_for(tiny_home.universe, date, LATER)
        dates = redecided(*stores, tiny_home.universe, dates) if redecide else dates
        made = report_steps(*stores, tiny_home.universe, dates, force)
        return [f"{'+'.join(s.tables)} {s.first}" + ("" if s.first == s.last else f"..{s.last}") for s in made]

    return steps


@pytest.fixture
def lose(stores, tiny_home):
    """`lose("bars", 12, "AAA-USD")` removes a partition."""

    def remove(table, number, asset=None):
        lake, _ = stores
        lake.fs.rm(f"{lake.root}/{lake.path('tiny', table, day(number), asset)}")

    return remove


def test_the_dates_of_a_report_reach_from_the_first_models_history_to_the_end_of_the_last_order(tiny):
    dates = dates_for(tiny(), DAY, LATER)
    assert dates.orders == dates.decisions == dates.training == days(17, 18)
    assert (dates.data["features"][0], dates.data["features"][-1]) == (day(9), day(19))
    assert (dates.data["bars"][0], dates.data["bars"][-1]) == (day(4), day(19))


def test_features_before_the_first_model_are_made_where_the_warm_up_is_longer_than_its_window(tiny):
    training = {"window_days": 4, "holdout_days": 1, "sequence": 24, "steps": 3, "batch": 2}
    model = {"hidden": 8, "heads": 2, "lookback": 4, "warmup": 20}
    universe = tiny(training=training, model=model)
    assert dates_for(universe, DAY, LATER).data["features"][0] == day(13)
    assert dates_for(tiny(training=training, model={**model, "warmup": 12}), DAY, LATER).data["features"][0] == day(13)


def test_between_trainings_the_decisions_go_back_to_the_model_that_may_trade(tiny):
    training = {"window_days": 8, "holdout_days": 2, "sequence": 12, "retrain_every": 5}
    dates = dates_for(tiny(training=training), DAY, LATER)
    assert dates.training == [day(16)]  # the 1st, 6th, 11th, 16th, ...
    assert dates.decisions == days(16, 18)
    assert dates.orders == days(17, 18)
    assert dates.data["features"][0] == day(8)


def test_an_equity_universe_counts_weekdays(tiny):
    universe = tiny(**XNYS)
    dates = dates_for(universe, dt.date(2024, 3, 18), LATER)
    assert dates.orders == [dt.date(2024, 3, 15), dt.date(2024, 3, 18)]
    assert all(date.weekday() < 5 for date in dates.data["bars"])
    with pytest.raises(UniverseError, match="has no report for 2024-03-16; allowed: partition dates from 2024-01-01"):
        dates_for(universe, dt.date(2024, 3, 16), LATER)


@pytest.mark.parametrize("number", [31, 30, 19])
def test_a_report_whose_orders_have_not_ended_is_refused_with_the_last_possible_date(number, tiny):
    latest = day(number - 1)
    with pytest.raises(
        UniverseError, match=rf"has no report for {day(number)}; allowed: .* to {latest - dt.timedelta(1)}"
    ):
        dates_for(tiny(), day(number), latest + dt.timedelta(days=1))


@pytest.mark.parametrize(("number", "first"), [(9, 8), (2, 1)])
def test_a_report_before_the_first_possible_model_is_refused_with_the_first_possible_date(number, first, tiny):
    with pytest.raises(UniverseError, match=rf"first model .* dated {day(first)} .* dated 2024-01-09 or later"):
        dates_for(tiny(), day(number), LATER)


def test_the_first_possible_report_is_possible(tiny):
    assert dates_for(tiny(), day(10), LATER).data["features"][0] == day(1)


def test_a_date_before_the_universe_is_refused(tiny):
    with pytest.raises(UniverseError, match="no report for 2023-12-31; allowed: partition dates from 2024-01-01"):
        dates_for(tiny(), dt.date(2023, 12, 31), LATER)


def test_the_last_data_is_yesterdays_or_the_universes_end(tiny):
    assert last_data_date(tiny(), day(12)) == day(11)
    assert last_data_date(tiny(), LATER) == day(31)
    assert last_data_date(tiny(end=None), LATER) == dt.date(2024, 5, 31)
    assert latest_report_date(tiny(), day(12)) == day(10)
    assert last_data_date(tiny(**XNYS), dt.date(2024, 1, 15)) == day(12)
    with pytest.raises(UniverseError, match="no data yet: it starts on 2024-01-01"):
        last_data_date(tiny(), day(1))


def test_a_step_is_made_for_each_stretch_of_absent_dates(tiny):
    steps = span_steps(tiny(), ("raw_bars", "bars"), days(1, 9), {day(n) for n in (1, 2, 5, 8, 9)})
    assert [(str(step.first), str(step.last)) for step in steps] == [
        ("AAA-USD|2024-01-01", "BBB-USD|2024-01-02"),
        ("AAA-USD|2024-01-05", "BBB-USD|2024-01-05"),
        ("AAA-USD|2024-01-08", "BBB-USD|2024-01-09"),
    ]
    steps = span_steps(tiny(), ("panel",), days(1, 3), set(days(1, 3)))
    assert [(str(step.first), str(step.last)) for step in steps] == [("2024-01-01", "2024-01-03")]
    assert span_steps(tiny(), ("panel",), days(1, 3), set()) == []


def test_a_stretch_reaches_over_a_weekend(tiny):
    dates = [day(11), day(12), day(15), day(16)]
    assert len(span_steps(tiny(**XNYS), ("panel",), dates, set(dates))) == 1


def test_one_asset_and_one_date_are_a_run_of_a_single_partition(tiny):
    (step,) = span_steps(tiny(assets={"ONLY-USD": {}}), ("features",), [day(5)], {day(5)})
    assert str(step.first) == str(step.last) == "ONLY-USD|2024-01-05"


def test_in_an_empty_lake_everything_is_made_in_the_order_of_the_graph(tmp_path, tiny):
    universe = tiny()
    lake, registry = Lake(str(tmp_path / "lake")), Registry(f"sqlite:///{tmp_path}/registry.sqlite")
    steps = report_steps(lake, registry, universe, dates_for(universe, DAY, LATER), False)
    assert [step.text for step in steps] == [
        "raw_bars, bars  AAA-USD|2024-01-04 ... BBB-USD|2024-01-19",
        "features  AAA-USD|2024-01-09 ... BBB-USD|2024-01-19",
        "panel  2024-01-09 ... 2024-01-19",
        "lem_model  2024-01-17",
        "champion  2024-01-17",
        "lem_model  2024-01-18",
        "champion  2024-01-18",
        "backtest  AAA-USD|2024-01-17 ... BBB-USD|2024-01-18",
        "execution_report  2024-01-18",
    ]


def test_the_second_time_there_is_nothing_to_do(plan):
    assert plan() == []


def test_force_makes_everything_again_but_what_was_decided(plan):
    assert [step.split()[0] for step in plan(force=True)] == [
        "raw_bars+bars",
        "features",
        "panel",
        "backtest",
        "execution_report",
    ]


def test_force_and_redecide_make_everything_again(plan):
    assert len(plan(force=True, redecide=True)) == 9


def test_the_next_nights_report_makes_one_more_day_and_one_more_model(plan):
    assert plan(date=day(19)) == [
        "raw_bars+bars AAA-USD|2024-01-20..BBB-USD|2024-01-20",
        "features AAA-USD|2024-01-20..BBB-USD|2024-01-20",
        "panel 2024-01-20",
        "lem_model 2024-01-19",
        "champion 2024-01-19",
        "backtest AAA-USD|2024-01-19..BBB-USD|2024-01-19",
        "execution_report 2024-01-19",
    ]


def test_a_lost_report_is_made_again_alone(plan, stores):
    lake, _ = stores
    lake.fs.rm(f"{lake.root}/{report_path('tiny', DAY, 'report.html')}")
    assert plan() == ["execution_report 2024-01-18"]


def test_a_lost_backtest_is_made_again_with_its_report(plan, lose):
    lose("backtest", 17, "BBB-USD")
    assert plan() == ["backtest AAA-USD|2024-01-17..BBB-USD|2024-01-17", "execution_report 2024-01-18"]


def test_a_lost_panel_of_a_models_window_is_made_again_and_what_was_decided_stands(plan, lose):
    lose("panel", 9)
    assert plan() == ["panel 2024-01-09", "execution_report 2024-01-18"]


def test_deciding_again_trains_the_models_whose_panels_are_others_and_makes_again_what_followed(plan, lose):
    lose("panel", 9)
    assert plan(redecide=True) == [
        "panel 2024-01-09",
        "lem_model 2024-01-17",
        "champion 2024-01-17..2024-01-18",
        "backtest AAA-USD|2024-01-17..BBB-USD|2024-01-18",
        "execution_report 2024-01-18",
    ]


def test_an_older_report_is_made_of_the_decisions_that_stand(plan):
    steps = plan(date=day(17))
    assert steps
    assert not [step for step in steps if step.startswith(("lem_model", "champion"))]


def test_deciding_an_older_date_again_goes_on_to_the_last_decision_and_its_reports(plan):
    assert plan(date=day(17), redecide=True)[-5:] == [
        "lem_model 2024-01-16",
        "champion 2024-01-16..2024-01-18",
        "backtest AAA-USD|2024-01-16..BBB-USD|2024-01-18",
        "execution_report 2024-01-17",
        "execution_report 2024-01-18",
    ]


def test_only_a_step_that_decides_again_may_replace_what_stands(stores, tiny_home):
    dates = redecided(*stores, tiny_home.universe, dates_for(tiny_home.universe, DAY, LATER))
    steps = report_steps(*stores, tiny_home.universe, dates, False)
    assert [step.tables for step in steps if step.again] == [("champion",)]


def test_what_deciding_again_replaces_is_told_beforehand(stores, tiny_home):
    _, registry = stores
    dates = redecided(*stores, tiny_home.universe, dates_for(tiny_home.universe, day(17), LATER))
    first, last = registry.promotions("tiny")
    assert told(registry, tiny_home.universe, dates)[1:] == [
        "  2024-01-16  is decided for the first time",
        f"  2024-01-17  is replaced: promoted, champion {first.champion_id}",
        f"  2024-01-18  is replaced: {last.outcome}, champion {last.champion_id}",
        "Then are made again: the backtests of 2024-01-16 to 2024-01-18, and the report(s) of 2024-01-17, 2024-01-18.",
    ]


def test_a_decision_about_a_champion_that_no_longer_was_one_stands_until_it_is_decided_again(plan, stores):
    _, registry = stores
    before, after = registry.promotion("tiny", day(17)), registry.promotion("tiny", day(18))
    assert (before.decision, after.previous_id) == ("promoted", before.champion_id)
    registry.record_promotion(replace(before, champion_id=None, decision="none"))
    assert not [step for step in plan() if step.startswith("champion")]
    assert "champion 2024-01-17..2024-01-18" in plan(redecide=True)


def test_lost_features_after_every_models_window_bring_back_panel_and_backtest_but_no_model(plan, lose):
    lose("features", 19, "AAA-USD")
    assert plan() == [
        "features AAA-USD|2024-01-19..BBB-USD|2024-01-19",
        "panel 2024-01-19",
        "backtest AAA-USD|2024-01-18..BBB-USD|2024-01-18",
        "execution_report 2024-01-18",
    ]


def test_lost_bars_bring_back_the_features_whose_history_they_are_and_what_follows(plan, lose):
    lose("bars", 4, "AAA-USD")
    assert plan()[:4] == [
        "bars AAA-USD|2024-01-04..BBB-USD|2024-01-04",
        "features AAA-USD|2024-01-09..BBB-USD|2024-01-09",
        "panel 2024-01-09",
        "execution_report 2024-01-18",
    ]


def test_data_steps_make_again_what_reads_a_lost_partition(stores, lose, tiny):
    lose("raw_bars", 12, "BBB-USD")
    steps = data_steps(stores[0], tiny(), data_dates(tiny(), day(12), day(14)), False)
    assert [(step.tables, str(step.first), str(step.last)) for step in steps] == [
        (("raw_bars",), "BBB-USD|2024-01-12", "BBB-USD|2024-01-12"),
        (("bars",), "AAA-USD|2024-01-12", "BBB-USD|2024-01-12"),
        (("features",), "AAA-USD|2024-01-12", "BBB-USD|2024-01-14"),
        (("panel",), "2024-01-12", "2024-01-14"),
    ]


def test_between_trainings_only_decisions_are_made(tmp_path, tiny):
    training = {"window_days": 8, "holdout_days": 2, "sequence": 12, "retrain_every": 5}
    universe = tiny(training=training)
    lake, registry = Lake(str(tmp_path / "lake")), Registry(f"sqlite:///{tmp_path}/registry.sqlite")
    steps = report_steps(lake, registry, universe, dates_for(universe, DAY, LATER), False)
    models = [step.text for step in steps if step.tables[0] in ("lem_model", "champion")]
    assert models == ["lem_model  2024-01-16", "champion  2024-01-16 ... 2024-01-18"]
