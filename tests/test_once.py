"""What tests make once a process is what each would make by itself."""

from __future__ import annotations

import datetime as dt

import pytest

import tests.once
from lem.data.bars import validate_bars
from lem.errors import BarsError
from lem.sources import open_source
from lem.universe.calendars import partition_window
from tests.once import validate_once

DATE = dt.date(2024, 1, 10)


def test_the_same_rows_of_a_day_are_judged_once_and_any_others_anew(make_universe, monkeypatch):
    universe, judged = make_universe(), []

    def counted(*arguments):
        judged.append(arguments)
        return validate_bars(*arguments)

    monkeypatch.setattr(tests.once, "_days", {})
    monkeypatch.setattr(tests.once, "validate_bars", counted)
    raw = open_source(universe, "").fetch("AAA-USD", *partition_window(DATE)).table
    first, again = (validate_once(raw.copy(), universe, "AAA-USD", DATE) for _ in range(2))
    assert len(judged) == 1
    assert again.table.equals(first.table)
    assert again.counts == first.counts
    again.table.loc[0, "close"] = 7.0
    assert validate_once(raw.copy(), universe, "AAA-USD", DATE).table.equals(first.table)
    with pytest.raises(BarsError, match="missing bars"):
        validate_once(raw.drop(index=3), universe, "AAA-USD", DATE)
    outage = {"start": "2024-01-10T03:00:00Z", "end": "2024-01-10T04:00:00Z", "reason": "down"}
    other = make_universe(outages=[outage])
    assert validate_once(raw.copy(), other, "AAA-USD", DATE).counts["outage"] == 1
