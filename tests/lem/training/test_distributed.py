"""Ranks that share a batch: what they add up to is what one process computes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest
import torch
import torch.distributed as dist
from hypothesis import given
from hypothesis import strategies as st

from lem.errors import TrainingError
from lem.execution.costs_config import CostsConfig
from lem.model.lem import LEM
from lem.training.distributed import Group, shared_dropout
from lem.training.objective import expected_outcome, objective
from lem.training.trainer import Batches
from lem.universe.training_config import TrainingConfig
from tests.lem.builders import PROPERTY, TINY, TINY_TRAINING, brownian_panel

HORIZON, BATCH = 4, 5
PANEL = brownian_panel(6, assets=2).cut(48, 144)


class Place:
    """Torch's group as far as a rank's place in it goes."""

    def __init__(self, rank: int, size: int) -> None:
        self._rank, self._size = rank, size

    def rank(self) -> int:
        return self._rank

    def size(self) -> int:
        return self._size


@pytest.fixture
def in_double() -> Iterator[None]:
    """Rounding does not hide a mistake."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


def gradients(config, ranks: int) -> dict[str, torch.Tensor]:
    """Loss, mean gain and gradients of the third batch: the sums over all ranks."""
    total: dict[str, torch.Tensor] = {}
    for rank in range(ranks):
        group = Group(Place(rank, ranks)) if ranks > 1 else None
        model = LEM(config, seed=3).train()
        with torch.no_grad():
            generator = torch.Generator().manual_seed(1)
            for parameter in model.parameters():
                parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
        batches = Batches(
            PANEL, HORIZON, config.warmup, TINY_TRAINING.model_copy(update={"batch": BATCH}), CostsConfig()
        )
        for _ in range(3):
            batch = batches.draw(group.rows(BATCH) if group else slice(0, BATCH))
        with shared_dropout(model, group, BATCH):
            torch.manual_seed(5)
            context_BTH = model.encode(batch.features_BTF, batch.valid_BT)
            outcome = expected_outcome(
                model, context_BTH, batch.first, batch.tape, batch.terms, TINY_TRAINING.arrival_every
            )
            loss, gain = objective(outcome, batch.terms, batch.tape.accepted_BA, TrainingConfig(), batch.counts)
            loss.backward()
        found = {"loss": loss.detach(), "gain": gain, "drawn next": torch.rand(1) / ranks}
        found |= {name: value.grad for name, value in model.named_parameters()}
        total = {name: total.get(name, 0) + value for name, value in found.items()}
    return total


@pytest.mark.parametrize("ranks", [2, 3, 5])
@pytest.mark.parametrize("config", [{}, {"recurrence": "lstm"}, {"recurrence": "none", "variable_selection": False}])
def test_the_shares_of_all_ranks_add_up_to_the_whole_batch_with_its_dropout(config, ranks, in_double):
    model = TINY.model_copy(update={"dropout": 0.4} | config)
    whole, shares = gradients(model, 1), gradients(model, ranks)
    assert float(whole["loss"].abs()) > 1e-3
    for name, value in whole.items():
        torch.testing.assert_close(shares[name], value, rtol=1e-9, atol=1e-12, msg=name)


def test_the_model_has_its_own_dropout_again_afterwards():
    model = LEM(TINY.model_copy(update={"dropout": 0.4})).train()
    before = dict(model.named_modules())
    with shared_dropout(model, Group(Place(0, 2)), BATCH):
        assert dict(model.named_modules()) != before
    assert dict(model.named_modules()) == before
    assert model.training


@PROPERTY
@given(st.integers(1, 64), st.data())
def test_every_row_of_a_batch_belongs_to_one_rank_and_no_rank_is_idle(batch, data):
    size = data.draw(st.integers(1, batch))
    rows = [range(batch)[Group(Place(rank, size)).rows(batch)] for rank in range(size)]
    assert [row for own in rows for row in own] == list(range(batch))
    assert min(map(len, rows)) >= max(1, max(map(len, rows)) - 1)


def on_ranks(size: int, work: Callable[[Group], None]) -> list[Exception | None]:
    """What each of `size` ranks, threads of this process, ended with."""
    store, ended = dist.HashStore(), dict[int, Exception | None]()

    def run(rank: int) -> None:
        try:
            work(Group(dist.ProcessGroupGloo(store, rank, size, dist.default_pg_timeout)))
            ended[rank] = None
        except Exception as error:
            ended[rank] = error

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [ended[rank] for rank in range(size)]


def test_gradients_and_figures_are_summed_and_what_has_no_gradient_keeps_none():
    def work(group: Group) -> None:
        one, two, idle = (torch.nn.Parameter(torch.zeros(shape)) for shape in ((2, 3), (4,), (1,)))
        one.grad, two.grad = torch.full((2, 3), 1.0 + group.rank), torch.arange(4.0) * (1 + group.rank)
        total = group.add_up([one, idle, two], torch.tensor([10.0 * group.rank, 1.0]))
        assert total.tolist() == [30.0, 3.0]
        assert torch.equal(one.grad, torch.full((2, 3), 6.0))
        assert torch.equal(two.grad, torch.arange(4.0) * 6)
        assert idle.grad is None

    assert on_ranks(3, work) == [None] * 3


def test_ranks_with_different_content_are_told_which_of_them_differ():
    ended = on_ranks(3, lambda group: group.agree("weights", b"odd" if group.rank == 1 else b"even"))
    assert all(isinstance(error, TrainingError) for error in ended)
    assert "weights of rank 1 of 3 differ from those of rank 0; allowed: the same code" in str(ended[0])
    assert on_ranks(2, lambda group: group.agree("weights", b"same")) == [None, None]
