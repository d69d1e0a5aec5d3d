"""The tokens of the service: one, or one for each who asks, whose name then stands in the audit log."""

from __future__ import annotations

import re
from collections.abc import Sequence

from lem_pipeline.web.listening import ServiceError, check_bind

NAME_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}"
Named = Sequence[tuple[str, str]]
"""Names and tokens; more than one token may have the same name, while one takes the place of the other."""


def tokens_of(token: str, named: str) -> list[tuple[str, str]]:
    """Names and tokens of the settings.

    Args:
        token: value of LEM_TOKEN; its name is `LEM_TOKEN`.
        named: value of LEM_TOKENS: `NAME:TOKEN`, with spaces between them.

    Raises:
        ServiceError: an entry has another form, or a token stands there twice. No token is shown.
    """
    out = [("LEM_TOKEN", token)] if token else []
    for place, entry in enumerate(named.split(), start=1):
        name, _, secret = entry.partition(":")
        if not secret or not re.fullmatch(NAME_PATTERN, name, re.ASCII):
            raise ServiceError(
                f"entry {place} of LEM_TOKENS; allowed: NAME:TOKEN, the name 1 to 32 letters, digits, dots, dashes and "
                "underscores, and spaces between the entries"
            )
        if secret in [other for _, other in out]:
            raise ServiceError(
                f"entry {place} of LEM_TOKENS ({name}) has the token of another; allowed: one of its own"
            )
        out.append((name, secret))
    return out


def check_tokens(host: str, tokens: Named) -> None:
    """Refuse to listen where strangers could ask.

    Args:
        host: address to listen on.
        tokens: of those who may ask.

    Raises:
        ServiceError: another address than loopback without a token, or a token that can be guessed.
    """
    if not tokens:
        check_bind(host, "")
    for name, secret in tokens:
        check_bind(host, secret, name if name == "LEM_TOKEN" else f"{name} of LEM_TOKENS")
