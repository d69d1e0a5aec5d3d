"""How much a source's table had when it was last read: one that has shrunk since is held back.

<universe>/wholes/asset=BTC-USDT.json
"""

from __future__ import annotations

import datetime as dt
import json

from lem.errors import SourceError
from lem.lake import Lake
from lem.sources.base import RawBars, Whole


def whole_path(universe: str, asset: str) -> str:
    """Where it is noted in the lake how much an asset's table had."""
    return f"{universe}/wholes/asset={asset}.json"


def refuse_shrunk(lake: Lake, universe: str, asset: str, answer: RawBars) -> None:
    """Refuse an answer from a table that has shrunk since it was last read, and note how much there is otherwise.

    A table may lose its oldest rows while it grows at its end.

    Args:
        lake: for a step that writes.
        universe: its name.
        asset: whose table it is.
        answer: what the source answered; one that is no part of a table passes.

    Raises:
        SourceError: it has fewer rows without going further, or ends earlier. It says how to go on.
        LakeError: the lake cannot be read or written.
    """
    now, path = answer.whole, whole_path(universe, asset)
    if now is None:
        return
    noted = json.loads(lake.read_bytes(path)) if lake.exists(path) else None
    told = {"source": answer.source, "rows": now.rows, "first": now.first.isoformat(), "last": now.last.isoformat()}
    if noted == told:
        return
    if noted is not None and noted["source"] == answer.source:
        first, last = (dt.datetime.fromisoformat(noted[name]) for name in ("first", "last"))
        before = Whole(noted["rows"], first, last)
        rolled = now.first > before.first and now.last > before.last
        if now.last < before.last or (now.rows < before.rows and not rolled):
            raise SourceError(
                f"{answer.source}: the table has shrunk: {_told(before)} when it was last read for {asset}, "
                f"{_told(now)} now, so it is held back, and what is stored stays. Ask again when the table is whole (a "
                f"copy may be in progress); where it is meant to be as it is, delete {lake.show(path)} and run again"
            )
    lake.write_bytes(path, json.dumps(told).encode())


def _told(whole: Whole) -> str:
    return f"{whole.rows} rows from {whole.first:%Y-%m-%d %H:%M} to {whole.last:%Y-%m-%d %H:%M} UTC"
