"""What is deployed: the asset graph of every universe file."""

from __future__ import annotations

from lem.universe import load_universes
from lem_pipeline.build import build
from resources.settings import Settings

defs = build(load_universes(Settings().universes).values())
