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
    before, mode = torch.get_num_threads(), torch.get_deterministic_debug_mode()
    memory: Any = torch.utils.deterministic
    fill = memory.fill_uninitialized_memory
    torch.set_num_threads(threads)
    # The same as `use_deterministic_algorithms`, which also imports torch's compiler: 1.4 s and 70 MB for nothing here.
    torch.set_deterministic_debug_mode("error")
    # Torch would fill all new memory with a value, for debugging; that costs a tenth of a training step.
    memory.fill_uninitialized_memory = False
    try:
        yield
    finally:
        torch.set_num_threads(before)
        torch.set_deterministic_debug_mode(mode)
        memory.fill_uninitialized_memory = fill
