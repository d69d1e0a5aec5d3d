"""A failed run says in a sentence what was wrong, first on its page: the library's own, with the stack behind it."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import dagster as dg

from lem.errors import LemError


def told(body: Callable[..., Any]) -> Callable[..., Any]:
    """The body of an asset, a check or an op, whose errors that a user can act on become `dg.Failure` with their text.

    Dagster shows the first error of a chain first, and its own stands before that of a body. Any other error is a
    defect of ours and stays what it is.
    """
    if inspect.isgeneratorfunction(body):

        @functools.wraps(body)
        def yielding(*args: Any, **kwargs: Any) -> Iterator[Any]:
            with _as_failure():
                yield from body(*args, **kwargs)

        return yielding

    @functools.wraps(body)
    def returning(*args: Any, **kwargs: Any) -> Any:
        with _as_failure():
            return body(*args, **kwargs)

    return returning


@contextmanager
def _as_failure() -> Iterator[None]:
    try:
        yield
    except LemError as error:
        raise dg.Failure(description=str(error)) from error
