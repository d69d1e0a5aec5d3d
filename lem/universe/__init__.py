"""A universe file, and what follows from it alone: calendars, windows of dates, the hours of the night.

Here stand the settings of every section. What is done with them stands elsewhere.
"""

from __future__ import annotations

from lem.universe.universe import Asset, Outage, Universe, load_universe, load_universes

__all__ = ["Asset", "Outage", "Universe", "load_universe", "load_universes"]
