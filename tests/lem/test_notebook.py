"""The code of docs/notebook.md, executed, and what the notebook's API refuses."""

from __future__ import annotations

import contextlib
import io
import os
import re
import subprocess
import sys

import pytest

import lem
from lem import Desk
from lem.errors import EvaluationError, LakeError, RegistryError
from lem.notebook import plot_schedule
from lem.strategies.rules import rule_names
from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "notebook.md").read_text(encoding="utf-8")
CODE = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
SHOWN = re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture(scope="module")
def place(tmp_path_factory, tiny_keys, write_universe, lem_command):
    """A folder that looks like a checkout in which a small `sample` was run."""
    folder = tmp_path_factory.mktemp("notebook")
    write_universe(folder / "universes", tiny_keys(name="sample", start="2024-03-01", end="2024-03-31"))
    done = lem_command(folder, "run", "-u", "sample", "-d", "2024-03-29")
    assert done.code == 0, done.out + done.err
    (folder / ".lem").symlink_to(folder / "home")
    return folder


@pytest.fixture(scope="module")
def printed(place):
    """What each block of code of the page prints there."""
    names, outputs, here = {}, [], os.getcwd()
    os.chdir(place)
    try:
        for code in CODE:
            out = io.StringIO()
            with contextlib.redirect_stdout(out):
                exec(code, names)
            outputs.append(out.getvalue())
    finally:
        os.chdir(here)
    return outputs


def words_before_figures(text: str) -> list[str]:
    return [line.split()[0] for line in text.splitlines() if line.strip()]


@pytest.mark.thorough
def test_the_code_of_the_page_runs_and_prints_what_the_page_shows(place, printed):
    assert len(CODE) == len(SHOWN) == 2
    bars, champion = printed[0].splitlines()[:4], printed[0].splitlines()[4]
    assert bars[0].split() == SHOWN[0].splitlines()[0].split() == ["asset", "ts", "vwap", "volume"]
    assert re.fullmatch(r"[0-9a-f]{16} trained on days before 2024-03-\d\d", champion)
    assert re.fullmatch(r"[0-9a-f]{16} trained on days before 2024-03-\d\d", SHOWN[0].splitlines()[4])
    assert words_before_figures(printed[0])[5:] == words_before_figures(SHOWN[0])[5:]
    assert words_before_figures(printed[1]) == words_before_figures(SHOWN[1])
    assert (place / "gains.svg").read_text().count("<svg") == 1


@pytest.mark.thorough
def test_the_first_block_has_about_ten_lines(printed):
    assert len(CODE[0].strip().splitlines()) <= 12


@pytest.mark.thorough
def test_orders_run_by_hand_gain_what_the_backtest_says(place):
    desk = Desk(place / "universes" / "sample.toml", home=place / "home")
    keys = ["asset", "arrival", "side", "benchmark", "target", "min_bars", "strategy"]
    mine = desk.run(None, "2024-03-29").set_index(keys)["gain_bps"].sort_index()
    stored = desk.table("backtest", "2024-03-29")
    stored = stored[stored["status"] == "done"].set_index(keys)["gain_bps"].sort_index()
    assert mine.index.equals(stored.index)
    # A longer warm-up than the backtest's changes the contexts of the model by a rounding.
    assert (mine - stored).abs().max() < 1e-3
    figure = plot_schedule(desk.run(None, "2024-03-29"))
    assert len(figure.axes[0].lines) == len(rule_names()) + 1


@pytest.mark.thorough
def test_what_is_not_there_is_refused_by_name(place):
    desk = Desk(place / "universes" / "sample.toml", home=place / "home")
    with pytest.raises(RegistryError, match="sample: no model trades on 2024-03-02"):
        desk.champion("2024-03-02")
    with pytest.raises(LakeError, match="lem backfill"):
        desk.table("panel", "2024-03-02")
    with pytest.raises(EvaluationError, match="no partition from 2024-03-20 to 2024-03-10"):
        desk.table("panel", "2024-03-20", "2024-03-10")
    with pytest.raises(AttributeError, match="no attribute 'Desks'; it exports"):
        lem.Desks  # noqa: B018


def test_importing_the_package_loads_neither_torch_nor_pandas_and_every_name_is_there():
    script = "import sys, lem; print(sorted({'torch', 'pandas', 'dagster', 'matplotlib'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"
    assert set(lem.__all__) <= set(dir(lem))
    assert all(getattr(lem, name).__doc__ or name in ("FEATURES", "SCENARIOS") for name in lem.__all__)
