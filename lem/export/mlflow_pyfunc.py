"""What MLflow loads: the exported graphs behind `predict`. Copied into the model, it needs no other file of ours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mlflow.models import set_model
from mlflow.pyfunc import PythonModel


class ExportedModel(PythonModel):
    """Runs one of the graphs; `params={"graph": "context"}` says which, `heads` if left out."""

    def load_context(self, context: Any) -> None:
        """Open the graphs."""
        import onnxruntime

        folder = Path(context.artifacts["files"])
        self._graphs = {path.stem: onnxruntime.InferenceSession(str(path)) for path in folder.glob("*.onnx")}

    def predict(self, context: Any, model_input: Any, params: dict[str, Any] | None = None) -> dict[str, Any]:
        """The outputs of a graph by name, from its inputs by name (`interface.json`).

        Args:
            context: MLflow's own.
            model_input: arrays by name; those that the graph does not take are left out.
            params: `graph` is context, heads or book.
        """
        graph = self._graphs[(params or {}).get("graph", "heads")]
        fed = {tensor.name: model_input[tensor.name] for tensor in graph.get_inputs()}
        return dict(zip([tensor.name for tensor in graph.get_outputs()], graph.run(None, fed), strict=True))


set_model(ExportedModel())
