"""The sections of the page, one file each; their order stands in `lem.lineage.contents`."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from lem.lineage.contents import section_names

if TYPE_CHECKING:
    from lem.reports.section import Section


def sections() -> dict[str, Section]:
    """The sections by name. Imports their files, and so what draws."""
    return {name: import_module(f"{__name__}.{name}").SECTION for name in section_names()}
