from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path

import pyarrow as arrow
import pytest

from lem.backtest.schema import BACKTEST_SCHEMA
from lem.errors import LakeError
from lem.lake import Lake
from lem.reports.orders import holes, read_orders
from lem.universe import Universe

pytestmark = pytest.mark.usefixtures("empty_pictures")

DATES = [dt.date(2024, 1, 9), dt.date(2024, 1, 10)]
NEW = ("capped_gain_bps", "net_gain_bps", "oracle_bps", "net_end_bar")
OLD_SCHEMA = arrow.schema([field for field in BACKTEST_SCHEMA if field.name not in NEW])


def write(lake: Lake, date: dt.date, asset: str, schema: arrow.Schema = BACKTEST_SCHEMA) -> None:
    lake.write_table(lake.path("small", "backtest", date, asset), schema.empty_table().to_pandas(), schema)


def test_backtests_of_an_earlier_version_are_refused_by_name_with_the_command(
    tmp_path: Path, make_universe: Callable[..., Universe]
) -> None:
    lake, universe = Lake(str(tmp_path)), make_universe()
    for asset in universe.symbols:
        for date in DATES:
            write(lake, date, asset)
    frame, inputs = read_orders(lake, universe, DATES)
    assert set(NEW) < set(frame.columns)
    assert len(inputs) == 4
    write(lake, DATES[0], "BBB-USD", OLD_SCHEMA)
    with pytest.raises(LakeError) as raised:
        read_orders(lake, universe, DATES)
    text = str(raised.value)
    assert "small/execution_report 2024-01-10: 1 backtest partition(s) without the column(s)" in text
    assert all(name in text for name in NEW)
    assert "BBB-USD|2024-01-09" in text
    assert "AAA-USD" not in text
    assert "lem run --universe small --date 2024-01-10 --force" in text


def test_only_dates_behind_the_first_backtest_are_holes(tmp_path: Path, make_universe: Callable[..., Universe]) -> None:
    lake, universe = Lake(str(tmp_path)), make_universe()
    dates = [dt.date(2024, 1, day) for day in range(5, 11)]
    for asset in universe.symbols:
        for date in (dates[1], dates[4], dates[5]):
            write(lake, date, asset)
    _, inputs = read_orders(lake, universe, dates)
    covered = sorted({dt.date.fromisoformat(read.partition_key.split("|")[1]) for read in inputs})
    assert covered == [dates[1], dates[4], dates[5]]
    assert holes(dates, covered) == (dates[2], dates[3])
    write(lake, dates[2], "AAA-USD")
    with pytest.raises(LakeError, match=r"BBB-USD\|2024-01-07; make them with: lem run --universe small"):
        read_orders(lake, universe, dates)
