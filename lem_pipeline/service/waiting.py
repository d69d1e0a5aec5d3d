"""Requests that may have to wait for a source of bars: in threads of their own, so that all others find one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import ParamSpec, TypeVar

from starlette.exceptions import HTTPException

THREADS = 16
"""In which they wait; those of all other requests are not among them."""
MOST_WAITING = 96
"""That are answered at the same time: fewer than `lem_pipeline.service.guards.MOST_REQUESTS`."""

_Args = ParamSpec("_Args")
_Answer = TypeVar("_Answer")


class Waiting:
    """Runs what may wait for a source."""

    def __init__(self) -> None:
        self._threads, self._count = ThreadPoolExecutor(THREADS, "waiting"), 0

    async def run(self, call: Callable[_Args, _Answer], /, *args: _Args.args, **kwargs: _Args.kwargs) -> _Answer:
        """The answer of a call.

        Raises:
            HTTPException: too many wait already.
        """
        if self._count >= MOST_WAITING:
            reason = f"{MOST_WAITING} requests wait for bars, and more are not taken; ask again in a second"
            raise HTTPException(503, reason)
        self._count += 1
        try:
            # Who asks is known where the request came in: the audit log names it.
            answer = partial(copy_context().run, call, *args, **kwargs)
            return await asyncio.get_running_loop().run_in_executor(self._threads, answer)
        finally:
            self._count -= 1
