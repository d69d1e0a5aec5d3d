"""Text without secrets: an error may quote the key that was sent, often in another spelling.

A venue's error comes through a URL, JSON or HTML, and then through the message of an exception, which may spell it as
Python does. All of these spellings are masked, and also the spellings of spellings.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Iterable
from urllib.parse import quote, quote_plus, unquote

MASK = "***"

_WAYS: tuple[Callable[[str], str], ...] = (
    str,
    quote,
    lambda text: quote(text, safe=""),
    quote_plus,
    lambda text: repr(text)[1:-1],
    # Python puts double quotes around a text with a single quote, and does not escape the single one.
    lambda text: repr(f'"{text}')[2:-1],
    lambda text: repr(text.encode())[2:-1],
    lambda text: repr(f'"{text}'.encode())[3:-1],
    lambda text: json.dumps(text)[1:-1],
    lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
    lambda text: json.dumps(text)[1:-1].replace("/", r"\/"),
    html.escape,
)


# Up to the last @ before the path. A password may hold a /: if what follows the colon is no port, up to the next @.
_USERINFO = re.compile(r"(?<=://)(?:[^/?#\s]*|[^/?#\s@\[\]]*:(?!\d*(?:[/?#]|$))(?:(?!://)[^@\s])*)@")


def without_userinfo(text: str) -> str:
    """The text without the users and passwords of URLs in it; the text may be one URL."""
    return _USERINFO.sub("", text)


def url_passwords(url: str) -> list[str]:
    """The passwords in a URL, each as it stands there and unquoted; a chained URL may have several."""
    found = [userinfo[:-1].partition(":")[2] for userinfo in _USERINFO.findall(url)]
    return [text for password in found if password for text in (password, unquote(password))]


def spellings(secret: str) -> set[str]:
    """A secret as it is; quoted for a URL, Python, JSON or HTML; and all of these quoted once more."""
    once = {way(secret) for way in _WAYS}
    return {way(text) for text in once for way in _WAYS}


class Masking:
    """Replaces secrets in texts, in any spelling, in any case, and with any white space in place of their own.

    Args:
        secrets: in plain text; empty ones are left out.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        spelled = {tuple(text.split()) for secret in secrets for text in spellings(secret)} - {()}
        # The longest first: one secret may begin with another, and then nothing of it may stay.
        longest = sorted(spelled, key=lambda words: -sum(map(len, words)))
        patterns = (r"\s+".join(map(re.escape, words)) for words in longest)
        self._pattern = re.compile("|".join(patterns), re.IGNORECASE) if longest else None

    def __call__(self, text: str) -> str:
        """The text with `***` in place of each secret."""
        return self._pattern.sub(MASK, text) if self._pattern else text
