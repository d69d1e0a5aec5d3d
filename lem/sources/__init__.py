"""Sources of bars: one module for each kind; all of them give the same table."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from lem.sources.base import RAW_SCHEMA, RawBars, Source
from lem.universe import Universe

_NONE: Mapping[str, str] = MappingProxyType({})

__all__ = ["RAW_SCHEMA", "RawBars", "Source", "open_source"]


def open_source(universe: Universe, data_root: str, credentials: Mapping[str, str] = _NONE) -> Source:
    """The source that the universe's `[source]` section names.

    Args:
        universe: whose assets are read.
        data_root: folder or URL that `{data}` stands for in a source's URLs.
        credentials: keys of the venue (`apiKey`, `secret`, `password`); public bars need none.

    Raises:
        SourceError: the section cannot be used as it stands.
    """
    # Imported on use: a universe of files needs no exchange's client.
    from lem.sources.archive import Archive
    from lem.sources.ccxt_venue import Ccxt
    from lem.sources.files import Files
    from lem.sources.simulated import Simulated
    from lem.sources.yahoo import Yahoo

    match universe.source.kind:
        case "simulated":
            return Simulated(universe)
        case "files":
            return Files(universe, data_root)
        case "ccxt":
            return Ccxt(universe, credentials)
        case "archive":
            return Archive(universe, data_root, credentials)
        case "yfinance":
            return Yahoo(universe)
