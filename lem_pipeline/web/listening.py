"""Where a server of ours may listen, and with which token."""

from __future__ import annotations

import ipaddress
import socket

from lem.errors import LemError

SHORTEST_TOKEN = 24
BACKLOG = 128


class ServiceError(LemError):
    """A server may not, or cannot, listen where it is told to."""


def is_loopback(host: str) -> bool:
    """Whether an address to listen on can be reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_bind(host: str, token: str, setting: str = "LEM_TOKEN") -> None:
    """Refuse to listen where strangers could ask.

    Args:
        host: address to listen on.
        token: that callers must show.
        setting: the variable that holds it.

    Raises:
        ServiceError: another address than loopback without a token, or a token that can be guessed.
    """
    if not token and not is_loopback(host):
        raise ServiceError(
            f"--host {host} can be reached from other machines, and {setting} is not set; allowed: 127.0.0.1, or a "
            f"token of {SHORTEST_TOKEN} characters or more in {setting}"
        )
    if token and (len(token) < SHORTEST_TOKEN or not token.isascii() or not token.isprintable() or " " in token):
        raise ServiceError(
            f"{setting} has {len(token)} characters; allowed: {SHORTEST_TOKEN} or more printable ASCII ones without a "
            "space, such as those of: python -c 'import secrets; print(secrets.token_urlsafe(32))'"
        )


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens; whoever connects waits in it until a server takes the connection.

    Raises:
        OSError: the address cannot be listened on.
    """
    # The name may be given to another address; the promise is loopback.
    host = "127.0.0.1" if host == "localhost" else host
    try:
        family = socket.AF_INET6 if ipaddress.ip_address(host).version == 6 else socket.AF_INET
    except ValueError:
        family = socket.AF_INET
    listener = socket.socket(family)
    # A port whose last connections are only dying is free.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def in_url(host: str) -> str:
    """An address as a URL has it."""
    return f"[{host}]" if ":" in host else host
