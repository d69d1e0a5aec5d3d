"""An exported folder as an MLflow model, with its entry in a registry."""

from __future__ import annotations

import warnings
from importlib.metadata import version
from pathlib import Path

from lem.errors import ExportError
from lem.export.extra import needed

CODE = Path(__file__).with_name("mlflow_pyfunc.py")


def log_model(folder: Path, name: str, model_id: str, tracking_uri: str | None = None) -> str:
    """Log a folder that `export_files` wrote and register it; the model's URI, `models:/NAME/VERSION`.

    Args:
        folder: of the files.
        name: of the registered model.
        model_id: its id here, a tag of the version.
        tracking_uri: of MLflow; what its own environment variables say if left out.

    Raises:
        ExportError: mlflow is missing, or the server does not take the model.
    """
    mlflow = needed("mlflow", "mlflow")
    pyfunc, models, types = (needed(f"mlflow.{part}", "mlflow") for part in ("pyfunc", "models", "types"))
    graph = types.ParamSchema([types.ParamSpec("graph", "string", "heads")])
    try:
        if tracking_uri is not None:
            mlflow.set_tracking_uri(tracking_uri)
        with warnings.catch_warnings(), mlflow.start_run(run_name=f"lem-{model_id}", tags={"lem_model": model_id}):
            warnings.simplefilter("ignore", UserWarning)  # a type hint of `predict` is no schema, which is meant
            logged = pyfunc.log_model(
                name="model",
                python_model=str(CODE),
                artifacts={"files": str(folder)},
                registered_model_name=name,
                pip_requirements=[f"{package}=={version(package)}" for package in ("onnxruntime", "numpy")],
                signature=models.ModelSignature(params=graph),
                metadata={"lem_model": model_id},
            )
    except (mlflow.exceptions.MlflowException, OSError) as error:
        raise ExportError(f"MLflow at {mlflow.get_tracking_uri()}: model {model_id} is not taken: {error}") from error
    return f"models:/{name}/{logged.registered_model_version}"
