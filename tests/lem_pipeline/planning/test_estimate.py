"""What a plan is said to take before it begins."""

from __future__ import annotations

import re
import shutil

import dagster as dg
import pytest

from lem.lineage.stages import stage_named
from lem_pipeline.planning.estimate import RUN_SECONDS, Rate, duration, fitted, foretold, measured_rates, seconds_of
from lem_pipeline.planning.steps import SECONDS_TAG, partitions_of
from tests.lem_pipeline.plans import run_of

pytestmark = pytest.mark.usefixtures("empty_pictures")

BARS = run_of(("raw_bars", "bars"), "AAA-USD|2024-01-01", "BBB-USD|2024-01-10")
PANEL = run_of(("panel",), "2024-01-01", "2024-01-10")


@pytest.mark.parametrize(
    ("step", "count"),
    [
        (BARS, 40),
        (PANEL, 10),
        (run_of(("features",), "AAA-USD|2024-01-05", "AAA-USD|2024-01-05"), 1),
        (run_of(("raw_bars",), "BBB-USD|2024-01-05", "BBB-USD|2024-01-06"), 2),
    ],
)
def test_the_partitions_of_a_run_are_its_tables_times_assets_times_dates(step, count, make_universe):
    assert partitions_of(make_universe(), step) == count


def test_without_earlier_runs_rates_are_assumed_and_said_to_be(make_universe):
    text = foretold(make_universe(), [BARS, PANEL], {})
    assert text.startswith("2 runs to do, 50 partitions, about ")
    assert "assumed rates" in text
    assert seconds_of(make_universe(), PANEL, {}) == pytest.approx(RUN_SECONDS + 10 * stage_named("panel").seconds)


def test_measured_rates_replace_assumed_ones(make_universe):
    rates = {("panel",): Rate(50, 25)}
    assert seconds_of(make_universe(), PANEL, rates) == 300
    assert "about 5 min (at the rates of earlier runs)" in foretold(make_universe(), [PANEL], rates)
    assert "where there are some" in foretold(make_universe(), [PANEL, BARS], rates)


@pytest.mark.slow
def test_the_runs_of_a_home_are_measured(tmp_path, tiny_keys, make_universe, write_universe, lem_command):
    # A home of its own: the history of the shared one is that of the worker which made it.
    write_universe(tmp_path / "universes", tiny_keys(name="measured"))
    made = lem_command(tmp_path, "run", "-u", "measured", "-d", "2024-01-12")
    assert made.code == 0, made.err
    with dg.DagsterInstance.get() as instance:
        rates = measured_rates(instance, make_universe(**tiny_keys(name="measured")))
    assert {("raw_bars", "bars"), ("features",), ("panel",), ("lem_model",)} <= set(rates)
    assert all(0 < rate.run + rate.partition < 600 and rate.partition >= 0 for rate in rates.values())


@pytest.mark.parametrize(
    ("runs", "rate"),
    [
        ([(100, 20.0), (1, 10.1), (50, 15.0)], Rate(10, 0.1)),
        ([(100, 20.0)], Rate(3, 0.17)),
        ([(1, 8.0), (1, 10.0)], Rate(3, 6)),
        ([(1, 2.0)], Rate(2, 0)),
        ([(1, 10.0), (100, 6.0)], Rate(8, 0)),
        ([(1, 1.0), (100, 300.0)], Rate(0, 301 / 101)),
    ],
    ids=["a line", "one run", "runs of one size", "the shortest run", "more took less", "nothing is fixed"],
)
def test_what_a_run_costs_whatever_it_makes_is_told_from_what_a_partition_costs(runs, rate):
    found = fitted(runs, least=3.0)
    assert (found.run, found.partition) == pytest.approx((rate.run, rate.partition))


@pytest.mark.slow
def test_a_run_counts_with_all_that_was_waited_for_and_a_small_one_after_a_large_one_is_foretold(
    tmp_path, lem_command, tiny_keys, write_universe
):
    """The rate of a large run alone would foretell a second for what costs a run's beginning and end."""
    write_universe(tmp_path / "universes", tiny_keys(name="slow"))
    settings = {"DAGSTER_HOME": str(tmp_path / "history")}
    backfill = ("backfill", "-u", "slow", "--from", "2024-01-08", "--to", "2024-01-28")
    assert lem_command(tmp_path, *backfill, **settings).code == 0
    shutil.rmtree(tmp_path / "home" / "lake" / "slow" / "panel")
    with dg.DagsterInstance.from_config(settings["DAGSTER_HOME"]) as instance:
        shortest = min(float(run.tags[SECONDS_TAG]) for run in instance.get_runs())

    one = lem_command(tmp_path, "backfill", "-u", "slow", "--from", "2024-01-28", "--to", "2024-01-28", **settings)
    told = re.search(r"1 runs to do, 1 partitions, about (\d+) s ", one.out)
    assert told, one.out
    assert int(told.group(1)) >= int(shortest)


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0 s"), (89, "89 s"), (200, "3 min"), (9000, "2.5 h")])
def test_a_duration_is_said_in_its_own_unit(seconds, text):
    assert duration(seconds) == text


def test_the_command_tells_runs_partitions_and_time_beforehand_and_what_is_left_on_the_way(
    tmp_path, lem_command, tiny_keys, write_universe
):
    write_universe(tmp_path / "universes", tiny_keys())
    done = lem_command(tmp_path, "backfill", "-u", "tiny", "--from", "2024-01-06", "--to", "2024-01-07")
    assert done.code == 0, done.out + done.err
    told = re.search(r"(\d+) runs to do, (\d+) partitions, about .+ \(at .*rates.*\); bars from 2024-01-01", done.out)
    assert told, done.out
    assert told.group(1, 2) == ("3", "34")
    assert done.out.index(told.group()) < done.out.index("[1/3]")
    assert len(re.findall(r"\[\d/3\] .*\(about [\d.]+ (s|min|h) left\)", done.out)) == 3
    assert re.search(r"raw bars +14 in [\d.]+ s \([\d.]+/s\)", done.out)
    again = lem_command(tmp_path, "backfill", "-u", "tiny", "--from", "2024-01-06", "--to", "2024-01-07")
    assert again.code == 0
    assert "0 runs to do, 0 partitions" in again.out
