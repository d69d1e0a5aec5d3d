"""Connections that keep no place which others need: a header has a size and a time, and who is silent makes room.

uvicorn waits for a first header for ever, and at its limit of connections it turns away the one that came last, whoever
holds the others. Here those that wait for nothing of ours are closed first, of the peer that has most of them.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import sys
from collections import Counter
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import STATUS_PHRASES, H11Protocol

HEADER_SECONDS = 10
"""From the first byte, or from the connection, to the end of a request's header."""
READ_SECONDS = 30
"""In which a peer must read something of an answer that waits for it."""
IDLE_PER_PEER = 64
"""Connections of one peer that wait for no answer; a peer is an IPv4 address or a /64 of IPv6."""
MOST_IDLE = 256


class Connection(H11Protocol):
    """A connection of uvicorn's, bounded in time, and closed where it is idle and others need its place."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.idle_since = 0.0
        self.peer = ""
        self._late: asyncio.TimerHandle | None = None
        self._stuck: asyncio.TimerHandle | None = None

    @property
    def idle(self) -> bool:
        """Whether nothing is being answered: no header has ended since the connection or since the last answer."""
        return self.cycle is None or self.cycle.response_complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the connection, and close an idle one where there are too many."""
        super().connection_made(transport)
        self.idle_since, self.peer = self.loop.time(), _peer(self.client)
        self._expect_header()
        _make_room(self)

    def data_received(self, data: bytes) -> None:
        """Read; what has begun must end in time."""
        super().data_received(data)
        if self.idle:
            self._expect_header()
        else:
            self._unset("_late")

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        self.idle_since = self.loop.time()
        super().on_response_complete()

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """Hand the connection over."""
        self._unset("_late")
        super().handle_websocket_upgrade(event)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._unset("_late")
        self._unset("_stuck")
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """The peer reads slower than we write: it has some time to go on."""
        super().pause_writing()
        self._stuck = self._stuck or self.loop.call_later(READ_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """The peer reads."""
        self._unset("_stuck")
        super().resume_writing()

    def timeout_keep_alive_handler(self) -> None:
        """No further request came."""
        self.end()

    def end(self) -> None:
        """Close; what is left of an answer may still be read, for some time."""
        if not self.transport.is_closing():
            self.transport.close()
            self.loop.call_later(READ_SECONDS, self.transport.abort)

    def send_400_response(self, msg: str) -> None:
        """Answer what is no request, in JSON."""
        error = sys.exc_info()[1]
        status = getattr(error, "error_status_hint", 400)
        if not self.idle or self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.abort()
            return
        reason = f"the request cannot be read: {error or msg}"
        if status == 431:
            size = self.config.h11_max_incomplete_event_size
            reason = f"the header is too long; allowed: {size} bytes" if size else "the header is too long"
        body = json.dumps({"reason": reason, "problems": []}).encode()
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
        ]
        head = h11.Response(status_code=status, headers=headers, reason=STATUS_PHRASES.get(status, b""))
        for part in (head, h11.Data(data=body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(part) or b"")
        self.end()

    def _expect_header(self) -> None:
        self._late = self._late or self.loop.call_later(HEADER_SECONDS, self.end)

    def _unset(self, timer: str) -> None:
        handle: asyncio.TimerHandle | None = getattr(self, timer)
        if handle is not None:
            handle.cancel()
            setattr(self, timer, None)


def _make_room(new: Connection) -> None:
    """Close the longest idle connection of a peer that has too many, or of the one that has most where all are."""
    idle = [
        one
        for one in new.connections
        if isinstance(one, Connection) and one is not new and one.idle and not one.transport.is_closing()
    ]
    counts = Counter(one.peer for one in idle)
    if counts[new.peer] >= IDLE_PER_PEER:
        peer = new.peer
    elif len(idle) >= MOST_IDLE:
        peer = counts.most_common(1)[0][0]
    else:
        return
    min((one for one in idle if one.peer == peer), key=lambda one: one.idle_since).end()


def _peer(client: tuple[str, int] | None) -> str:
    host = client[0] if client else ""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if address.version == 6 and address.ipv4_mapped is None:
        return str(ipaddress.ip_network((address, 64), strict=False))
    return host
