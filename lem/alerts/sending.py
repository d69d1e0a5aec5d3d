"""Sending an alert to every address, with apprise, and fetching the URL of a heartbeat. No message shows a secret."""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

import urllib3

from lem.errors import AlertError
from lem.masking import Masking, url_passwords

SETTING = "LEM_ALERT_URLS"
HEARTBEAT_SETTING = "LEM_HEARTBEAT_URL"
ALLOWED = (
    "allowed are apprise's URLs, one after the other with spaces between them, such as mailto://..., slack://..., "
    "ntfys://... or jsons://host/path: https://appriseit.com/services"
)
TIMEOUT_S = 10.0
TRIES = 3
# Of these the host is a host; of any other it may be a token.
_WITH_HOST = re.compile(r"(json|xml|form|mailto|http|apprise|gotify|mqtt|syslog|rsyslog)s?")
_BETWEEN = re.compile(r"[\s,]+(?=[A-Za-z][\w+.-]*://)")


@dataclass(frozen=True)
class Sent:
    """What became of a message.

    Args:
        accepted: names of the addresses that took it, as `LEM_ALERT_URLS 1 (json)`.
        failed: of the others, the name and why.
    """

    accepted: list[str]
    failed: list[str]


def addresses(text: str) -> list[str]:
    """The URLs of a setting: separated by white space, or by commas, as apprise has it."""
    return [url for url in (part.strip(" \t\r\n,") for part in _BETWEEN.split(text)) if url]


def send(urls: Sequence[str], title: str, body: str, kind: str) -> Sent:
    """Send a message to every address.

    Args:
        urls: apprise's.
        title: in a few words.
        body: in sentences.
        kind: apprise's: info, success, warning or failure.

    Raises:
        AlertError: apprise is not installed.
    """
    try:
        import apprise
    except ImportError as error:
        raise AlertError(f"{error}; alerts need apprise, install it with: pip install apprise") from error
    accepted, failed = list[str](), list[str]()
    with _quiet():
        for number, url in enumerate(urls, 1):
            name, one = f"{SETTING} {number} ({_scheme(url)})", apprise.Apprise()
            if not one.add(url):
                failed.append(f"{name}: apprise knows no such address, or something is missing in it; {ALLOWED}")
                continue
            with apprise.LogCapture(level=logging.WARNING, fmt="%(message)s", name="apprise") as log:
                done = one.notify(title=title, body=body, notify_type=apprise.NotifyType(kind), body_format="text")
                said = _masked(url, " ".join(_text(log).split()))
            if done:
                accepted.append(name)
            else:
                failed.append(f"{name}: not sent: {said or 'its service has refused it, or cannot be reached'}")
    return Sent(accepted, failed)


def beat(url: str, universe: str) -> None:
    """Fetch the URL of a heartbeat.

    Args:
        url: `{universe}` in it stands for the universe's name.
        universe: its name.

    Raises:
        AlertError: it is no URL of http or https, or it did not answer with a status below 300.
    """
    url = url.replace("{universe}", universe)
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        host = None
    if not host or parts.scheme not in ("http", "https"):
        raise AlertError(f"{HEARTBEAT_SETTING}: it is no URL of http or https; allowed: https://host/path")
    shown = f"{HEARTBEAT_SETTING} ({parts.scheme}://{host}/...)"
    retries = urllib3.Retry(TRIES - 1, backoff_factor=0.5, status_forcelist=(429, 500, 502, 503, 504))
    try:
        with urllib3.PoolManager(timeout=TIMEOUT_S, retries=retries) as pool:
            headers = (
                urllib3.make_headers(basic_auth=unquote(f"{parts.username}:{parts.password or ''}"))
                if (parts.username)
                else {}
            )
            bare = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
            answer = pool.request("GET", bare, headers=headers)
    except (urllib3.exceptions.HTTPError, ValueError) as error:
        raise AlertError(f"{shown}: not reached: {_masked(url, ' '.join(str(error).split()))}") from None
    if answer.status >= 300:
        raise AlertError(f"{shown}: answered {answer.status}; allowed: a URL that answers a GET with 200")


@contextmanager
def _quiet() -> Iterator[None]:
    """Nothing of apprise's own log goes anywhere else: it may quote a URL."""
    logger = logging.getLogger("apprise")
    before, logger.propagate = logger.propagate, False
    try:
        yield
    finally:
        logger.propagate = before


def _text(log: object) -> str:
    return log.getvalue() if isinstance(log, io.StringIO) else ""


def _scheme(url: str) -> str:
    scheme = url.partition("://")[0]
    return scheme if re.fullmatch(r"[A-Za-z][\w+.-]{0,20}", scheme) and "://" in url else "no URL"


def _masked(url: str, text: str) -> str:
    """A text without anything of the URL that may be secret: all but its scheme, and the host where it is one."""
    scheme, _, rest = url.partition("://")
    userinfo, _, place = rest.rpartition("@")
    host, _, more = place.partition("/")
    pieces = [rest, *url_passwords(url), *re.split(r"[:@]", userinfo), *re.split(r"[/?&=#:]", more)]
    if not _WITH_HOST.fullmatch(scheme.lower()):
        pieces += re.split(r"[:?&=#]", host)
    secrets = [piece for piece in pieces if len(piece) > 2]
    return Masking([*secrets, *map(unquote, secrets)])(text)
