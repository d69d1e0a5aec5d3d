"""Days of two sources in one table would be two price series: none is added before the older ones are from the same.

Days that are stored already may be fetched again from another source at any time, as that ends in one series.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from dataclasses import dataclass, replace

from lem.errors import SourceError
from lem.lake import Lake
from lem.lineage.origin import Origin
from lem.lineage.tables import dates_in
from lem.lineage.versions import Versioned
from lem.universe import Universe
from lem.universe.calendars import is_listed

RAW = "raw_bars"


@dataclass(frozen=True)
class OneSource:
    """Keeps the raw bars of an asset from one source.

    Args:
        lake: with the raw bars; for a step that writes where `begin` and `end` are called.
        universe: of the asset.
        asset: whose bars they are.
    """

    lake: Lake
    universe: Universe
    asset: str

    def refuse_mixture(self, dates: Collection[dt.date]) -> None:
        """Refuse dates some of which would be new, while other days are from another source than they will be.

        Args:
            dates: that are to be fetched.

        Raises:
            LakeError: the lake cannot be read.
            SourceError: names both sources, the older days, and what can be done.
        """
        noted, now = Origin.read(self.lake, self.universe.name, self.asset), self._now
        if noted is None or noted == now:
            return
        stored = self._stored()
        old = self._older(stored) - set(dates)
        new = sorted(date for date in set(dates) - set(stored) if is_listed(self.universe, self.asset, date))
        if not old or not new:
            return
        name = self.universe.name
        begin = f"lem backfill --universe {name} --from {min(old)} --to {max(old)}"
        raise SourceError(
            f"{name}/{self.asset}: [source] has changed: {len(old)} stored days from {min(old)} to {max(old)} are from "
            f"another one, and {new[0]} would be the first beside them from the present one: two price series in one "
            f"table\n  stored: {noted.text}\n  present: {now.text}\n"
            f"allowed: fetch the stored days again, what they replace is kept, with: {begin}; or put [source] and "
            f"[assets] back as they were; or a universe of another name, which has tables of its own (copy "
            f"{name}.toml and change `name`)"
        )

    def refuse_reading_beside(self) -> None:
        """Refuse to read bars of the present source beside stored ones of another.

        Raises:
            LakeError: the lake cannot be read.
            SourceError: the stored days are from another source; names both and what can be done.
        """
        noted, now = Origin.read(self.lake, self.universe.name, self.asset), self._now
        if noted is None or noted == now or not (old := self._older(self._stored())):
            return
        name = self.universe.name
        raise SourceError(
            f"[source] has changed: the stored days from {min(old)} to {max(old)} are from another one, and bars of "
            f"today beside them would be a second price series\n  stored: {noted.text}\n  present: {now.text}\n"
            f"allowed: fetch the stored days again with: lem backfill --universe {name} --from {min(old)} --to "
            f"{max(old)}; or put [source] and [assets] back as they were"
        )

    def begin(self, dates: Collection[dt.date]) -> None:
        """Before days are fetched: refuse a mixture, and note from where they are.

        Args:
            dates: that are to be fetched.

        Raises:
            LakeError: the lake cannot be read or written.
            SourceError: the days would be a second price series.
        """
        self.refuse_mixture(dates)
        noted = Origin.read(self.lake, self.universe.name, self.asset)
        if noted is None:
            self._now.write(self.lake, self.universe.name)
        elif noted != self._now and not noted.mixed:
            replace(noted, mixed=True).write(self.lake, self.universe.name)

    def end(self) -> None:
        """After days were fetched: note the present source if all days are from it.

        Raises:
            LakeError: the lake cannot be read or written.
        """
        noted = Origin.read(self.lake, self.universe.name, self.asset)
        if noted is not None and noted != self._now and not self._older(self._stored()):
            self._now.write(self.lake, self.universe.name)

    def older(self) -> set[dt.date]:
        """Stored days that are from another source than the universe names.

        Raises:
            LakeError: the lake cannot be read.
        """
        noted = Origin.read(self.lake, self.universe.name, self.asset)
        return set() if noted is None or noted == self._now else self._older(self._stored())

    @property
    def _now(self) -> Origin:
        return Origin.of(self.universe, self.asset)

    def _stored(self) -> list[dt.date]:
        """The days in the lake that the universe still has."""
        there = dates_in(self.lake, f"{self.universe.name}/{RAW}/asset={self.asset}", ".parquet")
        first, last = self.universe.start, self.universe.end or dt.date.max
        return [date for date in there if first <= date <= last]

    def _older(self, stored: Collection[dt.date]) -> set[dt.date]:
        return set(Versioned(self.lake, self.universe).stale(RAW, stored, assets=[self.asset]))
