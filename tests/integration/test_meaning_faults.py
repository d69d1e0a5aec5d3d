"""What a universe means and a source does not say: names, volume, listings, conventions, a changed source."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd
import pytest

from lem.data.bars import validate_bars
from lem.errors import LemError
from lem.lake import Lake
from lem.lineage.keys import PartitionKey
from lem.lineage.one_source import OneSource
from lem.lineage.revisions import store_raw
from lem.lineage.stages import stage_named
from lem.lineage.versions import made_with
from lem.sources import open_source
from lem.sources.volumes import volume_unit
from lem.universe import load_universe
from lem.universe.calendars import partition_window
from tests.exchange.faults_table import check, record
from tests.lem.sources.test_stamps import NEW_YORK, bars
from tests.lem.sources.test_volumes import market

PART = "What the universe says"
DATE = dt.date(2024, 1, 5)
NUMBERS = ["open", "high", "low", "close", "volume", "quote_volume"]


class Place:
    """A folder with a file of three days, hourly, and a universe of files.

    Args:
        folder: of both.
        write: writes a universe file from its keys and returns its path.
        keys: of a small universe.
    """

    def __init__(self, folder, write, keys) -> None:
        self.folder, self.write, self.keys = folder, write, keys
        self.truth = bars(pd.date_range("2024-01-04", periods=72, freq="1h", tz="UTC"))

    def universe(self, assets=None, source=None, **changes):
        told = source or {"kind": "files", "url": "{data}/{symbol}.csv", **changes.pop("files", {})}
        keys = self.keys(bar="1h", source=told, assets=assets or {"AAA-USD": {}}, settle_days=0, **changes)
        return load_universe(self.write(self.folder, keys))

    def day(self, universe, table=None, date=DATE):
        """The validated bars of a date of this file."""
        (self.truth if table is None else table).to_csv(self.folder / "AAA-USD.csv", index=False)
        answer = open_source(universe, str(self.folder)).fetch("AAA-USD", *partition_window(date))
        return validate_bars(answer.table, universe, "AAA-USD", date).table


def _two_assets_one_file(place):
    place.universe({"AAA-USD": {}, "BBB-USD": {}}, files={"url": "{data}/bars.csv"})


def _ignored_name(place):
    place.universe({"AAA-USD": {"renames": [{"until": "2024-01-05", "venue_symbol": "OLD"}]}})


def _unknown_contracts(place):
    volume_unit("woo", market(), None)


def _inverse_contracts(place):
    volume_unit("gate", market("inverse"), None)


def _inverse_archive(place):
    table = place.truth.assign(volume=(place.truth["volume"] * 1000).round())
    return place.day(place.universe(), table.assign(quote_volume=table["volume"] * 100 / table["close"]))


def _local_stamps(place):
    wall = pd.DatetimeIndex(place.truth["ts"]).tz_convert(NEW_YORK).tz_localize(None)
    return place.day(place.universe(files={"zone": NEW_YORK}), place.truth.assign(ts=wall))


def _zone_of_stamps_with_offset(place):
    return place.day(place.universe(files={"zone": NEW_YORK}))


def _close_stamps(place):
    table = place.truth.assign(ts=place.truth["ts"] + pd.Timedelta("1h"))
    return place.day(place.universe(files={"stamp": "close"}), table)


def _omitted(place):
    return place.day(place.universe(files={"absent": "no_trades"}), place.truth.drop(index=[24, 29, 30, 47]))


def _behind_the_last(place):
    return place.day(place.universe(files={"absent": "no_trades"}), place.truth.iloc[:46])


def _delisted(place):
    universe = place.universe({"AAA-USD": {"delisted": "2024-01-04"}}, source={"kind": "ccxt", "venue": "binance"})
    answer = open_source(universe, "").fetch("AAA-USD", *partition_window(DATE))
    assert validate_bars(answer.table, universe, "AAA-USD", DATE).table.empty


def _changed(place):
    lake = Lake(str(place.folder / "lake"))
    before = place.universe(source={"kind": "simulated", "seed": 3})
    one = OneSource(lake, before, "AAA-USD")
    one.begin([DATE])
    inputs = made_with(before, stage_named("raw_bars"), PartitionKey("AAA-USD", DATE))
    table = open_source(before, "").fetch("AAA-USD", *partition_window(DATE)).table
    store_raw(lake, before.name, DATE, "AAA-USD", table, inputs)
    one.end()
    after = place.universe(source={"kind": "simulated", "seed": 4})
    OneSource(lake, after, "AAA-USD").begin([DATE + dt.timedelta(days=1)])


CASES = {
    "two assets and a URL without their names": (
        _two_assets_one_file,
        "blocked: both assets, how each has its own",
    ),
    "a key of an asset that its kind of source would ignore": (_ignored_name, "blocked: the key, and what is allowed"),
    "a contract market of which nothing is known": (_unknown_contracts, "blocked: how to state what its volume counts"),
    "an inverse contract market whose volume counts contracts": (_inverse_contracts, "blocked: the size of a contract"),
    "coin-margined contracts in a file": (_inverse_archive, "blocked at validation: what the volume may count"),
    "stamps in local time, with their zone stated": (_local_stamps, "read in UTC, all bars"),
    "a zone for stamps that have an offset": (_zone_of_stamps_with_offset, "blocked: the zone would not be obeyed"),
    "stamps at the bars' close, stated": (_close_stamps, "moved to their open, all bars"),
    "bars that the venue leaves out without trades, stated": (
        _omitted,
        "without trades at the last close, flagged",
    ),
    "bars behind the last that is known, so stated": (_behind_the_last, "blocked at validation: the bars are missing"),
    "an asset that is delisted and gone": (_delisted, "nothing is asked; a partition without rows"),
    "another seed, venue, URL or name than the stored days have": (_changed, "blocked: both sources, and what to run"),
}


@pytest.mark.parametrize("fault", CASES)
def test_nothing_is_lost_or_mixed_up_by_what_a_source_does_not_say(fault, tmp_path, write_universe, tiny_keys):
    do, told = CASES[fault]
    place, lost, invented = Place(tmp_path, write_universe, tiny_keys), 0, 0
    if told.startswith("blocked"):
        with pytest.raises(LemError):
            do(place)
    elif (found := do(place)) is not None:
        truth = place.truth.set_index("ts").reindex(found["ts"])
        kept = (found["flag"] == "ok").to_numpy()
        invented = int((~np.isclose(found[kept][NUMBERS], truth[kept][NUMBERS]).all(axis=1)).sum())
        invented += int((found[~kept]["volume"] != 0).sum())
        lost = 24 - len(found)
    record(fault, told, lost, 0, invented, part=PART)
    assert (lost, invented) == (0, 0)


def test_the_docs_have_the_table():
    check(PART, CASES)
