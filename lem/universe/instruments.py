"""Each asset has bars of its own: a name that the source would not obey is refused, as is a place that two share."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from itertools import combinations
from typing import TYPE_CHECKING, Any, NamedTuple

from lem.universe.source_section import NAME_KEYS, SourceSection

if TYPE_CHECKING:
    from lem.universe.assets import Asset
    from lem.universe.universe import Universe


class _Span(NamedTuple):
    """Dates, both inclusive, on which an asset's bars are in one place."""

    symbol: str
    place: str
    first: dt.date
    last: dt.date


def series_of(universe: Universe, symbol: str, date: dt.date) -> dict[str, Any]:
    """From which source an asset's bars of a date are: another answer is another price series.

    Args:
        universe: of the asset.
        symbol: the asset.
        date: UTC.
    """
    name = universe.assets[symbol].name_on(date, symbol)
    return {"source": universe.source.identity(), "bar": universe.source_bar, "name": name}


def ignored_names(source: SourceSection, assets: Mapping[str, Asset]) -> list[str]:
    """Assets with a name that the source would not ask for, one line each.

    Args:
        source: the universe's section.
        assets: of the universe, by symbol.
    """
    obeyed = source.capabilities.name_keys
    allowed = f"{', '.join(obeyed)}, listed, delisted" if obeyed else "listed, delisted"
    return [
        f"assets.{symbol}.{key}: this source (kind {source.kind!r}) does not read it"
        f"{_why(source, key)}; allowed: {allowed}"
        for symbol, asset in assets.items()
        for key in NAME_KEYS
        if key not in obeyed and getattr(asset, key)
    ]


def _why(source: SourceSection, key: str) -> str:
    lacks = source.template and key == "venue_symbol" and "venue_symbol" not in source.capabilities.name_keys
    return f", as source.{source.template} has no {{venue_symbol}}" if lacks else ""


def shared_places(source: SourceSection, assets: Mapping[str, Asset]) -> list[str]:
    """Pairs of assets whose bars would come from one place on one date, one line each.

    Args:
        source: the universe's section.
        assets: of the universe, by symbol.
    """
    spans = [span for symbol, asset in assets.items() for span in _spans(source, symbol, asset)]
    problems = dict[tuple[str, str], str]()
    for one, other in combinations(spans, 2):
        first, last = max(one.first, other.first), min(one.last, other.last)
        if one.symbol != other.symbol and one.place == other.place and first <= last:
            when = f" from {first}" if first > dt.date.min else ""
            problems.setdefault(
                (one.symbol, other.symbol),
                f"assets.{other.symbol}: its bars{when} would be those of {one.symbol}, both are {one.place!r}; "
                f"allowed: bars of its own for each asset ({_how(source)})",
            )
    return list(problems.values())


def _how(source: SourceSection) -> str:
    if source.template:
        return f"source.{source.template} with {{symbol}}, or with {{venue_symbol}} and an own venue_symbol"
    return "an own venue_symbol, or none"


def _spans(source: SourceSection, symbol: str, asset: Asset) -> list[_Span]:
    """The asset's places from its listing to its delisting."""
    first, end = asset.listed or dt.date.min, asset.delisted or dt.date.max
    if "renames" not in source.capabilities.name_keys:
        # No name ends there, so that a listing cannot make two instruments of one place.
        return [_Span(symbol, source.place(symbol, asset.venue_symbol or symbol), dt.date.min, dt.date.max)]
    found = list[_Span]()
    for last in (*(rename.until for rename in asset.renames), dt.date.max):
        if first <= min(last, end):
            place = source.place(symbol, asset.name_on(first, symbol))
            found.append(_Span(symbol, place, first, min(last, end)))
            first = last + dt.timedelta(days=1) if last < dt.date.max else last
    return found
