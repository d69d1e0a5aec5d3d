"""What fixes the bits of a floating-point result: the number of threads and the choice of kernels."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def reproducible(threads: int = 1) -> Iterator[None]:
    """Run with a fixed number of threads and deterministic kernels; both are restored on leaving.

    One thread is the default: a recurrence over small matrices spends the second one's gain on waiting for it.
    """
    before, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.set_num_threads(before)
        torch.use_deterministic_algorithms(deterministic)
