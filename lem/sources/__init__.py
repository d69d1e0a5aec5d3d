"""Sources of bars: one module for each kind, and one table for all of them.

`lem.universe.source_config` lists the kinds.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType

from lem.sources.base import RAW_SCHEMA, RawBars, Source
from lem.sources.expected import OnlyExpected
from lem.sources.neighbours import WithNeighbours
from lem.universe import Universe

_NONE: Mapping[str, str] = MappingProxyType({})

__all__ = ["RAW_SCHEMA", "RawBars", "Source", "open_source"]


def open_source(universe: Universe, data_root: str, credentials: Mapping[str, str] = _NONE) -> Source:
    """The source that the universe's `[source]` section names; it is asked only for days on which an asset is listed.

    Args:
        universe: whose assets are read.
        data_root: folder or URL that `{data}` stands for in a source's URLs.
        credentials: keys of the venue (`apiKey`, `secret`, `password`); public bars need none.

    Raises:
        SourceError: the section cannot be used as it stands.
    """
    # On use: a universe of files needs no exchange's client.
    source: Source = import_module(universe.source.module).opened(universe, data_root, credentials)
    if universe.source.capabilities.absent == "no_trades":
        source = WithNeighbours(universe, source)
    return OnlyExpected(universe, source)
