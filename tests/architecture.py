"""The pictures of docs/architecture.md, made of `lem.layers` and `lem.lineage.stages`."""

from __future__ import annotations

import re

from lem.layers import LAYERS
from lem.lineage.reads import Reads
from lem.lineage.stages import STAGES, Stage
from lem.universe import Universe
from tests.conftest import ROOT

PATH = ROOT / "docs" / "architecture.md"
EXAMPLE = "sample"
"""The universe whose windows the picture of the stages shows."""


def layers() -> str:
    """The floors of `lem`, the lowest last, as one looks at a house."""
    lines = ["| room | what belongs there |", "| --- | --- |"]
    lines += [f"| `{name}` | {what} |" for name, what in reversed(LAYERS.items())]
    return "\n".join(lines)


def _window(read: Reads, universe: Universe) -> str:
    first, last = read.first(universe), read.last(universe)
    if first == last == 0:
        return ""
    return f'|"{first:+d}"|' if first == last else f'|"{first:+d} to {last:+d}"|'


def picture(universe: Universe) -> str:
    """A mermaid flow chart: an arrow for all that a stage reads, with the window where it is more than its own date."""
    lines = ["```mermaid", "flowchart LR"]
    lines += [f'    {stage.name}["{stage.name}<br/>{stage.grain.value}"]' for stage in STAGES]
    lines += [f"    {read.stage} -->{_window(read, universe)} {stage.name}" for stage in STAGES for read in stage.reads]
    return "\n".join([*lines, "```"])


def _reads(stage: Stage) -> str:
    return ", ".join(f"`{read.stage}`" for read in stage.reads) or "the source"


def table() -> str:
    """The stages: what each is, of which grain, what it reads."""
    lines = ["| stage | what it makes | one partition | made from |", "| --- | --- | --- | --- |"]
    lines += [f"| `{stage.name}` | {stage.description} | {stage.grain.value} | {_reads(stage)} |" for stage in STAGES]
    return "\n".join(lines)


def rendered(text: str, universe: Universe) -> str:
    """The page with its made parts made again: what stands between `<!-- made: NAME -->` and `<!-- end -->`."""
    parts = {"layers": layers(), "picture": picture(universe), "stages": table()}
    return re.sub(
        r"(<!-- made: (\w+) -->\n).*?(\n<!-- end -->)",
        lambda found: found[1] + parts[found[2]] + found[3],
        text,
        flags=re.DOTALL,
    )
