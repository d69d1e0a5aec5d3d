"""A desk at hourly bars, and one with any key of its universe replaced."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lem.universe import Universe
from tests.lem.advice.desk import HOURLY, NOON, Desk, StoppedClock, make_desk


@pytest.fixture
def desk_of(
    tmp_path: Path, make_universe: Callable[..., Universe], tiny_keys: Callable[..., dict[str, Any]]
) -> Callable[..., Desk]:
    """`desk_of(horizon=6)`: a desk in a folder of its own."""

    def make(**keys: Any) -> Desk:
        return make_desk(tmp_path, make_universe(**tiny_keys(**{**HOURLY, **keys})))

    return make


@pytest.fixture
def desk(desk_of: Callable[..., Desk]) -> Desk:
    return desk_of()


@pytest.fixture
def clock() -> StoppedClock:
    return StoppedClock(NOON)
