"""README and the documentation's site: what README says comes from where it names, and the site has no broken link."""

from __future__ import annotations

import os
import re
import subprocess
import sys

from tests.conftest import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
WORDS = re.sub(r"\s+", " ", README)


def test_the_site_builds_in_strict_mode_with_readme_as_its_first_page(tmp_path):
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    first = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "One order" in first
    assert 'href="overview.html#what-came-out"' in first
    assert (tmp_path / "source/lem/theory/programme.py").is_file()
    assert not re.search(r'<(?:script|link|img)[^>]+(?:src|href)="https?://', first), "pages need no network"


def test_the_figures_of_readme_stand_in_the_results():
    results = (ROOT / "docs/results.md").read_text(encoding="utf-8")
    part = WORDS[WORDS.index("**Three figures**") : WORDS.index("What is gained is less risk")]
    figures = re.findall(r"[+-]?\d+\.\d \([+-]?\d+\.\d to [+-]?\d+\.\d\)", part)
    assert len(figures) == 5
    assert [figure for figure in figures if figure not in results] == []


def test_the_order_of_readme_has_the_form_that_the_command_prints_and_its_gains_follow_from_its_prices():
    form = r"paid ([\d.]+) over \d+ bars, where VWAP was ([\d.]+): gain ([−\d.]+) bps, kept after costs, under the cap,"
    found = re.findall(rf"- (TWAP|LEM model) {form}", WORDS)
    assert [name for name, *_ in found] == ["TWAP", "LEM model"]
    for _, paid, vwap, gain in found:
        assert abs(1e4 * (1 - float(paid) / float(vwap)) - float(gain.replace("−", "-"))) < 0.1


def test_the_first_page_is_short_and_its_picture_small():
    assert len(README.splitlines()) <= 120
    assert (ROOT / "docs/report.png").stat().st_size < 300_000
