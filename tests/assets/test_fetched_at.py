"""When a raw partition was fetched: recorded with it (UTC), and no part of what its data version is made of."""

from __future__ import annotations

import datetime as dt

import dagster as dg
import pytest

from resources.dagster_internals import DEFER_EVENTS
from tests.assets.test_graph import Place
from tests.assets.test_revisions import metadata

FIRST, KEY = "AAA-USD|2024-01-11", "AAA-USD|2024-01-12"


@pytest.fixture
def place_of(make_universe, tiny_keys, tmp_path):
    """`place_of("a")`: the simulated universe with a lake and a history of its own."""

    def make(name):
        return Place(make_universe(**tiny_keys()), tmp_path / name, dg.DagsterInstance.ephemeral())

    return make


def fetched(place, *run, **tags):
    """Fetch partitions up to KEY. What is recorded of KEY: the moment, its text and the data version."""
    before = dt.datetime.now(dt.UTC)
    place.ran(["raw_bars"], *run, **tags)
    after = dt.datetime.now(dt.UTC)
    text = metadata(place, "raw_bars", KEY)["fetched_at"]
    moment = dt.datetime.fromisoformat(text)
    assert moment.utcoffset() == dt.timedelta(0), text
    assert before <= moment <= after
    return moment, text, place.recorded("raw_bars", KEY)


@pytest.mark.parametrize(("run", "tags"), [((KEY,), {}), ((FIRST, KEY), {}), ((FIRST, KEY), {DEFER_EVENTS: "true"})])
def test_each_fetch_is_recorded_with_its_own_moment_in_utc_and_has_the_same_data_version(run, tags, place_of):
    place = place_of("here")
    (first, _, version), (second, _, again) = (fetched(place, *run, **tags) for _ in range(2))
    assert first < second
    assert version == again == place.stored("raw_bars")[KEY]


def test_the_same_bars_fetched_elsewhere_at_another_moment_are_the_same_bytes(place_of):
    """In a lake that has nothing yet the partition is written, and not only compared with what is there."""
    here, there = place_of("here"), place_of("there")
    (first, text, version), (second, _, other) = (fetched(place, KEY) for place in (here, there))
    assert first < second
    assert version == other
    path = here.lake.path("tiny", "raw_bars", dt.date(2024, 1, 12), "AAA-USD")
    assert here.lake.read_bytes(path) == there.lake.read_bytes(path)
    assert text.encode() not in here.lake.read_bytes(path)
