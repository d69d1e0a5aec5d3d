"""From which source the raw bars of an asset are, noted beside them: one table holds one price series.

<universe>/raw_sources/asset=BTC-USDT.json

Each stored day records its source as the version of its inputs. The note says in words what that was, and stands for
days that an earlier version stored without a record: they count as from the source of the universe file with which the
first day after them was fetched.
"""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import asdict, dataclass
from typing import Any

from lem.errors import LakeError
from lem.lake import Lake
from lem.universe import Universe
from lem.universe.instruments import series_of


@dataclass(frozen=True)
class Origin:
    """The source of an asset's raw bars.

    Args:
        asset: whose bars they are.
        source: its keys on which bars depend (`SourceSection.identity`).
        bar: length of the source's bars.
        names: what the source calls the asset: (last date in ISO form, name), the oldest first; None for the last date
            of the present name.
        mixed: some days have been fetched from another source since, and not all.
    """

    asset: str
    source: dict[str, Any]
    bar: str
    names: tuple[tuple[str | None, str], ...]
    mixed: bool = False

    @classmethod
    def of(cls, universe: Universe, asset: str) -> Origin:
        """The source that the universe names for an asset."""
        told, own = universe.assets[asset], universe.source.identity()
        earlier = tuple((rename.until.isoformat(), rename.venue_symbol) for rename in told.renames)
        # As JSON gives it back, so that the two compare.
        source = json.loads(json.dumps(own, sort_keys=True))
        return cls(asset, source, universe.source_bar, (*earlier, (None, told.venue_symbol or asset)))

    @classmethod
    def read(cls, lake: Lake, universe: str, asset: str) -> Origin | None:
        """What is noted of an asset; None where nothing is.

        Args:
            lake: with the raw bars.
            universe: its name.
            asset: whose note it is.

        Raises:
            LakeError: the lake cannot be read.
        """
        path = _path(universe, asset)
        if not lake.exists(path):
            return None
        try:
            told = json.loads(lake.read_bytes(path))
            names = tuple((until, name) for until, name in told["names"])
            return cls(told["asset"], told["source"], told["bar"], names, told["mixed"])
        except (ValueError, KeyError, TypeError) as error:
            raise LakeError(
                f"lake: {lake.show(path)} does not say from which source raw bars are: {error}; allowed: the note as "
                "it was written, or none (the days beside it then count as from the source of the universe file)"
            ) from error

    def write(self, lake: Lake, universe: str) -> None:
        """Note it.

        Args:
            lake: for a step that writes.
            universe: its name.

        Raises:
            LakeError: the lake cannot be written.
        """
        lake.write_bytes(_path(universe, self.asset), f"{json.dumps(asdict(self), sort_keys=True)}\n".encode())

    def name_on(self, date: dt.date) -> str:
        """What the source called the asset on a date."""
        return next(name for until, name in self.names if until is None or date.isoformat() <= until)

    def has(self, universe: Universe, date: dt.date) -> bool:
        """Whether the universe would fetch the asset's day from this source."""
        now = series_of(universe, self.asset, date)
        return json.dumps(now, sort_keys=True) == json.dumps(
            {"source": self.source, "bar": self.bar, "name": self.name_on(date)}, sort_keys=True
        )

    @property
    def text(self) -> str:
        """In words: the keys of `[source]` that are set, the bar length and the asset's name there."""
        keys = [f"{name} = {json.dumps(value)}" for name, value in self.source.items()]
        names = [name if until is None else f"{name} until {until}" for until, name in self.names]
        return f"{', '.join(keys)}, bars of {self.bar}, asset {', '.join(names)}"


def _path(universe: str, asset: str) -> str:
    return f"{universe}/raw_sources/asset={asset}.json"
