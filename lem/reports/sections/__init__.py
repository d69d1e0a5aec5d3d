"""The sections of the page, in its order.

A new one is a file here with a `SECTION` (`lem.reports.section`), a template of the same name in `templates/sections/`,
and its name in this list. The page, its table of contents, the stored tables and the docs' list of them follow. Reading
the names imports nothing that draws.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lem.reports.section import Section

SECTIONS: tuple[str, ...] = (
    "gate",
    "gain",
    "groups",
    "costs",
    "distribution",
    "time",
    "orders",
    "leaks",
    "drift",
    "model",
    "quality",
    "excluded",
    "versions",
    "glossary",
)


def section_names() -> tuple[str, ...]:
    """Names of the sections: of their files, their templates, and their places on the page."""
    return SECTIONS


def sections() -> dict[str, Section]:
    """The sections by name. Imports their files, and so what draws."""
    return {name: import_module(f"{__name__}.{name}").SECTION for name in SECTIONS}
