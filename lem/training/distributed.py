"""Data-parallel training: ranks that each compute a share of every batch and then take the same step.

Every rank draws the whole batch, its orders and its dropout masks from the same seed, and computes its own rows of it.
The loss is divided by the counts of the whole batch, so the sum of the ranks' gradients is the whole batch's gradient,
up to the order of floating-point additions. All ranks start from the same weights and step with the same sum: their
weights are the same bits after every step.

Shapes: B = sequences of the whole batch, b = those of this rank, T = bars.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from lem.data.features import FEATURES
from lem.errors import TrainingError
from lem.model.lem import LEM


class RankError(TrainingError):
    """A rank has ended or does not answer: what was trained so far is lost, nothing is written."""


class Group:
    """The ranks that train one model together.

    Args:
        processes: torch's group of them (`torch.distributed.ProcessGroupGloo`, which has no usable type).
    """

    def __init__(self, processes: Any) -> None:
        self.processes, self.rank, self.size = processes, processes.rank(), processes.size()

    def rows(self, batch: int) -> slice:
        """This rank's rows of a batch of so many: the ranks share all rows, and their counts differ by one at most."""
        return slice(batch * self.rank // self.size, batch * (self.rank + 1) // self.size)

    def add_up(self, parameters: Iterable[nn.Parameter], figures: Tensor) -> Tensor:
        """Replace every gradient by its sum over all ranks.

        Args:
            parameters: whose gradients are summed.
            figures: of this rank, one dimension.

        Returns:
            The sum of `figures` over all ranks.

        Raises:
            RankError: a rank is gone, or did not answer in time.
        """
        with_grad = [parameter for parameter in parameters if parameter.grad is not None]
        parts = [parameter.grad.flatten() for parameter in with_grad]  # type: ignore[union-attr]
        everything = torch.cat([*parts, figures])
        try:
            self.processes.allreduce([everything]).wait()
        except RuntimeError as error:
            raise self._lost("the gradients", error) from error
        *sums, total = everything.split([len(part) for part in (*parts, figures)])
        for parameter, grad in zip(with_grad, sums, strict=True):
            parameter.grad = grad.view_as(parameter)
        return total

    def agree(self, what: str, content: bytes) -> None:
        """Refuse to go on if the ranks have different bytes.

        Args:
            what: the bytes in words, for messages.
            content: of this rank.

        Raises:
            TrainingError: a rank has other bytes than rank 0.
            RankError: a rank is gone, or did not answer in time.
        """
        digest = torch.frombuffer(bytearray(hashlib.sha256(content).digest()), dtype=torch.uint8)
        found = [torch.empty_like(digest) for _ in range(self.size)]
        try:
            self.processes.allgather([found], [digest]).wait()
        except RuntimeError as error:
            raise self._lost(what, error) from error
        odd = [rank for rank, other in enumerate(found) if not torch.equal(other, found[0])]
        if odd:
            raise TrainingError(
                f"training: {what} of rank {', '.join(map(str, odd))} of {self.size} differ from those of rank 0; "
                "allowed: the same code, libraries, universe and lake for all ranks, on machines of one type"
            )

    def _lost(self, what: str, error: RuntimeError) -> RankError:
        return RankError(
            f"training: rank {self.rank} of {self.size} waited for {what} of the others, and one is gone or silent: "
            f"{' '.join(str(error).split())}; allowed: {self.size} ranks that live until the last step"
        )


def share(values: Tensor, whole: int, rows: slice) -> Tensor:
    """A rank's part of a tensor: some rows of a batch, and the whole of what all rows share.

    Args:
        values: a batch of rows if it has three or more dimensions, the first as long as the batch; else shared.
        whole: rows of the batch.
        rows: the rank's.
    """
    return values[rows] if values.dim() >= 3 and values.shape[0] == whole else values


class _SharedDropout(nn.Module):
    """Dropout that draws the mask of the whole batch as `nn.Dropout` would on a CPU, and applies its own rows of it.

    Args:
        order: dimensions of the input from the one that lies furthest apart in memory to the nearest: torch draws a
            mask in the order in which its elements lie there.
    """

    def __init__(self, p: float, batch: int, rows: slice, order: tuple[int, ...]) -> None:
        super().__init__()
        self.p, self.batch, self.rows, self.order = p, batch, rows, order

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or not self.p:
            return x
        noise = torch.empty_permuted((self.batch, *x.shape[1:]), self.order, dtype=x.dtype)
        return x * noise.bernoulli_(1.0 - self.p).div_(1.0 - self.p)[self.rows].to(x.device)


@contextmanager
def shared_dropout(model: LEM, group: Group | None, batch: int, device: str = "cpu") -> Iterator[None]:
    """Within the block, the model's dropout masks are those that one process would draw for the whole batch.

    The random state of every rank moves on as it does in one process.

    Args:
        model: on the CPU; has its own dropout again after the block.
        group: the ranks; None for one process.
        batch: rows of the whole batch.
        device: on which the model will run. On the CPU nothing changes for one process.
    """
    if group is None and device == "cpu":
        yield
        return
    found = [
        (parent, name, child)
        for parent in model.modules()
        for name, child in parent.named_children()
        if isinstance(child, nn.Dropout)
    ]
    orders = _memory_orders(model, [child for _, _, child in found])
    rows = group.rows(batch) if group else slice(0, batch)
    for (parent, name, child), order in zip(found, orders, strict=True):
        setattr(parent, name, _SharedDropout(child.p, batch, rows, order))
    try:
        model.train(model.training)
        yield
    finally:
        for parent, name, child in found:
            setattr(parent, name, child)


def _memory_orders(model: LEM, dropouts: list[nn.Dropout]) -> list[tuple[int, ...]]:
    """How the input of each dropout lies in memory, found out on a small batch: a batch of one would not tell."""
    seen: dict[nn.Module, tuple[int, ...]] = {}

    def note(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        strides = inputs[0].stride()
        seen[module] = tuple(sorted(range(len(strides)), key=lambda at: -strides[at]))

    hooks = [dropout.register_forward_pre_hook(note) for dropout in dropouts]
    training = model.training
    try:
        model.eval().encode(torch.zeros(2, 3, len(FEATURES)), torch.ones(2, 3, dtype=torch.bool))
    finally:
        model.train(training)
        for hook in hooks:
            hook.remove()
    return [seen[dropout] for dropout in dropouts]
