"""How a model is trained, as it stands under `[training]` in a universe file."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class TrainingConfig(BaseModel):
    """Training of one model.

    Args:
        window_days: partitions (days or sessions) before the model's date that are read.
        holdout_days: the last of them, kept for the promotion gate and never trained on.
        retrain_every: train on every n-th partition date of the universe; between them the champion stays.
        steps: optimiser steps.
        batch: sequences in a step.
        sequence: bars in a sequence.
        arrival_every: an order arrives at every n-th bar of a sequence, from a bar on that is drawn anew in each step.
            Orders that arrive a bar apart live through nearly the same bars: fewer of them teach nearly as much.
            In a sequence with fewer bars than that to arrive at there is one.
        learning_rate: peak of the one-cycle schedule.
        weight_decay: AdamW's decay.
        clip: limit of the gradient's norm.
        risk_aversion: range [low, high] from which training draws lambda (per sigma).
        risk_neutral: share of the orders whose lambda is 0.
        risk: what lambda / 2 multiplies, g the gain after impact in sigma: the `shortfall` of `lem.execution.worth`,
            or the `deviation` E[g^2] (the paper's), which punishes a gain like a loss.
        direction: how far the direction of prices is believed in the mean of orders against TWAP, 0 (a martingale) to 1
            (as it was in the training window); see `lem.training.objective`.
        direction_vwap: the same of orders against VWAP, whose benchmark nobody knows beforehand.
        free: share of the orders that trade without costs.
        usual: share of the orders that have the universe's size and cap; the others' sizes lie around it.
        tracking_weight: weight of E|g| for orders with a fixed end (m = N), which have nothing to time.
        mirror: show half of the sequences upside down (1 / price), drawn anew each time.
        seed: of the weights and of every draw.
        threads: CPU threads of a rank; another number gives other bits.
        workers: ranks (processes) that share every batch; another number gives other bits.
        device: that trains: `cpu`, `cuda`, `mps`, or `auto` for the GPU of the machine that trains, if it has one. The
            manifest names the one that it was; each gives other bits.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    window_days: Annotated[int, Field(ge=2, le=5000)] = 90
    holdout_days: Annotated[int, Field(ge=1, le=1000)] = 14
    retrain_every: Annotated[int, Field(ge=1, le=366)] = 1
    steps: Annotated[int, Field(ge=1, le=100_000)] = 800
    batch: Annotated[int, Field(ge=1, le=1024)] = 16
    sequence: Annotated[int, Field(ge=8, le=4096)] = 192
    arrival_every: Annotated[int, Field(ge=1, le=64)] = 4
    learning_rate: Annotated[float, Field(gt=0, lt=1)] = 8e-3
    weight_decay: Annotated[float, Field(ge=0, lt=1)] = 5e-2
    clip: Annotated[float, Field(gt=0)] = 1.0
    risk_aversion: tuple[Annotated[float, Field(ge=0)], Annotated[float, Field(gt=0)]] = (0.02, 4.0)
    risk_neutral: Annotated[float, Field(ge=0, le=1)] = 0.4
    risk: Literal["shortfall", "deviation"] = "shortfall"
    direction: Annotated[float, Field(ge=0, le=1)] = 0.0
    direction_vwap: Annotated[float, Field(ge=0, le=1)] = 0.5
    free: Annotated[float, Field(ge=0, le=1)] = 0.25
    usual: Annotated[float, Field(ge=0, le=1)] = 0.4
    tracking_weight: Annotated[float, Field(ge=0)] = 1.5
    mirror: bool = True
    seed: Annotated[int, Field(ge=0)] = 0
    threads: Annotated[int, Field(ge=1, le=256)] = 1
    workers: Annotated[int, Field(ge=1, le=64)] = 1
    device: Literal["cpu", "cuda", "mps", "auto"] = "cpu"

    @model_validator(mode="after")
    def _shares(self) -> TrainingConfig:
        if self.workers > self.batch:
            raise ValueError(f"workers: {self.workers} cannot share a batch of {self.batch}; allowed: batch or fewer")
        if self.workers > 1 and self.device in ("cuda", "mps"):
            raise ValueError(
                f"device: {self.device!r} with {self.workers} workers, who add up their gradients on the CPU; allowed: "
                "'cpu', or workers = 1"
            )
        if self.free + self.usual > 1.0:
            raise ValueError(f"free: {self.free:g} with usual {self.usual:g}; allowed: at most 1 together")
        return self
