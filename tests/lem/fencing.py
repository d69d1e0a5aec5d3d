"""Steps in any order: what must be true of a store that fences, whichever store it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import strategies as st

from lem.errors import FencedError

STEPS, PATHS = 4, ("a", "b")

orders = st.lists(
    st.one_of(
        st.tuples(st.just("begin"), st.integers(0, STEPS - 1), st.just("")),
        st.tuples(st.just("write"), st.integers(0, STEPS - 1), st.sampled_from(PATHS)),
    ),
    max_size=14,
)
"""Steps that begin (again: a new one under that number) and write, in any order; one that has not begun is idle."""


def check_order(
    order: list[tuple[str, int, str]],
    begin: Callable[[], Any],
    write: Callable[[Any, str, int], None],
    read: Callable[[], Mapping[str, int]],
) -> None:
    """Each path ends with what the latest step wrote that has written it at all; every earlier one is told.

    Args:
        begin: a fenced store. write: store, path and number of the write. read: what lies at each path.
    """
    running: dict[int, tuple[int, Any]] = {}
    latest: dict[str, tuple[int, int]] = {}
    for number, (act, step, path) in enumerate(order):
        if act == "begin":
            running[step] = (number, begin())
        elif step in running:
            began, store = running[step]
            if path in latest and latest[path][0] > began:
                with pytest.raises(FencedError, match="by a step that began later"):
                    write(store, path, number)
            else:
                write(store, path, number)
                latest[path] = (began, number)
    assert read() == {path: number for path, (_, number) in latest.items()}
