"""What Dagster records of a revision, and of a run in which some partitions are bad."""

from __future__ import annotations

import datetime as dt

import dagster as dg
import pytest

from lem.lake import Lake
from lem.lineage.revisions import superseded_path
from lem.sources.simulated import Simulated
from resources.dagster_internals import DEFER_EVENTS
from tests.assets.test_graph import Place, failure

COLUMNS = ["ts", "open", "high", "low", "close", "volume", "quote_volume"]
SPAN = (dt.datetime(2024, 1, 1, tzinfo=dt.UTC), dt.datetime(2024, 1, 13, tzinfo=dt.UTC))
KEY = "AAA-USD|2024-01-12"


@pytest.fixture(scope="module")
def rows(make_universe, tiny_keys):
    return Simulated(make_universe(**tiny_keys())).fetch("AAA-USD", *SPAN).table[COLUMNS]


@pytest.fixture
def place(make_universe, tiny_keys, tmp_path, rows):
    """A universe of one file, with nothing made yet."""
    source = {"kind": "files", "url": "{data}/{symbol}.csv", "revisit_days": 3}
    universe = make_universe(**tiny_keys(assets={"AAA-USD": {}}, source=source))
    (tmp_path / "data").mkdir()
    rows.to_csv(tmp_path / "data/AAA-USD.csv", index=False)
    return Place(universe, tmp_path, dg.DagsterInstance.ephemeral())


def revise(place, rows, **changes):
    rows.assign(**changes).to_csv(place.folder / "data/AAA-USD.csv", index=False)


def metadata(place, table, key):
    """Of a partition's last event."""
    wanted = dg.AssetRecordsFilter(asset_key=dg.AssetKey(["tiny", table]), asset_partitions=[key])
    (event,) = place.instance.fetch_materializations(wanted, limit=1).records
    return {name: value.value for name, value in event.asset_materialization.metadata.items()}


@pytest.mark.parametrize("first", [KEY, "AAA-USD|2024-01-11"], ids=["one partition", "a range"])
def test_a_revision_is_told_with_both_versions_and_the_superseded_rows_are_kept(first, place, rows):
    run = [first] if first == KEY else [first, KEY]
    place.ran(["raw_bars"], *run)
    old = place.recorded("raw_bars", KEY)
    assert "revised" not in metadata(place, "raw_bars", KEY)
    place.ran(["raw_bars"], *run)
    assert place.recorded("raw_bars", KEY) == old
    assert "revised" not in metadata(place, "raw_bars", KEY)
    assert not (place.folder / "lake/tiny/superseded").exists()
    revise(place, rows, volume=rows["volume"] * 2, quote_volume=rows["quote_volume"] * 2)
    place.ran(["raw_bars"], *run)
    new = place.recorded("raw_bars", KEY)
    assert metadata(place, "raw_bars", KEY)["revised"] == f"{old} -> {new}"
    assert place.stored("raw_bars")[KEY] == new != old
    lake = Lake(str(place.folder / "lake"))
    assert lake.read_versioned(superseded_path("tiny", dt.date(2024, 1, 12), "AAA-USD", old))[1] == old


@pytest.mark.parametrize("deferred", [{}, {DEFER_EVENTS: "true"}], ids=["together", "one by one"])
def test_a_run_with_a_bad_day_fails_and_records_the_good_ones(deferred, place, rows):
    bad = rows.index[rows["ts"].dt.date == dt.date(2024, 1, 11)]
    revise(place, rows, low=rows["low"].where(rows.index != bad[2], -5.0))
    place.ran(["raw_bars"], "AAA-USD|2024-01-10", KEY, **deferred)
    result = place.run(["bars"], "AAA-USD|2024-01-10", KEY, **deferred)
    assert not result.success
    assert "tiny/AAA-USD 2024-01-11: 1 problem(s) in these bars" in failure(result)
    stored = place.stored("bars")
    assert set(stored) == {"AAA-USD|2024-01-10", KEY}
    assert {key: place.recorded("bars", key) for key in stored} == stored
