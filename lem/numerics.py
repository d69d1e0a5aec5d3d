"""What fixes the bits of a floating-point result: the number of threads and the choice of kernels."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


@contextmanager
def reproducible(threads: int = 1) -> Iterator[None]:
    """Run with a fixed number of threads and deterministic kernels; both are restored on leaving.

    One thread is the default: in a recurrence over small matrices, waiting for a second thread costs what it gains.
    """
    before, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    memory: Any = torch.utils.deterministic
    fill = memory.fill_uninitialized_memory
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    # Torch would fill all new memory with a value, for debugging; that costs a tenth of a training step.
    memory.fill_uninitialized_memory = False
    try:
        yield
    finally:
        torch.set_num_threads(before)
        torch.use_deterministic_algorithms(deterministic)
        memory.fill_uninitialized_memory = fill
