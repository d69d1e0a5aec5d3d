"""The advisor of the settings: its lake and registry, the universe's source, and the clock that was asked for."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from lem.errors import OrderError
from lem.sources.limits import CLOCK, Clock
from resources.opening import open_lake, open_registry, universe_named
from resources.settings import Settings

if TYPE_CHECKING:
    from lem.advice.advisor import Advisor


def open_advisor(universe: str, at: str | None = None, speed: float = 1.0) -> Advisor:
    """The advisor of a universe.

    Args:
        universe: its name.
        at: a past moment at which to begin (UTC), in place of the present.
        speed: with `at`, seconds that pass there in one of ours.

    Raises:
        UniverseError: there is no such universe, or its file is wrong.
        LakeError: the lake cannot be opened.
        RegistryError: the registry cannot be opened.
        SourceError: the universe's source cannot be opened.
        OrderError: `at` is no time.
    """
    # Here: with torch, and a list of orders takes from this module how people write times.
    from lem.advice.advisor import Advisor
    from lem.advice.clock import ReplayClock
    from lem.advice.store import AdviceStore
    from resources.stores import SourceResource

    chosen = universe_named(universe)
    lake, registry = open_lake(), open_registry()
    clock: Clock = ReplayClock(utc(at, "--at"), speed) if at else CLOCK
    settings = Settings()
    orders = AdviceStore(settings.registry, settings.max_open_orders)
    return Advisor(chosen, lake, registry, orders, SourceResource().open(chosen), clock)


def utc(text: str, what: str) -> dt.datetime:
    """A time from its ISO form, in UTC where it names no zone.

    Args:
        text: the time.
        what: the name that an error gives it.

    Raises:
        OrderError: the text is no time.
    """
    try:
        time = dt.datetime.fromisoformat(text)
        return time.replace(tzinfo=dt.UTC) if time.tzinfo is None else time.astimezone(dt.UTC)
    except (ValueError, OverflowError):
        raise OrderError(f"{what} {text[:80]!a} is not a time; allowed: as in 2024-03-30T10:00Z") from None
