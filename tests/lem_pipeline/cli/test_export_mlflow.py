"""`lem models export --format mlflow`: the model is registered, and loads again to the same slices."""

from __future__ import annotations

import json
import sys

import numpy as np
import onnxruntime
import pytest

from lem.registry import Registry


def newest(folder):
    return Registry(f"sqlite:///{folder}/home/registry.sqlite", read_only=True).models("tiny")[-1].id


@pytest.mark.slow
def test_a_registered_model_loads_again_and_gives_the_slices_of_its_graph(
    tiny_home, lem_command, tmp_path, monkeypatch
):
    import mlflow

    uri, folder = f"sqlite:///{tmp_path}/mlflow.sqlite", tmp_path / "model"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.chdir(tmp_path)
    where = ["models", "export", newest(tiny_home.folder), "-o", str(folder)]
    done = lem_command(tiny_home.folder, *where, "--format", "mlflow", "--registry", "desk", "--tracking-uri", uri)
    assert done.code == 0, done.out + done.err
    assert "Registered in MLflow: models:/desk/1" in done.out
    loaded = mlflow.pyfunc.load_model("models:/desk/1")
    assert loaded.metadata.metadata == {"lem_model": newest(tiny_home.folder)}
    asked = json.loads((folder / "interface.json").read_text())["graphs"]["heads"]["inputs"]
    inputs = {tensor["name"]: np.ones(1) for tensor in asked}
    inputs |= {"context": np.ones((1, 8), dtype=np.float32), "head": np.array([3]), "n": np.full(1, 3.0)}
    inputs |= {name: np.zeros(1) for name in ("bar", "min_rate", "units", "cash", "weight", "weighted")}
    graph = onnxruntime.InferenceSession(folder / "heads.onnx")
    expected = graph.run(["slice"], inputs)[0]
    assert 0 < expected[0] <= 1
    np.testing.assert_array_equal(loaded.predict(inputs, params={"graph": "heads"})["slice"], expected)


def test_without_mlflow_the_command_that_installs_it_is_named(tiny_home, lem_command, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "mlflow", None)
    model = newest(tiny_home.folder)
    done = lem_command(tiny_home.folder, "models", "export", model, "-o", str(tmp_path / "m"), "--format", "mlflow")
    assert done.code == 1
    assert "pip install 'lem-pipeline[mlflow]'" in done.err
    assert not list(tmp_path.iterdir())


def test_a_name_in_a_registry_is_refused_where_nothing_is_registered(tiny_home, lem_command, tmp_path):
    model = newest(tiny_home.folder)
    done = lem_command(tiny_home.folder, "models", "export", model, "-o", str(tmp_path / "m"), "--registry", "desk")
    assert done.code == 2
    assert "--format mlflow" in done.err
