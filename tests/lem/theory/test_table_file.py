"""The solved table in the package: what is read is what the code would solve, or an error says how to make it again."""

from __future__ import annotations

import shutil
import tomllib

import numpy as np
import pytest
import torch

from lem import code
from lem.errors import LemError
from lem.theory import solve_table, table
from tests.conftest import ROOT


@pytest.mark.parametrize("n", [3, pytest.param(4, marks=pytest.mark.slow)])
def test_the_file_holds_what_the_code_solves(n):
    stored, solved = table.programme_table(), solve_table.solve_bars(n)
    place, rows = table.BARS.index(n), table.rows_of(sum(table.BARS))
    for name, first in (("margin", rows.first_end[place]), ("pace", rows.first[place])):
        there = stored[name][first : first + len(solved[name])].double().numpy()
        off = np.abs(there - solved[name].astype(np.float64))
        # A last bit of another machine's product may round to a neighbour.
        assert off.max() <= 1
        assert (off > 0).mean() < 0.01


def test_the_table_has_its_shapes_and_each_call_gives_its_own():
    one, other = table.programme_table(), table.programme_table()
    assert {name: tuple(part.shape) for name, part in one.items()} == table.SHAPES
    one["pace"].zero_()
    assert other["pace"].any()


@pytest.mark.parametrize("change", [{"C": torch.tensor([0.1, 0.2])}, {"BARS": (2, 12)}, {"VERSION": 0}, {"STEPS": 41}])
def test_a_table_of_other_grids_is_refused_with_the_command_that_makes_it_again(monkeypatch, change):
    for name, value in change.items():
        monkeypatch.setattr(table, name, value)
    with pytest.raises(
        LemError, match=r"programme_table\.npz: made from other grids .*`python -m lem\.theory\.solve_table`"
    ):
        table.programme_table()


def test_a_missing_or_broken_file_is_refused_with_the_command_that_makes_it_again(monkeypatch, tmp_path):
    path = tmp_path / "programme_table.npz"
    monkeypatch.setattr(table, "FILE", path)
    said = r"no table of the dynamic programme can be read .*`python -m lem\.theory\.solve_table` makes it again"
    with pytest.raises(LemError, match=said):
        table.programme_table()
    for content in (b"", b"PK\x03\x04 torn", ROOT.joinpath("lem/theory/programme_table.npz").read_bytes()[:-1000]):
        path.write_bytes(content)
        with pytest.raises(LemError, match=said):
            table.programme_table()


@pytest.mark.thorough
def test_the_command_writes_what_is_read(monkeypatch, tmp_path):
    for module in (table, solve_table):
        monkeypatch.setattr(module, "FILE", tmp_path / "programme_table.npz")
        monkeypatch.setattr(module, "BARS", (2,))
    monkeypatch.setattr(table, "VERSION", table.VERSION + 1)
    solve_table.write_table()
    assert [path.name for path in tmp_path.iterdir()] == ["programme_table.npz"]
    read, solved = table.programme_table(), solve_table.solve_bars(2)
    assert all(np.array_equal(read[name].numpy(), solved[name]) for name in table.SHAPES)


def test_the_file_is_part_of_the_package_and_of_the_codes_version(monkeypatch, tmp_path):
    package = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["package-data"]
    assert any(table.FILE.match(pattern) for pattern in package["lem.theory"])
    assert table.FILE.exists()
    shutil.copytree(code.LIBRARY / "theory", tmp_path / "theory")
    monkeypatch.setattr(code, "LIBRARY", tmp_path)
    before = code.code_version.__wrapped__()
    (tmp_path / "theory" / table.FILE.name).write_bytes(b"another table")
    assert code.code_version.__wrapped__() != before
