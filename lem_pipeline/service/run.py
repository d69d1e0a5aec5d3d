"""Starting the service: where it may listen, and how."""

from __future__ import annotations

import errno
import gc
import socket
from types import FrameType

import uvicorn

from lem.advice.advisor import Advisor
from lem_pipeline.service.app import make_app
from lem_pipeline.service.guards import MAX_HEADER
from lem_pipeline.service.keeper import Keeper
from lem_pipeline.service.push import Push
from lem_pipeline.service.tail import Tail
from lem_pipeline.service.tokens import Named, check_tokens, tokens_of
from lem_pipeline.web.connections import Connection
from lem_pipeline.web.listening import ServiceError, in_url, listen
from resources.terminal import console

GARBAGE = 50_000
"""Objects after which the garbage collector looks for cycles: more than a bar of a thousand orders makes."""


class _Server(uvicorn.Server):
    """A server whose signal ends the streams, too: they would hold it for as long as their listeners like."""

    def __init__(self, config: uvicorn.Config, push: Push) -> None:
        super().__init__(config)
        self._push = push

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Take a signal."""
        self._push.tail.closing = True
        super().handle_exit(sig, frame)


def run(advisor: Advisor, host: str, port: int, tokens: str | Named, push: Push | None = None) -> None:
    """Serve until a signal ends it.

    Args:
        advisor: that answers.
        host: address to listen on.
        port: likewise; 0 for any free one.
        tokens: of which callers must show one.
        push: what it does by itself; nothing if left out.

    Raises:
        ServiceError: as in `check_tokens`, or the address cannot be listened on.
    """
    tokens = tokens_of(tokens, "") if isinstance(tokens, str) else tokens
    push = push or Push(Tail(advisor.store.audit))
    check_tokens(host, tokens)
    listener = _listen(host, port)
    console.print(
        f"Advice on http://{in_url(host)}:{listener.getsockname()[1]} for universe {advisor.universe.name} "
        f"({'with a token' if tokens else 'loopback only'}); its description is /openapi.json; stop it with Ctrl-C"
    )
    config = uvicorn.Config(
        make_app(advisor, tokens, push.tail),
        http=Connection,
        h11_max_incomplete_event_size=MAX_HEADER,
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=30,
        ws="none",
    )
    with listener:
        # The modules' own objects outlive all requests: the garbage collector need not look through them.
        gc.collect()
        gc.freeze()
        # Nor through the thousands of a bar's slices, again and again while they are made: they have no cycles.
        gc.set_threshold(GARBAGE)
        keeper = Keeper(advisor)
        keeper.start()
        push.start()
        try:
            with advisor.store.written_ahead(), advisor.expectations.in_background():
                _Server(config, push).run(sockets=[listener])
        finally:
            keeper.stop()
            push.stop()


def _listen(host: str, port: int) -> socket.socket:
    try:
        return listen(host, port)
    except OSError as error:
        remedy = "another --port" if error.errno == errno.EADDRINUSE else "an address of this machine"
        raise ServiceError(f"cannot listen on {host}:{port}: {error.strerror}; allowed: {remedy}") from error
