"""`lem models export`: what it writes, and that onnxruntime then gives the model's slices."""

from __future__ import annotations

import json
import re
import sys

import pytest

from lem.data.features import FEATURES
from lem.registry import Registry

FILES = {
    "README.md", "book.onnx", "context.onnx", "heads.onnx", "interface.json", "manifest.json", "weights.safetensors",
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


def test_a_trained_model_gives_the_same_slices_in_onnxruntime_to_the_end_of_its_orders(exported):
    said = re.search(r"(\d+) orders over 3 bars.* largest difference of a slice (\S+) of the order", exported[1])
    assert int(said[1]) == 48
    assert float(said[2]) <= 1e-5
    assert re.search(r"One step, median: torch [\d.]+ ms, onnxruntime [\d.]+ ms", exported[1])


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
