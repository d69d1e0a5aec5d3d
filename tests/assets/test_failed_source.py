"""A source that fails for one asset: the others are fetched, written and recorded, and the run fails by name."""

from __future__ import annotations

import dagster as dg
import pandas as pd
import pytest

from lem.errors import SourceError
from lem.sources.base import refuse_failed
from tests.assets.test_graph import Place

FILES = {"kind": "files", "url": "{data}/{symbol}.csv"}


def test_the_other_assets_of_a_run_are_fetched_recorded_and_wait_for_nobody(make_universe, tiny_keys, tmp_path):
    universe = make_universe(**tiny_keys(source=FILES, assets={"AAA-USD": {}, "BBB-USD": {}, "CCC-USD": {}}))
    table = pd.DataFrame({"ts": pd.date_range("2024-01-05", periods=12, freq="4h", tz="UTC")})
    table = table.assign(open=1.0, high=1.0, low=1.0, close=1.0, volume=1.0, quote_volume=1.0)
    (tmp_path / "data").mkdir()
    for symbol in ("AAA-USD", "CCC-USD"):
        table.to_csv(tmp_path / "data" / f"{symbol}.csv", index=False)
    with dg.DagsterInstance.ephemeral() as instance:
        place = Place(universe, tmp_path, instance)
        result = place.run(["raw_bars"], "AAA-USD|2024-01-05", "CCC-USD|2024-01-06")
        assert not result.success
        wanted = {f"{symbol}|2024-01-0{day}" for symbol in ("AAA-USD", "CCC-USD") for day in (5, 6)}
        assert set(place.stored("raw_bars")) == wanted
        assert instance.get_materialized_partitions(dg.AssetKey(["tiny", "raw_bars"])) == wanted
        place.ran(["bars"], "CCC-USD|2024-01-05", "CCC-USD|2024-01-06")


def test_the_error_is_that_of_the_first_asset_and_names_the_others():
    refuse_failed({})
    with pytest.raises(SourceError, match=r"^no answer\nno bars either of: CCC, DDD$"):
        refuse_failed({"CCC": "late", "BBB": "no answer", "DDD": "late"})
