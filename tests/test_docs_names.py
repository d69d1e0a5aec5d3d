"""Modules, paths and pages that the docs name are there."""

from __future__ import annotations

import re
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.conftest import ROOT

PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "deploy" / "README.md",
    *sorted(ROOT.glob("docs/**/*.md")),
]
PACKAGES = "lem|lem_pipeline|assets|resources|benchmarks|tests"
FOLDERS = f"{PACKAGES}|docs|universes|deploy"
MODULE = re.compile(rf"(?<![\w./@-])(?:{PACKAGES})(?:\.[a-zA-Z_]\w*)+")
PATH = re.compile(rf"(?<![\w./<>-])(?:{FOLDERS})/[\w./-]*\w")
LINK = re.compile(r"\]\(([^)#:\s]+)(?:#[\w-]+)?\)")
MADE = re.compile(r"^`([\w./-]+)`:$", re.MULTILINE)
"""A file that a page makes, on the line above its content."""
CODE = re.compile(r"^```\w+\n.*?^```$", re.MULTILINE | re.DOTALL)
OUTPUT = re.compile(r"benchmarks/out/")
TAGS = {"lem/redecide"}
"""Tags of runs, which look like paths."""


def is_there(name: str) -> bool:
    """Whether a dotted name is a module, or something inside of one."""
    inner = list[str]()
    while name:
        try:
            if find_spec(name):
                break
        except ModuleNotFoundError:  # what should hold it is no package, or is not there
            pass
        name, _, last = name.rpartition(".")
        inner.insert(0, last)
    # A module alone is not imported: some of them are programs.
    found = import_module(name) if inner else None
    for part in inner:
        found = getattr(found, part, None)
    return not inner or found is not None


def wrong(page: Path) -> list[str]:
    """What a page names and is not there."""
    text = page.read_text(encoding="utf-8")
    made = set(MADE.findall(text))
    if made:
        text = CODE.sub("", text)  # tests/test_extending.py runs it
    modules = [name for name in sorted(set(MODULE.findall(text))) if not is_there(name)]
    paths = sorted({path for path in PATH.findall(text) if not OUTPUT.match(path)} - made - TAGS)
    links = sorted({link for link in LINK.findall(text) if not (page.parent / link).exists()})
    return [*modules, *(path for path in paths if not (ROOT / path).exists()), *links]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_names_is_there(page):
    assert wrong(page) == []


def test_what_is_gone_is_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "`lem.features`, `lem.data.bars`, `lem/bars.py`, `lem/data/bars.py`, [one](page.md), [two](gone.md#a)"
    )
    assert wrong(page) == ["lem.features", "lem/bars.py", "gone.md"]
