"""What is deployed: the asset graph of every universe file, and in a checkout what stands in `lem_pipeline/defs`."""

from __future__ import annotations

from collections.abc import Iterator

import dagster as dg

from resources.collecting import collect_rarely
from resources.opening import all_universes
from resources.settings import ROOT


def _parts() -> Iterator[dg.Definitions]:
    collect_rarely()  # a process that loads these is a code server of ours, or carries out a run
    from lem_pipeline.build import build  # after that: most of the time is imports

    yield build(all_universes().values())
    if (ROOT / "pyproject.toml").is_file():
        yield dg.load_from_defs_folder(path_within_project=ROOT)


defs = dg.Definitions.merge(*_parts())  # the only name for definitions here: Dagster refuses a second one
