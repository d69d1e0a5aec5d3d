"""A desk and a paper venue beside it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from lem.advice.feed import Feed
from lem.paper.bars import ClosedBars
from lem.paper.behaviour import Behaviour
from lem.paper.book import Book
from lem.paper.own_desk import OwnDesk
from lem.paper.venue import PaperVenue
from lem.sources import open_source
from tests.lem.advice.conftest import clock, desk, desk_of  # noqa: F401
from tests.lem.advice.desk import Desk, StoppedClock


@pytest.fixture
def venue_of(tmp_path, clock: StoppedClock) -> Callable[..., PaperVenue]:  # noqa: F811
    """`venue_of(desk, seed=3)`: a venue on the desk's orders, with its books in the desk's folder."""

    def make(own: Desk, client: Any = None, **behaviour: Any) -> PaperVenue:
        bars = ClosedBars(own.universe, Feed(own.universe, own.lake, open_source(own.universe, "")))
        book = Book(tmp_path / "paper.sqlite", own.universe.name)
        return PaperVenue(client or OwnDesk(own.advisor(clock)), bars, book, Behaviour(**behaviour))

    return make
