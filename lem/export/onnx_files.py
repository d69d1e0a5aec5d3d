"""A model as a folder of files: safetensors, ONNX graphs, and what their inputs are."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import shutil
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lem.data.features import FEATURES
from lem.errors import ExportError
from lem.execution.costs_config import CostsConfig
from lem.execution.orders import SCENARIOS
from lem.export.extra import needed
from lem.export.graphs import LEDGER, ORDER_TERMS, Graph, graphs
from lem.export.verify import Verified, sessions, verify
from lem.lake import Lake
from lem.model.base import ProgrammeBase
from lem.model.contender import load_contender
from lem.model.lem import LEM
from lem.registry import ModelRecord, canonical_json
from lem.theory.table import SHAPES

MEANINGS = {
    "features": "features of the bar that closed, in the order of `features` below; 0 where it is not valid",
    "valid": "whether the bar has features",
    "context": "context of the bar that closed last; for heads.onnx one row an order",
    "head": "scenario of the order, its place in `scenarios` below",
    "last_close": "close of the last bar / arrival price; 1 before the first",
    "bar": "bars that the order has had; 0 before the first",
    **ORDER_TERMS,
    **LEDGER,
    "slice": "share of the whole order that trades in the bar",
    "price": "volume-weighted price of the bar / arrival price",
    "volume": "volume of the bar / trailing mean volume of a bar at arrival; 0 if nobody traded",
    "ends": "whether the order ends with this slice",
    "probability": "probability to finish in this bar",
    "over": "whether the order is over",
    "charged_price": "price of the slice after fee, spread and impact / arrival price",
}
"""What each input and output is."""
README = """# Model {id} of {universe}

| file | what it is |
|---|---|
| `context.onnx` | a closed bar of any number of markets: features and state in, context and state out |
| `heads.onnx` | a bar that opens: contexts, orders and their ledgers in, slices out; the theory's tables are inside |
| `book.onnx` | a closed bar of the orders: slices, prices and volumes in, ledgers out |
| `interface.json` | every input and output in order, with meaning; features, scenarios, horizon, costs |
| `weights.safetensors` | the weights, as they are registered |
| `theory.npz` | the dynamic programme that the weights correct, where they do: the same in the graphs |
| `manifest.json` | what made them |

Once a bar: context.onnx on the bar that closed; heads.onnx for each order that runs; trade; book.onnx on the bar that
closed. An output `X.after` is the next bar's input `X`. A market starts with a state of zeros (False) and is warmed up
with {warmup} bars or more; an order starts with remaining 1 and the rest of its ledger 0, and stops where `over` says
so. Only onnxruntime and numpy are needed.
"""


def export_files(lake: Lake, record: ModelRecord, folder: Path) -> Verified:
    """Write a model to a folder, which is there only once its graphs do what the model does.

    Args:
        lake: with the weights.
        record: of the model.
        folder: is made; must not be there, or be empty.

    Raises:
        ExportError: the folder holds something or cannot be written, a package is missing, the manifest lacks horizon
            or costs, or a graph gives other slices than the model.
        LakeError: the weights are missing or were changed.
        RegistryError: the manifest does not say what size the model has.
    """
    needed("onnx", "export")
    needed("onnxscript", "export")
    needed("onnxruntime", "export")
    horizon, costs = terms_of_record(record)
    model = load_contender(lake, record).model
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise ExportError(f"{folder}: is there and not empty; allowed: a new folder, or an empty one")
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as made:
            built = Path(made) / "model"
            built.mkdir()
            found = _write(built, lake, record, model, horizon, costs)
            if folder.exists():
                folder.rmdir()
            shutil.move(built, folder)
    except OSError as error:
        raise ExportError(f"{folder}: cannot be written ({error}); allowed: a folder that can be made") from error
    return found


def terms_of_record(record: ModelRecord) -> tuple[int, CostsConfig]:
    """Longest order and costs of a model.

    Raises:
        ExportError: the manifest does not say them.
    """
    if record.horizon is None or record.costs_settings is None:
        raise ExportError(
            f"model {record.id}: its manifest has no horizon or no costs; allowed: a manifest as training writes it"
        )
    return record.horizon, CostsConfig.model_validate(record.costs_settings)


def _write(folder: Path, lake: Lake, record: ModelRecord, model: LEM, horizon: int, costs: CostsConfig) -> Verified:
    for name, graph in graphs(model).items():
        _write_graph(graph, folder / f"{name}.onnx")
    interface = {
        "model": record.id,
        "universe": record.universe,
        "horizon": horizon,
        "warmup": model.config.warmup,
        "costs": costs.model_dump(),
        "features": list(FEATURES),
        "scenarios": [str(scenario) for scenario in SCENARIOS],
        "graphs": {name: _interface(session) for name, session in sessions(folder).items()},
    }
    (folder / "interface.json").write_text(json.dumps(interface, indent=1) + "\n", encoding="utf-8")
    (folder / "weights.safetensors").write_bytes(lake.read_bytes(record.weights_path))
    if isinstance(model.heads.base, ProgrammeBase):
        theory = {name: getattr(model.heads.base, name).numpy() for name in SHAPES}
        np.savez_compressed(folder / "theory.npz", **theory)
    (folder / "manifest.json").write_text(canonical_json(record.manifest) + "\n", encoding="utf-8")
    said = README.format(id=record.id, universe=record.universe, warmup=model.config.warmup)
    (folder / "README.md").write_text(said, encoding="utf-8")
    return verify(model, folder, horizon, costs)


def _write_graph(graph: Graph, path: Path) -> None:
    size = torch.export.Dim(graph.rows)
    shapes = [{dimension: size} for _, _, dimension in graph.inputs]
    fixed = graph.module.forward.__code__.co_argcount - 1
    quiet = logging.getLogger("torch.onnx")
    level = quiet.level
    quiet.setLevel(logging.ERROR)
    try:
        # What the exporter says of torch's own insides is nothing that a user can act on; what it made is verified.
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), torch.no_grad():
            warnings.simplefilter("ignore")
            program: Any = torch.onnx.export(
                graph.module.eval(),
                tuple(example for _, example, _ in graph.inputs),
                dynamo=True,
                dynamic_shapes=(*shapes[:fixed], tuple(shapes[fixed:])),
                input_names=[name for name, _, _ in graph.inputs],
                output_names=graph.outputs,
                verbose=False,
            )
        program.save(path)
    finally:
        quiet.setLevel(level)


def _interface(session: Any) -> dict[str, list[dict[str, Any]]]:
    def said(tensor: Any) -> dict[str, Any]:
        name = tensor.name.removesuffix(".after")
        meaning = MEANINGS.get(name, "what a market carries from bar to bar; zeros (False) before its first bar")
        return {"name": tensor.name, "type": tensor.type, "shape": tensor.shape, "meaning": meaning}

    return {
        "inputs": [said(tensor) for tensor in session.get_inputs()],
        "outputs": [said(tensor) for tensor in session.get_outputs()],
    }
