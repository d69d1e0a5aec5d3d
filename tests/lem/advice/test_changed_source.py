"""Live bars of one source are never read beside stored bars of another."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lem.lineage.keys import PartitionKey
from lem.lineage.one_source import OneSource
from lem.lineage.revisions import store_raw
from lem.lineage.stages import stage_named
from lem.lineage.versions import made_with
from lem.sources import open_source
from lem.universe.calendars import partition_window
from lem.universe.windows import history_dates
from tests.lem.advice.desk import DATE, buy

SYMBOL = "AAA-USD"


@pytest.fixture
def with_history(desk):
    """The desk, its history stored as a night stores it."""
    universe, source = desk.universe, open_source(desk.universe, "")
    dates = history_dates(universe, DATE)
    one = OneSource(desk.lake, universe, SYMBOL)
    one.begin(dates)
    for date in dates:
        inputs = made_with(universe, stage_named("raw_bars"), PartitionKey(SYMBOL, date))
        store_raw(desk.lake, universe.name, date, SYMBOL, source.fetch(SYMBOL, *partition_window(date)).table, inputs)
    one.end()
    return desk


def changed(desk):
    """The desk after somebody gave the universe another source."""
    universe = desk.universe
    other = universe.source.model_copy(update={"seed": universe.source.seed + 1})
    return replace(desk, universe=universe.model_copy(update={"source": other}))


def advised_on(desk, clock):
    advisor = desk.advisor(clock)
    advisor.submit(buy(desk.universe))
    return advisor.advise()


def test_the_source_of_the_stored_days_gives_advice(with_history, clock):
    advised = advised_on(with_history, clock)
    assert (len(advised.slices), advised.refused) == (1, {})


def test_another_source_gives_none_and_the_command_that_helps(with_history, clock):
    desk = changed(with_history)
    answer = advised_on(desk, clock)
    assert not answer.slices
    (reason,) = answer.refused.values()
    assert "[source] has changed: the stored days from 2024-01-1" in reason
    assert f"lem backfill --universe {desk.universe.name} --from" in reason
