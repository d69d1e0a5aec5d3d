"""docs/architecture.md is what the list of layers and the table of stages say, and names what is there."""

from __future__ import annotations

import os
import re

from lem.layers import LAYERS
from lem.lineage.stages import STAGES
from lem.universe import load_universe
from tests.architecture import EXAMPLE, PATH, rendered
from tests.conftest import ROOT


def test_the_pictures_are_those_of_the_list_and_the_table():
    universe = load_universe(ROOT / "universes" / f"{EXAMPLE}.toml")
    text = PATH.read_text(encoding="utf-8")
    made = rendered(text, universe)
    if os.environ.get("LEM_WRITE_DOCS") == "1":
        PATH.write_text(made, encoding="utf-8")
        text = made
    assert text == made, "make it again with: LEM_WRITE_DOCS=1 .venv/bin/python -m pytest tests/test_architecture.py"
    assert all(f"| `{name}` |" in text for name in LAYERS)
    assert all(f"| `{stage.name}` |" in text for stage in STAGES)


def test_every_file_and_module_that_the_page_names_is_there():
    text = PATH.read_text(encoding="utf-8")
    files = re.findall(r"`((?:lem|assets|resources|lem_pipeline|tests|docs|universes)/[\w./-]*\w/?)`", text)
    assert len(files) > 10
    assert [name for name in files if not (ROOT / name).exists()] == []


def test_the_page_fits_on_a_page():
    prose = re.sub(r"<!-- made: (\w+) -->\n.*?<!-- end -->", "", PATH.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert len(prose.split()) < 900
