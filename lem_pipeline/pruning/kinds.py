"""What `lem prune` knows of each kind of thing: what there is, and what of it can go."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, field

KEEP_DAYS = 90
"""Days of reports, runs and evaluations that are kept unless the user says otherwise."""


@dataclass(frozen=True)
class Removable:
    """Something that nothing needs any more.

    Args:
        what: it is, in words.
        size: bytes that its removal frees.
        remove: removes it; does nothing where it is gone already.
        count: how many of its kind it is.
    """

    what: str
    size: int
    remove: Callable[[], object]
    count: int = 1


@dataclass
class Kind:
    """One kind of thing.

    Args:
        name: as the table has it.
        count: how many there are.
        size: bytes of all of them.
        removable: those that can go, in the order in which they are removed.
        notes: what a user should know about those that stay.
        before: what is done before the first of them is removed.
    """

    name: str
    count: int = 0
    size: int = 0
    removable: list[Removable] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    before: Callable[[], object] = lambda: None

    @property
    def freed(self) -> int:
        """Bytes of what can go."""
        return sum(one.size for one in self.removable)


@dataclass(frozen=True)
class Age:
    """How old a thing must be to go.

    Args:
        now: the present moment, UTC.
        keep_days: what is younger stays.
        refused: whether old candidates that were never made champion are needed by nothing.
    """

    now: dt.datetime
    keep_days: int = KEEP_DAYS
    refused: bool = False

    @property
    def before(self) -> dt.datetime:
        """What was last written or heard of before this moment is old."""
        return self.now - dt.timedelta(days=self.keep_days)

    def first_date(self, end: dt.date | None) -> dt.date:
        """First date that is kept of a universe.

        Args:
            end: the universe's last date, or None where it has none: days are counted back from it, or from today.
        """
        return min(end or self.now.date(), self.now.date()) - dt.timedelta(days=self.keep_days)
