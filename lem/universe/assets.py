"""What a universe lists: its assets with their names and days, and the outages of their venue."""

from __future__ import annotations

import datetime as dt
import re
from decimal import Decimal
from itertools import pairwise
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

SYMBOL = re.compile(r"^[A-Z0-9][A-Z0-9.]*(-[A-Z0-9]+)?$")

Step = Annotated[Decimal, Field(gt=0, le=Decimal("1e15"), decimal_places=18, allow_inf_nan=False)]
"""What a venue takes amounts and prices in."""


class Section(BaseModel):
    """Keys of a universe file; others are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Rename(Section):
    """An earlier name of an asset.

    Args:
        until: last UTC date of the name, inclusive.
        venue_symbol: what the venue called the asset until then.
    """

    until: dt.date
    venue_symbol: Annotated[str, Field(min_length=1)]


class Asset(Section):
    """One asset.

    Args:
        venue_symbol: what the venue calls it; if left out, as its symbol here.
        listed: first UTC date of its listing.
        delisted: last UTC date of its listing, inclusive.
        renames: its earlier names, the oldest first.
        lot: amounts that the venue takes are multiples of it, in base currency.
        tick: prices are multiples of it, in quote currency.
        min_amount: least amount of a trade, in base currency.
        min_notional: least amount times price of a trade, in quote currency.
    """

    venue_symbol: str | None = None
    listed: dt.date | None = None
    delisted: dt.date | None = None
    renames: tuple[Rename, ...] = ()
    lot: Step | None = None
    tick: Step | None = None
    min_amount: Step | None = None
    min_notional: Step | None = None

    @model_validator(mode="after")
    def _renames_in_order(self) -> Asset:
        until = [rename.until for rename in self.renames]
        if any(later <= earlier for earlier, later in pairwise(until)):
            raise ValueError("renames: each must end later than the one before it")
        if self.listed and self.delisted and self.delisted < self.listed:
            raise ValueError(f"delisted: {self.delisted} lies before listed {self.listed}")
        return self

    def name_on(self, date: dt.date, symbol: str) -> str:
        """What the venue calls the asset `symbol` in its bars of a UTC date."""
        earlier = (rename.venue_symbol for rename in self.renames if date <= rename.until)
        return next(earlier, self.venue_symbol or symbol)


class Outage(Section):
    """A time in which the venue made no bars.

    Args:
        start: begin, UTC.
        end: end, UTC, exclusive.
        assets: whose bars; if left out, those of all assets.
        reason: in words, for people.
    """

    start: dt.datetime
    end: dt.datetime
    assets: tuple[str, ...] | None = None
    reason: str = Field(min_length=1)

    @field_validator("start", "end")
    @classmethod
    def _utc(cls, value: dt.datetime) -> dt.datetime:
        return value.replace(tzinfo=dt.UTC) if value.tzinfo is None else value.astimezone(dt.UTC)

    @model_validator(mode="after")
    def _ordered(self) -> Outage:
        if self.end <= self.start:
            raise ValueError(f"the outage ends at {self.end} and starts at {self.start}: end must be later")
        return self
