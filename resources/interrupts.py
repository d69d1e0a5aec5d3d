"""Ctrl-C in a terminal: who hears it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import dagster as dg

PATIENCE_S = 60
"""Seconds that services have to end by themselves."""


@contextmanager
def deaf_helpers(instance: dg.DagsterInstance) -> Iterator[None]:
    """Let the processes that copy a step's output to the terminal not hear its Ctrl-C.

    Dagster starts a Python process for each step's output. One that is only starting answers Ctrl-C with a traceback.
    A setting for the output of steps without such processes would replace this.
    """
    manager = instance.compute_log_manager
    whole = manager.capture_logs

    @contextmanager
    def capture_logs(log_key: Sequence[str]) -> Iterator[Any]:
        with ExitStack() as stack:
            before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # those that start have it for ever
            try:
                captured = stack.enter_context(whole(log_key))
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)
            yield captured

    manager.capture_logs = capture_logs  # type: ignore[method-assign]
    try:
        yield
    finally:
        manager.capture_logs = whole  # type: ignore[method-assign]


def supervise(
    command: Sequence[str],
    env: Mapping[str, str],
    descriptors: Sequence[int] = (),
    begun: Callable[[], None] = lambda: None,
) -> signal.Signals | int:
    """Run services in processes of their own until they end or this process is asked to stop.

    What they print is shown until then: services that are stopped while they start answer with tracebacks.

    Args:
        command: the program, with its path, and its arguments.
        env: their environment.
        descriptors: of open files that they get, under the same numbers.
        begun: called as soon as this process can be asked to stop.

    Returns:
        The signal by which this process was asked to stop; else the exit code of the command.
    """
    asked: list[signal.Signals] = []
    running: list[subprocess.Popen[bytes]] = []

    def tell(number: signal.Signals) -> None:
        for services in running:
            with suppress(ProcessLookupError):
                os.killpg(services.pid, number)

    def stop(number: int, frame: object) -> None:
        if not asked:
            asked.append(signal.Signals(number))
            tell(signal.SIGINT)
            patience.start()

    patience = threading.Timer(PATIENCE_S, tell, [signal.SIGKILL])
    # A shell starts what runs in its background with SIGINT ignored.
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        begun()
        services = subprocess.Popen(
            command,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            process_group=0,
            pass_fds=descriptors,
        )
        running.append(services)
        if asked:  # while they were started
            tell(signal.SIGINT)
        assert services.stdout is not None
        while shown := os.read(services.stdout.fileno(), 65536):
            if not asked:
                sys.stdout.buffer.write(shown)
                sys.stdout.buffer.flush()
        code = services.wait()
    finally:
        patience.cancel()
        for number, handler in before.items():
            signal.signal(number, handler)
    return asked[0] if asked else code
