"""docs/notebook.ipynb: its cells run in order, without network, and it holds no outputs that could become stale."""

from __future__ import annotations

import ast
import json

import pytest
from matplotlib.figure import Figure

from tests.conftest import ROOT

NOTEBOOK = json.loads((ROOT / "docs" / "notebook.ipynb").read_text(encoding="utf-8"))
CODE = ["".join(cell["source"]) for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]


@pytest.fixture(scope="module")
def names():
    """The notebook's names after its last cell, whose value is under `shown`."""
    found: dict[str, object] = {}
    for code in CODE[:-1]:
        exec(code, found)
    last = ast.parse(CODE[-1])
    value = last.body.pop()
    exec(compile(last, "last cell", "exec"), found)
    found["shown"] = eval(ast.unparse(value), found)
    return found


@pytest.mark.slow
def test_the_notebook_trains_and_trades_one_order_whole_and_after_costs(names):
    assert set(names["executions"]) == {"lem", "twap"}
    for done in names["executions"].values():
        assert done.slices_KO[..., 0].sum().item() == pytest.approx(1.0)
        assert (done.net_gain_O <= done.gain_O).all()
    assert 3 <= names["executions"]["lem"].end_bar_O[..., 0].item() <= 12
    assert not (names["before"].ts_T[-1] >= names["after"].ts_T[0])


@pytest.mark.slow
def test_the_last_cell_draws_the_price_and_both_schedules(names):
    assert isinstance(names["shown"], Figure)
    price, traded = names["shown"].axes
    assert len(price.lines) == 1
    assert [line.get_label() for line in traded.lines] == ["lem", "twap"]


def test_the_notebook_holds_no_outputs():
    assert NOTEBOOK["nbformat"] == 4
    assert all(
        cell["outputs"] == [] and cell["execution_count"] is None for cell in NOTEBOOK["cells"] if "outputs" in cell
    )
