"""One night's model: read the window from the lake, train, store the weights, register the manifest."""

from __future__ import annotations

import datetime as dt
import time
from dataclasses import asdict, dataclass

import pandas as pd

from lem.data.panel import Panel
from lem.errors import TrainingError
from lem.execution.costs_config import CostsConfig
from lem.lake import Lake
from lem.lineage.keys import name_missing
from lem.lineage.tables import missing_partitions, read_range
from lem.model.lem import weights_hash
from lem.progress import track
from lem.registry import ModelRecord, Registry
from lem.registry.records import InputVersion
from lem.training.device import with_device
from lem.training.manifest import CURVE_SCHEMA, curve_path, model_record, weights_path
from lem.training.ranks import train_on_ranks
from lem.training.trainer import Trained
from lem.universe import Universe
from lem.universe.model_config import ModelConfig
from lem.universe.training_config import TrainingConfig
from lem.universe.windows import TrainingWindow, dates_before, training_window


@dataclass(frozen=True)
class TrainedModel:
    """A registered model.

    Args:
        record: as it is registered.
        trained: the model and its training curve.
        train_seconds: duration of training, storing and registering.
    """

    record: ModelRecord
    trained: Trained
    train_seconds: float


def train_showing(
    panel: Panel, horizon: int, model: ModelConfig, training: TrainingConfig, costs: CostsConfig, what: str
) -> Trained:
    """Train on ranks (`train_on_ranks`), with progress shown where somebody asked for it (`lem.progress`).

    Args:
        panel: the training window.
        horizon: N of the longest order.
        model: size of the model.
        training: settings of the training.
        costs: of the orders that it will trade.
        what: words beside the progress.
    """
    ticks = track(range(training.steps), what)

    def on_step(step: int, loss: float) -> None:
        next(ticks, None)

    trained = train_on_ranks(panel, horizon, model, training, costs, on_step)
    for _ in ticks:  # closes the progress bar
        pass
    return trained


@dataclass(frozen=True)
class Reading:
    """What a night's model is trained on.

    Args:
        window: its dates.
        panel: of the window.
        inputs: every partition that was read, with its version.
    """

    window: TrainingWindow
    panel: Panel
    inputs: list[InputVersion]


def read_window(lake: Lake, universe: Universe, date: dt.date) -> Reading:
    """The training window of the model that may trade on `date`.

    Args:
        lake: with the panels.
        universe: of the model.
        date: UTC.

    Raises:
        TrainingError: the window is incomplete; the message lists every missing partition.
    """
    window = training_window(universe, date)
    dates = dates_before(universe, window.start, window.train_end)
    if window.start < universe.start:
        raise TrainingError(
            f"{universe.name}/lem_model {date}: the window starts on {window.start}, the universe on "
            f"{universe.start}; allowed: "
            f"dates with training.window_days = {universe.training.window_days} partitions before them"
        )
    missing = missing_partitions(lake, universe, "panel", dates)
    if missing:
        raise TrainingError(
            f"{universe.name}/lem_model {date}: {len(missing)} of {len(dates)} partitions of the window "
            f"[{window.start}, "
            f"{window.train_end}) are missing: {name_missing(missing)}; make them with: lem backfill --universe "
            f"{universe.name} --from {missing[0]} --to {missing[-1]}"
        )
    table, inputs = read_range(lake, universe, "panel", dates)
    return Reading(window, Panel.from_table(table), inputs)


def train_for(lake: Lake, registry: Registry, universe: Universe, date: dt.date) -> TrainedModel:
    """Train, store and register the model that may trade on `date`.

    Args:
        lake: with the panels; the weights and the training curve are stored there.
        registry: where the model is registered.
        universe: of the model.
        date: UTC.

    Raises:
        TrainingError: this machine has no such device, the window is incomplete (the message lists every missing
            partition) or nothing can be learnt.
    """
    # The manifest names the device that trains, whatever `auto` will mean elsewhere.
    universe = universe.model_copy(update={"training": with_device(universe.training)})
    reading = read_window(lake, universe, date)
    started = time.monotonic()
    trained = train_showing(
        reading.panel,
        universe.horizon,
        universe.model,
        universe.training,
        universe.costs,
        f"{universe.name}: training for {date}",
    )
    weights = trained.model.weights()
    sha256 = weights_hash(weights)
    record = model_record(universe, date, reading.window, reading.inputs, sha256)
    # Weights first, under their own hash: a run killed here leaves an object that nothing names.
    lake.write_bytes(weights_path(universe.name, sha256), weights)
    curve = pd.DataFrame([asdict(point) for point in trained.curve])
    lake.write_table(curve_path(universe.name, record.id), curve, CURVE_SCHEMA)
    registry.add_model(record)
    last = trained.curve[-1]
    registry.set_metrics(
        record.id,
        "train",
        {"loss": last.loss, "gain_sigma": last.gain_sigma, "arrivals": float(trained.arrivals)},
    )
    return TrainedModel(record, trained, time.monotonic() - started)


def help_to_train(lake: Lake, universe: Universe, date: dt.date) -> None:
    """The part of `train_for` that the other ranks do beside rank 0 under `torchrun`: they train and store nothing.

    Args:
        lake: as in `train_for`.
        universe: as in `train_for`.
        date: as in `train_for`.

    Raises:
        TrainingError: as in `train_for`; or this rank has read or computed something else than rank 0.
    """
    panel = read_window(lake, universe, date).panel
    train_on_ranks(panel, universe.horizon, universe.model, universe.training, universe.costs)
