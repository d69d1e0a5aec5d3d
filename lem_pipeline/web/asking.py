"""Who asks: this machine or a page of another site, with the token or without.

A browser sends requests to any address for any page, 127.0.0.1 among them, and a page may have its own name point
there (DNS rebinding). So the Host must be a loopback name where no token is asked for, and what a page of another
origin sent is refused; no answer carries a header that would let such a page read it.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Sequence
from dataclasses import dataclass

from starlette.types import Scope, Send

from lem_pipeline.web.listening import is_loopback

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")
"""As an error names them; every address of 127.0.0.0/8 is one."""


@dataclass(frozen=True)
class Refusal:
    """Why a request is not answered.

    Args:
        status: of HTTP.
        reason: what was wrong, and what is allowed.
    """

    status: int
    reason: str


class Token:
    """What callers must show.

    Args:
        token: its text.
    """

    def __init__(self, token: str) -> None:
        self._key = token.encode()
        # Digests have one length: comparing them tells nothing of the token, not even how long it is.
        self._digest = hashlib.sha256(self._key).digest()

    def matches(self, shown: str) -> bool:
        """Whether a text is the token."""
        return hmac.compare_digest(hashlib.sha256(shown.encode("latin-1", "replace")).digest(), self._digest)

    def in_header(self, values: Sequence[str]) -> bool:
        """Whether the values of the header Authorization are the one that shows it."""
        kind, _, shown = values[0].partition(" ") if len(values) == 1 else ("", "", "")
        return self.matches(shown) and kind.lower() == "bearer"

    def derived(self, purpose: str) -> str:
        """A text that only who knows the token can make, and that does not tell it."""
        return hmac.new(self._key, purpose.encode(), hashlib.sha256).hexdigest()


def values_of(scope: Scope, name: bytes) -> list[str]:
    """The values of a header, in the order in which they came."""
    return [value.decode("latin-1") for key, value in scope["headers"] if key.lower() == name]


def from_elsewhere(scope: Scope, any_host: bool = False) -> Refusal | None:
    """Refuse what another name for this machine, or a page of another origin, sent.

    Args:
        scope: of the request.
        any_host: answer to every name, and to pages that came over TLS, for a proxy may lie between.
    """
    hosts = values_of(scope, b"host")
    if len(hosts) != 1 or not (any_host or _is_loopback_name(hosts[0])):
        return Refusal(
            421, f"the Host header names another machine; allowed: {', '.join(LOOPBACK_NAMES)}, or their like"
        )
    own = {f"{scheme}://{hosts[0].lower()}" for scheme in (("http", "https") if any_host else ("http",))}
    if any(origin.lower() not in own for origin in values_of(scope, b"origin")):
        return Refusal(403, "sent by a page of another origin; allowed: requests that no other page sent")
    if any(site not in ("none", "same-origin") for site in values_of(scope, b"sec-fetch-site")):
        return Refusal(
            403,
            "sent by a page of another site; allowed: requests that no other page sent (type the address in, or paste "
            "it, where a link led here)",
        )
    return None


def _is_loopback_name(host: str) -> bool:
    name, colon, port = host.rpartition(":")
    name = (name if colon and port.isdecimal() else host).lower()
    if name.startswith("[") and name.endswith("]"):
        name = name[1:-1]
    elif ":" in name:  # an address of IPv6 stands in brackets
        return False
    return is_loopback(name)


async def refuse(send: Send, refusal: Refusal) -> None:
    """Answer with a refusal, in JSON."""
    body = json.dumps({"reason": refusal.reason, "problems": []}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if refusal.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    if refusal.status == 503:
        headers.append((b"retry-after", b"1"))
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
