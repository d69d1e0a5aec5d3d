"""Sources of bars: one module a kind, one table for all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lem.sources.base import RAW_SCHEMA, RawBars, Source

if TYPE_CHECKING:
    from lem.universe import Universe

__all__ = ["RAW_SCHEMA", "RawBars", "Source", "open_source"]


def open_source(universe: Universe, data_root: str) -> Source:
    """The source that the universe's `[source]` section names.

    Args:
        universe: whose assets are read.
        data_root: folder or URL that `{data}` stands for in a file source's url.

    Raises:
        SourceError: the section cannot be used as it stands.
    """
    # The universe imports this package for its [source] section: what needs the universe is imported on use.
    from lem.sources.files import Files
    from lem.sources.simulated import Simulated

    return Simulated(universe) if universe.source.kind == "simulated" else Files(universe, data_root)
