"""Starting the service: where it may listen, and how."""

from __future__ import annotations

import errno
import ipaddress
import socket

import uvicorn

from lem.advice.advisor import Advisor
from lem.errors import LemError
from lem_pipeline.service.app import make_app
from lem_pipeline.service.guards import is_loopback
from resources.terminal import console

SHORTEST_TOKEN = 24
MOST_CONNECTIONS = 128


class ServiceError(LemError):
    """The service may not, or cannot, listen where it is told to."""


def check_bind(host: str, token: str) -> None:
    """Refuse to listen where strangers could ask.

    Raises:
        ServiceError: another address than loopback without a token, or a token that can be guessed.
    """
    if not token and not is_loopback(host):
        raise ServiceError(
            f"--host {host} can be reached from other machines, and LEM_TOKEN is not set; allowed: 127.0.0.1, or a "
            f"token of {SHORTEST_TOKEN} characters or more in LEM_TOKEN"
        )
    if token and (len(token) < SHORTEST_TOKEN or not token.isascii() or not token.isprintable() or " " in token):
        raise ServiceError(
            f"LEM_TOKEN has {len(token)} characters; allowed: {SHORTEST_TOKEN} or more printable ASCII ones without a "
            "space, such as those of: python -c 'import secrets; print(secrets.token_urlsafe(32))'"
        )


def run(advisor: Advisor, host: str, port: int, token: str) -> None:
    """Serve until a signal ends it.

    Raises:
        ServiceError: as in `check_bind`, or the address cannot be listened on.
    """
    check_bind(host, token)
    listener = _listen(host, port)
    shown = f"[{host}]" if ":" in host else host
    console.print(
        f"Advice on http://{shown}:{listener.getsockname()[1]} for universe {advisor.universe.name} "
        f"({'with a token' if token else 'loopback only'}); its description is /openapi.json; stop it with Ctrl-C"
    )
    config = uvicorn.Config(
        make_app(advisor, token),
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        limit_concurrency=MOST_CONNECTIONS,
        timeout_keep_alive=30,
        ws="none",
    )
    with listener:
        uvicorn.Server(config).run(sockets=[listener])


def _listen(host: str, port: int) -> socket.socket:
    # The name may be given to another address; the promise is loopback.
    host = "127.0.0.1" if host == "localhost" else host
    try:
        family = socket.AF_INET6 if ipaddress.ip_address(host).version == 6 else socket.AF_INET
    except ValueError:
        family = socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        # Whoever reads the address may ask at once: requests wait here until the server takes them.
        listener.listen(MOST_CONNECTIONS)
    except OSError as error:
        listener.close()
        remedy = "another --port" if error.errno == errno.EADDRINUSE else "an address of this machine"
        raise ServiceError(f"cannot listen on {host}:{port}: {error.strerror}; allowed: {remedy}") from error
    return listener
