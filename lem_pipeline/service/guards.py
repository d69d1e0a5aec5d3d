"""What stands before the service: who may ask, from where, and how much."""

from __future__ import annotations

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lem.advice.callers import Caller, acting_as
from lem_pipeline.service.tokens import Named
from lem_pipeline.web.asking import Refusal, Token, from_elsewhere, refuse, values_of

MAX_BODY = 16_384
"""Bytes of a request's body; the largest that makes sense has some hundreds."""
MAX_TARGET = 2_048
"""Bytes of a request's path and query."""
MAX_HEADER = 16_384
"""Bytes of a request's header."""
BODY_SECONDS = 10
"""In which a body must have come."""
MOST_REQUESTS = 128
"""That are answered at the same time."""


class Guard:
    """Refuses what may not come in, before anything of it is read.

    Args:
        app: what is guarded.
        tokens: of which callers must show one as `Authorization: Bearer TOKEN`; without any, only loopback names are
            answered. One that is a text alone has no name.
    """

    def __init__(self, app: ASGIApp, tokens: str | Named = "") -> None:
        self._app = app
        named = ([("", tokens)] if tokens else []) if isinstance(tokens, str) else tokens
        self._tokens = [(name, Token(secret)) for name, secret in named]
        self._answering = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request by a refusal, or hand it on with its whole body."""
        if scope["type"] == "lifespan":
            return await self._app(scope, receive, send)
        if scope["type"] != "http":
            return None
        shown = values_of(scope, b"authorization")
        # All are compared: how long it takes tells nothing of which one it is.
        names = [name for name, token in self._tokens if token.in_header(shown)]
        refusal = self._refusal(scope, bool(names))
        if refusal is not None:
            return await refuse(send, refusal)
        if self._answering >= MOST_REQUESTS:
            reason = f"{MOST_REQUESTS} requests are being answered, and more are not taken; ask again in a second"
            return await refuse(send, Refusal(503, reason))
        self._answering += 1
        try:
            address = (scope.get("client") or (None,))[0]
            with acting_as(Caller("http", names[0] or None if names else None, address)):
                await self._hand_on(scope, receive, send)
        finally:
            self._answering -= 1

    async def _hand_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            async with asyncio.timeout(BODY_SECONDS):
                body = await _body(receive)
        except TimeoutError:
            reason = f"the body did not come within {BODY_SECONDS} s; allowed: to send it with its header"
            return await refuse(send, Refusal(408, reason))
        if body is None:
            reason = f"the body has more than {MAX_BODY} bytes; allowed: {MAX_BODY}"
            return await refuse(send, Refusal(413, reason))
        sent = False

        async def replay() -> Message:
            nonlocal sent
            if sent:
                return await receive()
            sent = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self._app(scope, replay, send)

    def _refusal(self, scope: Scope, known: bool) -> Refusal | None:
        if not self._tokens:
            refusal = from_elsewhere(scope)
            if refusal is not None:
                return refusal
        elif not known:
            return Refusal(
                401,
                "no valid token; allowed: the header Authorization: Bearer TOKEN, with the value of LEM_TOKEN, or a "
                "token of LEM_TOKENS without its name",
            )
        header = sum(len(name) + len(value) for name, value in scope["headers"])
        if header > MAX_HEADER:
            return Refusal(431, f"the header has {header} bytes; allowed: {MAX_HEADER}")
        target = len(scope.get("raw_path") or b"") + len(scope.get("query_string") or b"")
        if target > MAX_TARGET:
            return Refusal(414, f"path and query have {target} bytes; allowed: {MAX_TARGET}")
        lengths = values_of(scope, b"content-length")
        if any(not length.isdecimal() or len(length) > 12 or int(length) > MAX_BODY for length in lengths):
            return Refusal(413, f"the body is longer than {MAX_BODY} bytes; allowed: {MAX_BODY}")
        return None


async def _body(receive: Receive) -> bytes | None:
    """The whole body; None where it is too long."""
    parts, size = list[bytes](), 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return b""
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > MAX_BODY:
            return None
        if not message.get("more_body"):
            return b"".join(parts)
