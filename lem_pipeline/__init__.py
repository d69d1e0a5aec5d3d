"""What is deployed: definitions, and the `lem` command.

`UniverseComponent`, `definitions`, `run_queue`, `worker` and `train_rank` are addresses that deployments write into
their own files and commands (defs.yaml, workspace.yaml, dagster.yaml, celery, torchrun): they stay where they are. All
else has its room: `cli`, `planning`, `running`, `repair`, `service`. `defs` is where `dg` adds what is yours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lem_pipeline.component import UniverseComponent as UniverseComponent

_LATER = "UniverseComponent"  # it imports Dagster, which commands that only look at data do without


def __getattr__(name: str) -> Any:
    if name != _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from lem_pipeline.component import UniverseComponent

    return UniverseComponent


def __dir__() -> list[str]:
    return [*globals(), _LATER]  # dg looks here for components
