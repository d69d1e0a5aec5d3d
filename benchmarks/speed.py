"""How fast the model trains and executes, beside the authors' package, and how long a nightly retrain takes.

One order is one arrival with its eight scenarios times all end times m = 1 .. N; the peer computes one more column of
end times. All contenders are measured in one run on the same cores and take turns, so that a change in the machine's
load meets all of them. Rates are medians over the turns; a ratio is ours over the peer's faster backend, turn by turn.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from benchmarks.common import BenchmarkError, Column, Row, command_line, console, cores, one_or_more, parser, publish
from benchmarks.peer import LIBRARIES, PEER, Peer
from lem.backtest.driftless import driftless_panel
from lem.data.features import FEATURES
from lem.execution.costs_config import CostsConfig
from lem.execution.orders import SCENARIOS
from lem.execution.terms import Terms, make_terms
from lem.model.lem import LEM
from lem.training.objective import Tape, expected_outcome, objective
from lem.training.ranks import train_on_ranks
from lem.universe.model_config import ModelConfig
from lem.universe.training_config import TrainingConfig

NAME = "speed"
JOBS = ("train", "predict")
HORIZON = 12
SIGMA = 0.01
BACKENDS = ("torch", "jax")
COLUMNS = (
    Column("size", "size"),
    Column("job", "job"),
    Column("who", "who"),
    Column("orders_per_s", "orders/s", ".1f"),
    Column("low", "lowest", ".1f"),
    Column("high", "highest", ".1f"),
    Column("ratio", "times the peer", ".1f"),
    Column("ratio_low", "lowest", ".1f"),
    Column("ratio_high", "highest", ".1f"),
    Column("seconds", "seconds", ".1f"),
    Column("parameters", "parameters", ",d"),
)


@dataclass(frozen=True)
class Size:
    """One size at which the contenders meet.

    Args:
        name: of the size.
        ours: our configurations by name.
        batch: sequences in our training step.
        sequence: bars in a sequence.
        steps: in one of our turns.
        peer: the arguments of the peer's driver.
    """

    name: str
    ours: dict[str, ModelConfig]
    batch: int
    sequence: int
    steps: int
    peer: dict[str, int]


PUBLISHED = ModelConfig(hidden=200, embedding=20, tkan_layers=2, heads=8, lookback=120, head_hidden=100, warmup=120)
SMALL = ModelConfig(hidden=64, embedding=8, tkan_layers=2, heads=4, lookback=48, head_hidden=32, warmup=48)
SMOKE = ModelConfig(hidden=8, embedding=2, kan_width=2, heads=2, lookback=4, head_hidden=4, warmup=4)


def peer_size(config: ModelConfig, batch: int, batches: int) -> dict[str, int]:
    """The peer's arguments for a model of this size. The peer always has two TKAN layers."""
    return {
        "hidden": config.hidden,
        "lookback": config.lookback,
        "horizon": HORIZON,
        "mlp": config.head_hidden,
        "embedding": config.embedding,
        "heads": config.heads,
        "batch": batch,
        "batches": batches,
    }


def wide_kan(config: ModelConfig) -> dict[str, int]:
    """The peer's KAN: one sub-layer, as wide as the model. Ours is narrower by default."""
    return {"kan_layers": 1, "kan_width": config.hidden}


def sizes(quick: bool) -> list[Size]:
    """The published size, with our own KAN and with one as wide as the peer's, and the small one."""
    if quick:
        return [Size("smoke", {"lem": SMOKE}, 1, 32, 1, peer_size(SMOKE, 4, 1))]
    published = {"lem": PUBLISHED, "lem, wide KAN": PUBLISHED.model_copy(update=wide_kan(PUBLISHED))}
    small = {"lem": SMALL, "lem, wide KAN": SMALL.model_copy(update=wide_kan(SMALL))}
    return [
        Size("published", published, 4, 384, 2, peer_size(PUBLISHED, 64, 4)),
        Size("small", small, 8, 384, 4, peer_size(SMALL, 64, 8)),
    ]


class Contender(Protocol):
    """Something that can train and predict."""

    parameters: int

    def rate(self, job: str) -> float:
        """Orders per second of one turn of `train` or `predict`."""


def every_end(horizon: int) -> Terms:
    """Orders without limits in all eight scenarios with every m = 1 .. N, of shape (1, 1, N, 8)."""
    m_11M1 = torch.arange(1.0, horizon + 1).view(1, 1, -1, 1)
    return make_terms(SCENARIOS, m_11M1, horizon, dtype=torch.get_default_dtype())


def our_jobs(
    config: ModelConfig, horizon: int, batch: int, sequence: int, seed: int = 0
) -> tuple[LEM, int, dict[str, Callable[[], Any]]]:
    """Our model, the arrivals of one step, and two jobs on a random market by name; a call of a job is one step.

    Training is forward, backward and the optimiser; prediction is the context and all slices of every order.
    """
    generator = torch.Generator().manual_seed(seed)
    arrivals = sequence - horizon - config.warmup + 1
    model = LEM(config, seed=seed)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-4)
    features_BTF = torch.randn(batch, sequence, len(FEATURES), generator=generator)
    valid_BT = torch.ones(batch, sequence, dtype=torch.bool)
    steps_BAK = SIGMA * torch.randn(batch, arrivals, horizon, generator=generator)
    close_BAK = (steps_BAK.cumsum(-1) - steps_BAK).exp()
    tape = Tape(
        price_BAK=close_BAK * (steps_BAK / 2).exp(),
        volume_BAK=0.5 + torch.rand(batch, arrivals, horizon, generator=generator),
        last_close_BAK=close_BAK,
        sigma_BA=torch.full((batch, arrivals), SIGMA),
        accepted_BA=torch.ones(batch, arrivals, dtype=torch.bool),
    )
    terms = every_end(horizon)

    def forward() -> torch.Tensor:
        outcome = expected_outcome(model, model.encode(features_BTF, valid_BT), config.warmup, tape, terms)
        return objective(outcome, terms, tape.accepted_BA, TrainingConfig())[0]

    def training_step() -> None:
        optimiser.zero_grad(set_to_none=True)
        forward().backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()

    return model, batch * arrivals, {"train": training_step, "predict": torch.inference_mode()(forward)}


class Ours:
    """Our model as a contender. The first step of each job, which may compile, is not counted."""

    def __init__(self, config: ModelConfig, size: Size) -> None:
        self.model, self._orders, self._jobs = our_jobs(config, HORIZON, size.batch, size.sequence)
        self.parameters = sum(parameter.numel() for parameter in self.model.parameters())
        self._steps = size.steps
        for job in JOBS:
            self.rate(job)

    def rate(self, job: str) -> float:
        """See `Contender`."""
        self.model.train(job == "train")
        start = time.perf_counter()
        for _ in range(self._steps):
            self._jobs[job]()
        return self._steps * self._orders / (time.perf_counter() - start)


def take_turns(contenders: dict[str, Contender], repeats: int) -> dict[tuple[str, str], list[float]]:
    """Orders per second by (contender, job), one figure for each turn; the contenders take turns."""
    rates: dict[tuple[str, str], list[float]] = {(who, job): [] for who in contenders for job in JOBS}
    for turn in range(repeats):
        for job in JOBS:
            for who, contender in contenders.items():
                rates[who, job].append(contender.rate(job))
        console.print(f"  turn {turn + 1} of {repeats} done")
    return rates


def rows_of(size: str, contenders: dict[str, Contender], rates: dict[tuple[str, str], list[float]]) -> list[Row]:
    """One row for each contender and job; ours has the ratio to the peer's faster backend, turn by turn."""
    rows = []
    for job in JOBS:
        peers = [who for who in contenders if who.startswith(PEER)]
        faster = max(peers, key=lambda who: statistics.median(rates[who, job]), default=None)
        for who, contender in contenders.items():
            mine = rates[who, job]
            row = {
                "size": size,
                "job": job,
                "who": who,
                "orders_per_s": statistics.median(mine),
                "low": min(mine),
                "high": max(mine),
                "turns": mine,
                "parameters": contender.parameters,
            }
            if faster and who not in peers:
                ratios = [a / b for a, b in zip(mine, rates[faster, job], strict=True)]
                row |= {
                    "against": faster,
                    "ratio": statistics.median(ratios),
                    "ratio_low": min(ratios),
                    "ratio_high": max(ratios),
                }
            rows.append(row)
    return rows


def meet(size: Size, repeats: int, threads: int, with_peer: bool) -> list[Row]:
    """Let all contenders of one size take their turns."""
    with ExitStack() as stack:
        contenders: dict[str, Contender] = {}
        for who, config in size.ours.items():
            contenders[who] = Ours(config, size)
        for backend in BACKENDS if with_peer else ():
            console.print(f"  {PEER} ({backend}) compiles")
            contenders[f"{PEER} ({backend})"] = stack.enter_context(Peer(backend, size.peer, threads))
        return rows_of(size.name, contenders, take_turns(contenders, repeats))


def retrain(quick: bool, workers: int) -> Row:
    """Time to train the default model on ten assets and two years of hourly bars, features ready, seed 0.

    Args:
        quick: a smoke run.
        workers: processes that share the training.
    """
    assets, days = (1, 30) if quick else (10, 730)
    panel = driftless_panel(assets, days, seed=0)
    small: dict[str, Any] = {"steps": 1, "batch": 2} if quick else {}
    model, training = ModelConfig(), TrainingConfig(workers=workers, **small)
    start = time.perf_counter()
    trained = train_on_ranks(panel, HORIZON, model, training, CostsConfig())
    return {
        "size": "default",
        "job": "nightly retrain",
        "workers": workers,
        "who": "lem",
        "seconds": time.perf_counter() - start,
        "parameters": sum(parameter.numel() for parameter in trained.model.parameters()),
        "assets": assets,
        "bars": panel.bars,
        "arrivals": trained.arrivals,
        "model": model.model_dump(),
        "training": training.model_dump(),
    }


def use_cores(count: int) -> None:
    """Bind this process, and the peers that it starts, to `count` cores, which limits every backend alike.

    Raises:
        BenchmarkError: there are fewer cores, or the system cannot bind processes.
    """
    there = cores()
    if not 1 <= count <= there:
        raise BenchmarkError(f"--threads {count}: there are {there} cores; allowed: 1 to {there}")
    if count < there:
        if not hasattr(os, "sched_setaffinity"):
            raise BenchmarkError(f"--threads {count}: this system cannot bind a process to cores; allowed: {there}")
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:count])
    torch.set_num_threads(count)


def main() -> None:
    """Run the benchmark from the command line."""
    cli = parser(NAME, "Speed of training, of inference and of a nightly retrain, beside the peer.", seeds=None)
    cli.add_argument("--repeats", type=int, default=5, help="turns of every contender (default 5)")
    cli.add_argument("--threads", type=int, default=cores(), help="cores for everybody (default all of them)")
    cli.add_argument("--no-peer", action="store_true", help="do not install and run the peer: there are no ratios")
    cli.add_argument("--workers", type=one_or_more, default=1, help="processes that share the retrain (default 1)")
    cli.add_argument("--only", choices=("published", "small", "retrain"), nargs="+", help="measure only these")
    options: argparse.Namespace = cli.parse_args()
    if options.repeats < 1:
        raise BenchmarkError(f"--repeats {options.repeats}; allowed: 1 or more")
    use_cores(options.threads)
    repeats, rows = 1 if options.quick else options.repeats, []
    if options.no_peer:
        console.print("no peer: --no-peer was given, so nothing is compared")
    for size in sizes(options.quick):
        if options.quick or not options.only or size.name in options.only:
            console.print(f"{size.name} size")
            rows += meet(size, repeats, options.threads, not options.no_peer)
    if options.quick or not options.only or "retrain" in options.only:
        console.print("nightly retrain")
        rows.append(retrain(options.quick, options.workers))
    peer = None if options.no_peer else [PEER, *LIBRARIES]
    publish(NAME, "Speed", COLUMNS, rows, options, seeds=[0], peer=peer)


if __name__ == "__main__":
    command_line(main)
