"""The device that trains a model: `training.device`, and how its arithmetic is fixed.

Every random draw is made on the CPU and moved, so that each device sees the same batches, orders and dropout masks.
What is left is rounding: the loss curve of a GPU follows that of the CPU, and its weights are others.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, is_dataclass, replace
from typing import Any

import torch
from torch import Tensor

from lem.errors import TrainingError
from lem.universe.training_config import TrainingConfig


def devices() -> list[str]:
    """The devices of this machine, the one that `auto` means first."""
    found = ["cuda"] if torch.cuda.is_available() else []
    return [*found, *(["mps"] if torch.backends.mps.is_available() else []), "cpu"]


def with_device(config: TrainingConfig) -> TrainingConfig:
    """The settings with a device of this machine in place of `auto`.

    Args:
        config: of the training.

    Raises:
        TrainingError: this machine has no such device.
    """
    there = devices()
    # Ranks add up their gradients on the CPU.
    chosen = config.device if config.device != "auto" else there[0] if config.workers == 1 else "cpu"
    if chosen not in there:
        raise TrainingError(
            f"training.device: {chosen!r} is not there: torch {torch.__version__} finds {', '.join(there)} on this "
            "machine; allowed: one of these, or a torch and a driver for the device"
        )
    return config.model_copy(update={"device": chosen})


def machine(device: str) -> str:
    """The type of machine that fixes the bits of a training: the processor's, with the GPU's name where one is used.

    Args:
        device: as it stands in a manifest.
    """
    processor = platform.machine()
    if device == "cpu":
        return processor
    name = torch.cuda.get_device_name() if device == "cuda" and torch.cuda.is_available() else device
    return f"{processor} with {name}"


@contextmanager
def fixed_kernels(device: str) -> Iterator[None]:
    """Let cuDNN and cuBLAS take the kernels that give the same bits each time, and add in float32; nothing on a CPU."""
    if device != "cuda":
        yield
        return
    # Read by cuBLAS when it is first used; without it, torch refuses its products as not deterministic.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
            yield
    finally:
        torch.set_float32_matmul_precision(before)


def moved(value: Any, device: str) -> Any:
    """A tensor, or a dataclass with tensors in it, on a device; the same object where it is there already.

    Args:
        value: to be moved.
        device: its new place.
    """
    if isinstance(value, Tensor):
        return value.to(device)
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{f.name: moved(getattr(value, f.name), device) for f in fields(value)})
    return value
