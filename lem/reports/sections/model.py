"""The champion: how it was trained, and what it was made from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib import style
from matplotlib.figure import Figure

from lem.reports.figures import SETTINGS, WIDTH, Picture, style_of, to_svg
from lem.reports.grids import Grid, flatten
from lem.reports.inputs import CURVE, ReportInputs
from lem.reports.section import Material, Section
from lem.reports.tables import MODEL


def stored(inputs: ReportInputs, _: pd.DataFrame, __: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The training curve; it has no rows where there is no model."""
    curve = inputs.training_curve
    return {"training": pd.DataFrame(columns=CURVE) if curve is None else curve}


def grids(inputs: ReportInputs, _: pd.DataFrame, __: Mapping[str, pd.DataFrame]) -> dict[str, Grid]:
    """The manifest, and the id that it is the hash of."""
    champion = inputs.champion
    manifest = {} if champion is None else champion.manifest | {"model_id": champion.id}
    return {"manifest": Grid("Manifest of the champion", ["Key", "Value"], flatten(manifest), numeric=False)}


def training_curve(curve: pd.DataFrame) -> Picture:
    """Gain in sigma, loss and learning rate against the training step.

    Args:
        curve: with the columns step, loss, gain_sigma and learning_rate.
    """
    panels = [("gain_sigma", "gain, sigma"), ("loss", "loss"), ("learning_rate", "learning rate")]
    with style.context(["default", SETTINGS]):
        figure = Figure(figsize=(WIDTH, 4.6), layout="constrained")
        for axes, (column, name) in zip(figure.subplots(3, 1, sharex=True), panels, strict=True):
            axes.plot(curve["step"], curve[column], color=style_of(MODEL)[0], marker="o" if len(curve) < 3 else "")
            axes.set_ylabel(name)
            axes.ticklabel_format(axis="y", scilimits=(-3, 4))
        axes.set_xlabel("training step")
        figure.align_ylabels()
        first, last = curve.iloc[0], curve.iloc[-1]
        alt = (
            f"Training curve over {len(curve)} records, "
            f"step {first['step']:.0f} to {last['step']:.0f}: gain from "
            f"{first['gain_sigma']:.3f} to {last['gain_sigma']:.3f} sigma, "
            f"loss from {first['loss']:.4g} to {last['loss']:.4g}."
        )
        caption = "Training of the champion: mean gain in sigma on its training orders, loss and learning rate."
        return Picture(to_svg(figure, "training-curve", "Training curve", alt), alt, caption)


def pictures(_: pd.DataFrame, own: Mapping[str, pd.DataFrame]) -> dict[str, Picture]:
    """The training curve."""
    return {"training_curve": training_curve(own["training"])} if len(own["training"]) else {}


def words(material: Material) -> dict[str, Any]:
    """Who the champion is."""
    return {"champion_id": material.head.champion_id, "date": material.head.date}


SECTION = Section(
    "The model",
    reads=("champion", "training_curve"),
    rows={"training": "a record of the champion's training"},
    tables=stored,
    grids=grids,
    pictures=pictures,
    words=words,
)
