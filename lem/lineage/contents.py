"""The sections of the page, in its order: adding or leaving out one makes another version of the report's code.

A new section is a file in `lem/reports/sections/` with a `SECTION` (`lem.reports.section`), a template of the same name
in `lem/reports/templates/sections/`, and its name here. The page, its table of contents, the stored tables and the
docs' list of them follow.
"""

from __future__ import annotations

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
