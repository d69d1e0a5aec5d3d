"""What stands before Dagster's webserver, which answers any page of any site, and changes things on GET.

Its `/graphql` executes a mutation from a GET's query string, and from a POST of any content type, which a browser sends
for a foreign page without asking first (no preflight). So a request that changes something must be JSON, a GET carries
no GraphQL, and what a page of another site sent is refused, websockets too. A browser cannot send a token with each
request: whoever shows it once, in the address, gets a cookie that is made from it.
"""

from __future__ import annotations

import hmac
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, quote, urlencode

from starlette.types import ASGIApp, Receive, Scope, Send

from lem_pipeline.web.asking import Refusal, Token, from_elsewhere, refuse, values_of

READING = ("GET", "HEAD", "OPTIONS")


class UiGuard:
    """Refuses what may not come in.

    Args:
        app: Dagster's webserver.
        token: that must be shown, as `?token=TOKEN` once or as `Authorization: Bearer TOKEN`; without one, only
            loopback names are answered.
    """

    def __init__(self, app: ASGIApp, token: str = "") -> None:
        self._app = app
        self._token = Token(token) if token else None
        # Cookies do not know ports: two UIs on one host have two names.
        self._cookie = f"lem_ui_{self._token.derived('name')[:8]}" if self._token else ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request by a refusal or with the cookie, or hand it on."""
        if scope["type"] not in ("http", "websocket"):
            return await self._app(scope, receive, send)
        refusal = from_elsewhere(scope, any_host=self._token is not None) or self._unfit(scope)
        if refusal is None and self._token is not None and not self._known(scope, self._token):
            if scope["type"] == "http" and scope["method"] == "GET" and self._shown_in_address(scope, self._token):
                return await self._welcome(scope, send, self._token)
            refusal = Refusal(
                401,
                "no valid token; allowed: to open /?token=TOKEN once in the browser, or the header Authorization: "
                "Bearer TOKEN, with the value of LEM_UI_TOKEN",
            )
        if refusal is None:
            return await self._app(scope, receive, send)
        if scope["type"] == "websocket":
            await receive()
            return await send({"type": "websocket.close", "code": 1008, "reason": refusal.reason[:100]})
        await refuse(send, refusal)

    def _unfit(self, scope: Scope) -> Refusal | None:
        if scope["type"] == "websocket":
            return None
        if scope["method"] not in READING:
            kinds = values_of(scope, b"content-type")
            if len(kinds) != 1 or kinds[0].partition(";")[0].strip().lower() != "application/json":
                return Refusal(415, "a request that changes something; allowed: Content-Type: application/json")
        elif scope["path"].rstrip("/").endswith("/graphql") and scope["query_string"]:
            return Refusal(405, "GraphQL in an address; allowed: POST with Content-Type: application/json")
        return None

    def _known(self, scope: Scope, token: Token) -> bool:
        if token.in_header(values_of(scope, b"authorization")):
            return True
        for text in values_of(scope, b"cookie"):
            # One by one: a cookie of somebody else's that cannot be read hides ours otherwise.
            for one in text.split(";"):
                try:
                    found = SimpleCookie(one.strip()).get(self._cookie)
                except CookieError:
                    continue
                if found is not None and hmac.compare_digest(
                    found.value.encode("latin-1", "replace"), token.derived("cookie").encode()
                ):
                    return True
        return False

    def _shown_in_address(self, scope: Scope, token: Token) -> bool:
        shown = [value for name, value in _query(scope) if name == "token"]
        return len(shown) == 1 and token.matches(shown[0])

    async def _welcome(self, scope: Scope, send: Send, token: Token) -> None:
        """Give the cookie, and go on to the same address without the token."""
        # With one slash: two would begin the name of another host.
        path = "/" + quote(scope["path"].lstrip("/\\"))
        rest = urlencode([(name, value) for name, value in _query(scope) if name != "token"])
        secure = "; Secure" if "https" in (scope["scheme"], *values_of(scope, b"x-forwarded-proto")) else ""
        cookie = f"{self._cookie}={token.derived('cookie')}; Path=/; HttpOnly; SameSite=Strict{secure}"
        headers = [
            (b"location", f"{path}{'?' * bool(rest)}{rest}".encode("latin-1")),
            (b"set-cookie", cookie.encode("latin-1")),
            (b"cache-control", b"no-store"),
            (b"referrer-policy", b"no-referrer"),
            (b"content-length", b"0"),
        ]
        await send({"type": "http.response.start", "status": 303, "headers": headers})
        await send({"type": "http.response.body", "body": b""})


def _query(scope: Scope) -> list[tuple[str, str]]:
    return parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
