"""A universe file, and what follows from it alone: calendars, windows of dates, the hours of the night.

The settings of every section of the file belong here; the code that uses them does not.
"""

from __future__ import annotations

from lem.universe.assets import Asset, Outage
from lem.universe.universe import Universe, load_universe, load_universes

__all__ = ["Asset", "Outage", "Universe", "load_universe", "load_universes"]
