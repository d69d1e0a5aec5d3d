"""What stands before the service: who may ask, from where, and how much.

Without a token the service listens on loopback only. There the danger is a browser on the same machine: a page may send
requests to 127.0.0.1, or have its own name point there (DNS rebinding). So the Host must be a loopback name, and a
request that a page of another origin sent is refused; no answer carries a header that would let such a page read it.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import json
from collections.abc import Sequence

from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY = 16_384
"""Bytes of a request's body; the largest that makes sense has some hundreds."""
MAX_TARGET = 2_048
"""Bytes of a request's path and query."""
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")


def is_loopback(host: str) -> bool:
    """Whether an address to listen on can be reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Guard:
    """Refuses with 4xx what may not come in, before anything of it is read.

    Args:
        app: what is guarded.
        token: that callers must show as `Authorization: Bearer TOKEN`; without one, only loopback names are answered.
    """

    def __init__(self, app: ASGIApp, token: str = "") -> None:
        self._app = app
        # Digests have one length: comparing them tells nothing of the token, not even how long it is.
        self._digest = hashlib.sha256(token.encode()).digest() if token else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request by a refusal, or hand it on with its whole body."""
        if scope["type"] == "lifespan":
            return await self._app(scope, receive, send)
        if scope["type"] != "http":
            return None
        refusal = self._refusal(scope)
        if refusal is not None:
            return await _answer(send, *refusal)
        body = await _body(receive)
        if body is None:
            return await _answer(send, 413, f"the body has more than {MAX_BODY} bytes; allowed: {MAX_BODY}")
        sent = False

        async def replay() -> Message:
            nonlocal sent
            if sent:
                return await receive()
            sent = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self._app(scope, replay, send)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        headers: list[tuple[bytes, bytes]] = scope["headers"]

        def all_of(name: bytes) -> list[str]:
            return [value.decode("latin-1") for key, value in headers if key.lower() == name]

        if self._digest is not None:
            if not self._authorised(all_of(b"authorization")):
                return (
                    401,
                    "no valid token; allowed: the header Authorization: Bearer TOKEN, with the value of LEM_TOKEN",
                )
        else:
            hosts = all_of(b"host")
            if len(hosts) != 1 or _name(hosts[0]) not in LOOPBACK_NAMES:
                return 421, f"the Host header names another machine; allowed: {', '.join(LOOPBACK_NAMES)}"
            own = {f"http://{hosts[0].lower()}"}
            if any(origin.lower() not in own for origin in all_of(b"origin")):
                return 403, "sent by a page of another origin; allowed: requests that no web page sent"
            if any(site not in ("none", "same-origin") for site in all_of(b"sec-fetch-site")):
                return 403, "sent by a page of another site; allowed: requests that no web page sent"
        target = len(scope.get("raw_path") or b"") + len(scope.get("query_string") or b"")
        if target > MAX_TARGET:
            return 414, f"path and query have {target} bytes; allowed: {MAX_TARGET}"
        lengths = all_of(b"content-length")
        if any(not length.isdecimal() or len(length) > 12 or int(length) > MAX_BODY for length in lengths):
            return 413, f"the body is longer than {MAX_BODY} bytes; allowed: {MAX_BODY}"
        return None

    def _authorised(self, values: Sequence[str]) -> bool:
        kind, _, shown = values[0].partition(" ") if len(values) == 1 else ("", "", "")
        digest = hashlib.sha256(shown.encode("latin-1")).digest()
        return hmac.compare_digest(digest, self._digest or b"") and kind.lower() == "bearer"


def _name(host: str) -> str:
    """The name in a Host header, without its port."""
    name, colon, port = host.rpartition(":")
    return (name if colon and port.isdecimal() else host).lower()


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


async def _answer(send: Send, status: int, reason: str) -> None:
    body = json.dumps({"reason": reason, "problems": []}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
