"""The processes that train one model together: started here on this machine, or by `torchrun` on several.

On one machine rank 0 is the process that asked for the training; the others are started for it and end with it. They
talk over the loopback address only. Under `torchrun` every machine has started its ranks already, and they meet where
MASTER_ADDR and MASTER_PORT say.
"""

from __future__ import annotations

import datetime as dt
import os
import pickle
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import torch
import torch.distributed as dist

from lem.data.panel import Panel
from lem.errors import TrainingError
from lem.execution.costs_config import CostsConfig
from lem.training.distributed import Group, RankError
from lem.training.trainer import Trained, train
from lem.universe.model_config import ModelConfig
from lem.universe.training_config import TrainingConfig

SILENCE = dt.timedelta(minutes=5)
"""How long a rank waits for the others: for their start, and in each step."""

LIBRARY = Path(__file__).resolve().parents[2]
LOOPBACK = "127.0.0.1"
OnStep = Callable[[int, float], None] | None


@dataclass(frozen=True)
class _Rank:
    """A rank that was started here, and the file that keeps what it says on standard error."""

    number: int
    process: subprocess.Popen[bytes]
    said: IO[bytes]

    def end(self) -> str | None:
        """How it ended, in words; None while it lives."""
        code = self.process.poll()
        if code is None:
            return None
        self.said.seek(0)
        last = self.said.read().decode(errors="replace").strip().splitlines()[-1:]
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        return f"rank {self.number} (process {self.process.pid}) ended with {how}{': ' if last else ''}{''.join(last)}"


def train_on_ranks(
    panel: Panel,
    horizon: int,
    model: ModelConfig,
    training: TrainingConfig,
    costs: CostsConfig,
    on_step: OnStep = None,
    silence: dt.timedelta = SILENCE,
) -> Trained:
    """Call `train` on `training.workers` ranks: those of `torchrun` if it started this process, else on this machine.

    Args:
        panel: as in `train`.
        horizon: as in `train`.
        model: size of the model.
        training: settings of the training.
        costs: as in `train`.
        on_step: as in `train`.
        silence: how long a rank waits for the others.

    Raises:
        TrainingError: nothing to learn from, or the loss is no longer finite.
        RankError: a rank has ended or was silent for too long. All ranks that were started here have then ended.
    """
    if started_by_torchrun():
        return train(panel, horizon, model, training, costs, on_step, torchrun_group(training, silence))
    if training.workers == 1:
        return train(panel, horizon, model, training, costs, on_step)
    arguments = pickle.dumps((panel, horizon, model, training, costs, silence, torch.get_default_dtype()))
    with _listening(silence) as store, _started(arguments, training.workers, store.port) as ranks:
        try:
            _wait_for(ranks, store, silence)
            return train(
                panel, horizon, model, training, costs, on_step, _local_group(store, 0, training.workers, silence)
            )
        except RankError as error:
            raise RankError(f"{error}; {_story(ranks, silence)}") from error


def started_by_torchrun() -> bool:
    """Whether this process is a rank that `torchrun` has started."""
    return all(name in os.environ for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"))


def torchrun_group(training: TrainingConfig, silence: dt.timedelta = SILENCE) -> Group:
    """The ranks that `torchrun` has started, on one or more machines.

    Args:
        training: says how many there must be.
        silence: how long a rank waits for the others.

    Raises:
        TrainingError: there are more or fewer than the universe says.
        RankError: not all of them came.
    """
    found = int(os.environ["WORLD_SIZE"])
    if found != training.workers:
        raise TrainingError(
            f"training: torchrun has started {found} ranks, training.workers is {training.workers}, and the number "
            "is part of what fixes the weights; allowed: the same number in both"
        )
    try:
        store, rank, size = next(dist.rendezvous("env://", timeout=silence))
        return Group(dist.ProcessGroupGloo(dist.PrefixStore("lem", store), rank, size, silence))
    except RuntimeError as error:
        place = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
        raise RankError(
            f"training: {found} ranks did not meet at {place} within {silence.total_seconds():.0f} s: {error}; "
            "allowed: machines that reach each other there (GLOO_SOCKET_IFNAME names the network interface)"
        ) from error


def _local_group(store: dist.Store, rank: int, size: int, silence: dt.timedelta) -> Group:
    gloo: Any = dist.ProcessGroupGloo
    options = gloo._Options()  # torch has no public name for them; without, it may listen on every interface
    options._devices = [gloo.create_device(hostname=LOOPBACK)]
    options._timeout = silence
    try:
        return Group(gloo(store, rank, size, options))
    except RuntimeError as error:
        raise RankError(f"training: rank {rank} of {size} did not reach the others: {error}") from error


@contextmanager
def _listening(silence: dt.timedelta) -> Iterator[dist.TCPStore]:
    """Where the ranks of this machine meet."""
    with socket.create_server((LOOPBACK, 0)) as listener:
        port = listener.getsockname()[1]
        yield dist.TCPStore(
            LOOPBACK,
            port,
            is_master=True,
            timeout=silence,
            wait_for_workers=False,
            master_listen_fd=listener.detach(),
        )


@contextmanager
def _started(arguments: bytes, workers: int, port: int) -> Iterator[list[_Rank]]:
    """Ranks 1 and up on this machine, with this very code; none of them outlives the block."""
    path = os.pathsep.join([str(LIBRARY), *filter(None, [os.environ.get("PYTHONPATH")])])
    with ExitStack() as stack:
        file = stack.enter_context(tempfile.NamedTemporaryFile())
        file.write(arguments)
        file.flush()
        ranks: list[_Rank] = []
        try:
            for number in range(1, workers):
                said = stack.enter_context(tempfile.TemporaryFile())
                command = [sys.executable, "-m", "lem.training.ranks", str(number), str(port)]
                with open(file.name, "rb") as stdin:
                    process = subprocess.Popen(
                        command, stdin=stdin, stdout=said, stderr=said, env=os.environ | {"PYTHONPATH": path}
                    )
                ranks.append(_Rank(number, process, said))
            yield ranks
        finally:
            for rank in ranks:
                rank.process.kill()
                rank.process.wait()


def _wait_for(ranks: list[_Rank], store: dist.TCPStore, silence: dt.timedelta) -> None:
    """Return when every rank has come; a rank that dies before that is noticed at once."""
    deadline = time.monotonic() + silence.total_seconds()
    while not store.check([f"here/{rank.number}" for rank in ranks]):
        if any(rank.process.poll() is not None for rank in ranks) or time.monotonic() > deadline:
            raise RankError(f"training: not all of {len(ranks) + 1} ranks started")
        time.sleep(0.05)


def _story(ranks: list[_Rank], silence: dt.timedelta) -> str:
    """What became of the ranks; the operating system may know it only a moment after the connection broke."""
    deadline = time.monotonic() + 2.0
    while time.monotonic() < deadline and all(rank.process.poll() is None for rank in ranks):
        time.sleep(0.05)
    ends = [end for rank in ranks if (end := rank.end())]
    return "; ".join(ends) or f"all processes live, one was silent for {silence.total_seconds():.0f} s"


def main() -> None:
    """Be a rank that `train_on_ranks` has started.

    Its number and the port are arguments of the command; the rest comes on standard input.
    """
    number, port = int(sys.argv[1]), int(sys.argv[2])
    panel, horizon, model, training, costs, silence, dtype = pickle.load(sys.stdin.buffer)
    torch.set_default_dtype(dtype)
    store = dist.TCPStore(LOOPBACK, port, is_master=False, timeout=silence)
    store.set(f"here/{number}", "")
    try:
        train(panel, horizon, model, training, costs, None, _local_group(store, number, training.workers, silence))
    except TrainingError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
