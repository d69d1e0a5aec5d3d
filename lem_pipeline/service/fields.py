"""What routes share: fields of addresses, times, and the statuses that a description names."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any

from fastapi import Path
from pydantic import Field

from lem.advice.order import ID_PATTERN
from lem.errors import OrderError
from lem_pipeline.service.models import Problem

MOST_KEY = 2**31 - 1
"""Largest key of a row."""
Key = Annotated[str, Path(pattern=ID_PATTERN, description="Id of an order.", examples=["desk-17"])]
Symbol = Annotated[str, Field(min_length=1, max_length=40)]
BarKey = Annotated[dt.datetime, Path(description="Open of the bar (UTC).", examples=["2024-03-30T10:00:00Z"])]


def told(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The statuses that every route may answer with, and more, for its description."""
    words = {
        400: "the request cannot be read",
        401: "no valid token",
        403: "sent by a web page of another origin",
        404: "no such order",
        405: "no such method here",
        408: "the body did not come in time",
        409: "the order's state does not allow it",
        413: "the body is too long",
        414: "path and query are too long",
        421: "the Host header names another machine",
        422: "a field is wrong",
        431: "the header is too long",
        503: "no advice: market data or a champion is missing or too old; or too many requests at once",
    }
    every = (400, 401, 403, 405, 408, 413, 414, 421, 422, 431, 503, *statuses)
    return {status: {"model": Problem, "description": words[status]} for status in every}


def utc_of(time: dt.datetime, what: str) -> dt.datetime:
    """A time in UTC; one without a zone is UTC.

    Args:
        time: the time.
        what: the name that an error gives it.

    Raises:
        OrderError: it is out of range.
    """
    try:
        return time.replace(tzinfo=dt.UTC) if time.tzinfo is None else time.astimezone(dt.UTC)
    except OverflowError:
        raise OrderError(f"{what} is out of range; allowed: years 2 to 9998") from None
