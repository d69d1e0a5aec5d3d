"""`lem models export`: what it writes, and that onnxruntime then gives the model's slices."""

from __future__ import annotations

import json
import re
import sys

import pytest

from lem.data.features import FEATURES
from lem.export.verify import answer
from lem.registry import Registry
from tests.conftest import ROOT

FILES = {
    "README.md", "book.onnx", "context.onnx", "heads.onnx", "interface.json", "manifest.json", "theory.npz",
    "weights.safetensors",
}  # fmt: skip


@pytest.fixture(scope="module")
def model(tiny_home):
    return Registry(f"sqlite:///{tiny_home.folder}/home/registry.sqlite", read_only=True).models("tiny")[-1]


@pytest.fixture(scope="module")
def exported(tiny_home, model, lem_command, tmp_path_factory):
    """The folder of an exported model, and what the command printed."""
    folder = tmp_path_factory.mktemp("export") / "model"
    done = lem_command(tiny_home.folder, "models", "export", model.id[:8], "-o", str(folder))
    assert done.code == 0, done.out + done.err
    return folder, done.out


@pytest.mark.slow
def test_a_trained_model_gives_the_same_slices_in_onnxruntime_to_the_end_of_its_orders(exported):
    said = re.search(r"(\d+) orders over 3 bars.* largest difference of a slice (\S+) of the order", exported[1])
    assert int(said[1]) == 48
    assert float(said[2]) <= 1e-5
    assert re.search(r"One step, median: torch [\d.]+ ms, onnxruntime [\d.]+ ms", exported[1])


@pytest.mark.slow
def test_the_folder_says_what_each_graph_takes_and_holds_the_registered_weights(exported, model):
    folder, _ = exported
    assert {path.name for path in folder.iterdir()} == FILES
    interface = json.loads((folder / "interface.json").read_text())
    assert interface["features"] == list(FEATURES)
    assert interface["graphs"]["heads"]["inputs"][0]["shape"] == ["orders", 8]
    assert interface["graphs"]["context"]["inputs"][0]["shape"] == ["markets", len(FEATURES)]
    for graph in interface["graphs"].values():
        assert all(tensor["meaning"] for tensor in graph["inputs"] + graph["outputs"])
    assert json.loads((folder / "manifest.json").read_text()) == model.manifest


@pytest.mark.slow
def test_the_code_of_the_page_trades_an_order_whole(exported, monkeypatch, capsys):
    page = (ROOT / "docs" / "export.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    monkeypatch.chdir(exported[0].parent)
    exec(code, {})
    slices = [
        float(share) for share in re.findall(r"^bar \d: ([\d.]+) at [\d.]+ after costs$", capsys.readouterr().out, re.M)
    ]
    assert 1 <= len(slices) <= 3
    assert sum(slices) == pytest.approx(1.0, abs=1e-3)


@pytest.mark.slow
def test_a_graph_that_gives_other_slices_is_not_written(tiny_home, model, lem_command, tmp_path, monkeypatch):
    def wrong(session, inputs):
        out = answer(session, inputs)
        return out | {"slice": out["slice"] + 1e-4} if "slice" in out else out

    monkeypatch.setattr("lem.export.verify.answer", wrong)
    done = lem_command(tiny_home.folder, "models", "export", model.id, "-o", str(tmp_path / "model"))
    assert done.code == 1
    assert re.search(r"differ from the model's by \S+ of the order over 3 bars; allowed: 1e-05", done.err)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_holds_something_is_left_as_it_is(tiny_home, model, lem_command, tmp_path):
    (tmp_path / "mine").write_text("x")
    done = lem_command(tiny_home.folder, "models", "export", model.id, "-o", str(tmp_path))
    assert done.code == 1
    assert "is there and not empty; allowed: a new folder, or an empty one" in done.err
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_without_the_extra_the_command_that_installs_it_is_named(tiny_home, model, lem_command, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    done = lem_command(tiny_home.folder, "models", "export", model.id, "-o", str(tmp_path / "model"))
    assert done.code == 1
    assert "pip install 'lem-pipeline[export]'" in done.err
    assert not list(tmp_path.iterdir())
