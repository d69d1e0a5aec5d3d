"""What is deployed: the asset graph of every universe file."""

from __future__ import annotations

from lem_pipeline.build import build
from resources.opening import all_universes

defs = build(all_universes().values())
