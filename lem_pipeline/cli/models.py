"""`lem models`: list, show, compare, rebuild, export; promote and roll back by hand; the history of all decisions."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lem_pipeline.cli.options import UniverseName
from lem_pipeline.planning.days import day
from resources.opening import open_lake, open_registry, registry_to_read, universe_named
from resources.terminal import console

if TYPE_CHECKING:
    from lem.registry import PromotionRecord

models = typer.Typer(
    name="models",
    help="Registered models, the decisions about them, and decisions by hand.",
    no_args_is_help=True,
)


class Format(enum.StrEnum):
    """What a model is exported as."""

    ONNX = "onnx"
    MLFLOW = "mlflow"


ModelId = Annotated[str, typer.Argument(help="Id of a model, or its first 6 or more characters.")]
Reason = Annotated[str, typer.Option("--reason", help="Why, in words: it is kept with the decision.")]
DecisionDay = Annotated[
    str | None,
    typer.Option(
        "--date", "-d", help="First date it trades on, as 2024-03-30 (UTC); that of the last decision if left out."
    ),
]


@models.command("list")
def list_models(
    universe: Annotated[str | None, typer.Option("--universe", "-u", help="Only the models of this universe.")] = None,
) -> None:
    """List the registered models with the last decision about each, and the champion."""
    from lem_pipeline.cli.show_models import show_models

    show_models(console, registry_to_read(), universe_named(universe).name if universe else None)


@models.command()
def show(model: ModelId) -> None:
    """Show a model's manifest, metrics and the decisions about it."""
    from lem_pipeline.cli.show_models import show_model

    show_model(console, registry_to_read(), model)


@models.command()
def diff(one: ModelId, other: ModelId) -> None:
    """Show what differs between two models: what they were made from, and their metrics."""
    from lem_pipeline.cli.show_models import show_difference

    show_difference(console, registry_to_read(), one, other)


@models.command()
def promote(model: ModelId, reason: Reason, date: DecisionDay = None) -> None:
    """Make a model the champion by hand; the gate judges later models against it."""
    from lem.gate.by_hand import promote as make_champion

    lake, registry = open_lake(), open_registry()
    universe = universe_named(registry.model(model).universe)
    _say(make_champion(lake, registry, universe, model, reason, day(date) if date else None))


@models.command()
def rollback(universe: UniverseName, reason: Reason, date: DecisionDay = None) -> None:
    """Let the champion before the present one trade again; once more, and it is the one before that."""
    from lem.gate.by_hand import rollback as roll_back

    _say(roll_back(open_lake(), open_registry(), universe_named(universe), reason, day(date) if date else None))


@models.command()
def rebuild(model: ModelId) -> None:
    """Train a model again from its manifest and compare the weights; exit code 1 where they are not the same."""
    from lem.progress import showing
    from lem.training.rebuild import rebuild as train_again
    from lem_pipeline.cli.show_models import show_rebuilt

    lake, registry = open_lake(), registry_to_read()
    record = registry.model(model)
    with showing(console):
        again = train_again(lake, record)
    show_rebuilt(console, record, again)
    raise typer.Exit(int(again.weights_sha256 != record.weights_sha256))


@models.command()
def export(
    model: ModelId,
    folder: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder to be made; lem-ID in the working folder if left out.")
    ] = None,
    form: Annotated[
        Format, typer.Option("--format", help="onnx: the folder alone; mlflow: log it to MLflow as well.")
    ] = Format.ONNX,
    registry: Annotated[
        str | None, typer.Option("--registry", help="Name of the registered model in MLflow, lem-UNIVERSE if left out.")
    ] = None,
    tracking_uri: Annotated[
        str | None,
        typer.Option("--tracking-uri", help="Of MLflow; what MLFLOW_TRACKING_URI says if the option is left out."),
    ] = None,
) -> None:
    """Write a model as files that run without this package: ONNX graphs, safetensors; checked against torch."""
    from lem.export.extra import needed
    from lem.export.onnx_files import export_files

    if form is Format.MLFLOW:
        needed("mlflow", "mlflow")
    elif registry is not None or tracking_uri is not None:
        raise typer.BadParameter("--registry and --tracking-uri are allowed with --format mlflow only")

    record = registry_to_read().model(model)
    to = folder or Path(f"lem-{record.id}")
    found = export_files(open_lake(), record, to)
    edge = f" ({found.on_edge} left out where rounding decides the end)" if found.on_edge else ""
    console.print(
        f"onnxruntime against torch: {found.orders} orders over {found.bars} bars{edge}, largest difference of a slice "
        f"{found.difference:.1e} of the order"
    )
    console.print(f"One step, median: torch {found.torch_ms:.2f} ms, onnxruntime {found.onnx_ms:.2f} ms")
    console.print(f"Written: {to} (README.md and interface.json say how to run it)")
    if form is Format.MLFLOW:
        from lem.export.mlflow_model import log_model

        uri = log_model(to, registry or f"lem-{record.universe}", record.id, tracking_uri)
        console.print(f"Registered in MLflow: {uri}")


@models.command()
def history(universe: UniverseName) -> None:
    """Show every decision of a universe that was ever made, by the gate and by hand, and why."""
    from lem_pipeline.cli.show_models import show_history

    show_history(console, registry_to_read(), universe_named(universe).name)


def _say(decision: PromotionRecord) -> None:
    console.print(
        f"Champion of {decision.universe} from {decision.date} on: [bold]{decision.champion_id}[/bold] "
        f"(before: {decision.previous_id or 'none'})"
    )
    console.print(f"Next: lem run --universe {decision.universe} (makes again what the other champion traded)")
