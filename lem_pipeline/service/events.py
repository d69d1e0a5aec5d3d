"""`GET /events`: the audit log as it grows, as server-sent events that a listener can take up where it left off."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import FastAPI, Header, Query, Request
from fastapi.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from lem.advice.advisor import Advisor
from lem.advice.order import ID_PATTERN
from lem.errors import LemError
from lem_pipeline.service.fields import MOST_KEY, told
from lem_pipeline.service.hiding import Hiding
from lem_pipeline.service.models import AuditView
from lem_pipeline.service.tail import Tail

MOST_LISTENERS = 32
ALIVE_SECONDS = 15.0
"""Between comments that keep a quiet stream open."""
STREAM_SECONDS = 3600.0
"""After which a stream ends, and its listener comes again."""
RETRY_MS = 1000
PAGE = 200


class _Stream(StreamingResponse):
    """A stream that gives its place back, however it ends."""

    media_type = "text/event-stream"

    def __init__(self, body: AsyncIterator[str], places: Places) -> None:
        super().__init__(body, headers={"cache-control": "no-store", "x-accel-buffering": "no"})
        self._places = places

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._places.taken -= 1


class Places:
    """How many listeners there are."""

    taken = 0

    def take(self) -> None:
        """Take one.

        Raises:
            HTTPException: all are taken.
        """
        if self.taken >= MOST_LISTENERS:
            raise HTTPException(
                503,
                f"{MOST_LISTENERS} listeners are there, and more are not taken; close one, or ask GET /audit",
                headers={"retry-after": "60"},
            )
        self.taken += 1


def add_events(app: FastAPI, advisor: Advisor, tail: Tail, hidden: Hiding, stream_seconds: float) -> None:
    """Add the route to the service over an advisor.

    Args:
        app: the service.
        advisor: whose universe it is.
        tail: of the audit log.
        hidden: takes paths out of reasons.
        stream_seconds: after which a stream ends.
    """
    places = Places()

    @app.get(
        "/events",
        response_class=StreamingResponse,
        responses={**told(), 200: {"content": {"text/event-stream": {}}, "description": "Server-sent events."}},
    )
    async def events(
        request: Request,
        order: Annotated[str | None, Query(pattern=ID_PATTERN, description="Only of this order.")] = None,
        cursor: Annotated[
            int | None, Query(ge=0, le=MOST_KEY, description="Begin after this entry; with the next if left out.")
        ] = None,
        last_event_id: Annotated[
            str | None, Header(pattern=r"^[0-9]{0,10}$", description="As cursor, of a listener that comes again.")
        ] = None,
    ) -> StreamingResponse:
        """What happens to live orders, as it happens: each entry of the audit log, with its id, and `refused`."""
        places.take()
        after = min(int(last_event_id), MOST_KEY) if last_event_id else cursor
        return _Stream(_stream(advisor, tail, hidden, order, after, stream_seconds), places)


async def _stream(
    advisor: Advisor, tail: Tail, hidden: Hiding, order: str | None, cursor: int | None, seconds: float
) -> AsyncIterator[str]:
    until, name = time.monotonic() + seconds, advisor.universe.name
    with tail.watching():
        after = await run_in_threadpool(tail.log.newest) if cursor is None else cursor
        # What is refused at this moment is told to who comes; nothing, where nothing is.
        refused = 0
        yield f"retry: {RETRY_MS}\n\n"
        while not tail.closing and time.monotonic() < until:
            newest = tail.newest
            try:
                found = await run_in_threadpool(tail.log.page, name, order, None, after, PAGE)
            except LemError:
                yield ": the log cannot be read now\n\n"
                await tail.wait(newest, refused, 1.0)
                continue
            for entry in found:
                yield _event(entry.event, AuditView.of(entry).model_dump_json(), entry.id)
            after = found[-1].id if found else after
            if tail.refused.number > refused:
                refused, now = tail.refused.number, tail.refused
                reasons = {key: why for key, why in now.reasons.items() if order in (None, key)}
                if reasons or now.number > 1:
                    yield _event("refused", json.dumps({"bar": now.bar or None, "refused": hidden.values(reasons)}))
            if not found:
                waited = min(ALIVE_SECONDS, until - time.monotonic())
                await tail.wait(max(after, newest), refused, waited)
                if not tail.moved(max(after, newest), refused):
                    yield ": alive\n\n"


def _event(kind: str, data: str, key: int | None = None) -> str:
    # JSON has no line breaks of its own: one line of data.
    lines = [f"event: {kind}", f"data: {data}", "", ""]
    return "\n".join(lines if key is None else [f"id: {key}", *lines])
