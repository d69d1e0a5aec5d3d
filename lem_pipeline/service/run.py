"""Starting the service: where it may listen, and how."""

from __future__ import annotations

import errno
import socket

import uvicorn

from lem.advice.advisor import Advisor
from lem_pipeline.service.app import make_app
from lem_pipeline.service.guards import MAX_HEADER
from lem_pipeline.service.tokens import Named, check_tokens, tokens_of
from lem_pipeline.web.connections import Connection
from lem_pipeline.web.listening import ServiceError, in_url, listen
from resources.terminal import console


def run(advisor: Advisor, host: str, port: int, tokens: str | Named) -> None:
    """Serve until a signal ends it.

    Raises:
        ServiceError: as in `check_tokens`, or the address cannot be listened on.
    """
    tokens = tokens_of(tokens, "") if isinstance(tokens, str) else tokens
    check_tokens(host, tokens)
    listener = _listen(host, port)
    console.print(
        f"Advice on http://{in_url(host)}:{listener.getsockname()[1]} for universe {advisor.universe.name} "
        f"({'with a token' if tokens else 'loopback only'}); its description is /openapi.json; stop it with Ctrl-C"
    )
    config = uvicorn.Config(
        make_app(advisor, tokens),
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
        uvicorn.Server(config).run(sockets=[listener])


def _listen(host: str, port: int) -> socket.socket:
    try:
        return listen(host, port)
    except OSError as error:
        remedy = "another --port" if error.errno == errno.EADDRINUSE else "an address of this machine"
        raise ServiceError(f"cannot listen on {host}:{port}: {error.strerror}; allowed: {remedy}") from error
