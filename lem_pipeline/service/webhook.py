"""The webhook: what happens to live orders, posted to an address of the desk, signed, in order, until it is taken.

How far the receiver has come stands in the database: after a restart nothing is left out, and what was not answered is
sent again. So a receiver counts each entry's `id` once. Of several services on one database one sends, and the others
wait until it ends or its beats stop.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import threading
import time
import uuid
from typing import Any
from urllib.parse import unquote, urlsplit

import urllib3

from lem.errors import LemError
from lem_pipeline.service.hiding import Hiding
from lem_pipeline.service.models import AuditView
from lem_pipeline.service.tail import Tail
from lem_pipeline.web.listening import SHORTEST_TOKEN, ServiceError
from resources.processes import is_running, this_process

SIGNATURE = "LEM-Signature"
TIMEOUT_SECONDS = 10.0
LONGEST_WAIT_SECONDS = 300.0
BATCH = 100
WAKE_SECONDS = 0.2
TURN_SECONDS = 20.0
"""After a service that sends has been silent for so long, another one sends. It beats four times as often; sending one
post takes half of it at most."""
LOOK_SECONDS = 1.0
"""Between two looks of a service that waits for its turn."""
_LOG = logging.getLogger("lem.service")
_THREAD = "webhook"


def _of_other_threads(record: logging.LogRecord) -> bool:
    """Whether a record of urllib3 is not of ours: it writes addresses, with what is secret in them, at level DEBUG."""
    return record.threadName != _THREAD


for _name in ("urllib3.connectionpool", "urllib3.util.retry"):
    logging.getLogger(_name).addFilter(_of_other_threads)


def signature(secret: str, sent: int, body: bytes) -> str:
    """The header that signs a body.

    Args:
        secret: that sender and receiver know.
        sent: when, in seconds since 1970.
        body: as it is sent.

    Returns:
        `t=SECONDS,v1=HEX`: HMAC-SHA256 of the seconds, a dot and the body.
    """
    digest = hmac.new(secret.encode(), f"{sent}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={sent},v1={digest}"


class Webhook:
    """Posts to an address of the desk, in a thread of its own.

    Args:
        url: where to, of http or https; a user and a password in it are sent as basic authorization.
        secret: that signs what is sent.
        universe: whose orders are told of.
        tail: of the audit log.
        hidden: takes paths out of reasons.
        first_wait: seconds after a first failure; each more doubles it.

    Raises:
        ServiceError: the address or the secret is none. Neither is shown.
    """

    def __init__(
        self, url: str, secret: str, universe: str, tail: Tail, hidden: Hiding, first_wait: float = 1.0
    ) -> None:
        parts = _parts(url)
        if len(secret) < SHORTEST_TOKEN:
            raise ServiceError(
                f"LEM_WEBHOOK_SECRET has {len(secret)} characters; allowed: {SHORTEST_TOKEN} or more, such as those "
                "of: python -c 'import secrets; print(secrets.token_urlsafe(32))'"
            )
        user = f"{unquote(parts.username)}:{unquote(parts.password or '')}" if parts.username else None
        self._headers = dict(urllib3.make_headers(basic_auth=user)) if user else {}
        self._url = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
        self._secret, self._universe, self._tail, self._hidden = secret, universe, tail, hidden
        self._reader = tail.log.reader(universe, f"webhook:{hashlib.sha256(url.encode()).hexdigest()[:16]}")
        self._first_wait, self._failures, self._refused, self._due = first_wait, 0, 0, 0.0
        self._me = f"{this_process()}/{uuid.uuid4().hex[:8]}"
        self._sends, self._at, self._looked = False, 0.0, -LOOK_SECONDS
        self._place, self._stop = 0, threading.Event()
        timeout = urllib3.Timeout(total=TIMEOUT_SECONDS)
        self._pool = urllib3.PoolManager(timeout=timeout, retries=False)
        self._thread = threading.Thread(target=self._run, name=_THREAD, daemon=True)

    def start(self) -> None:
        """Begin; a receiver that is new is told of what happens from here on.

        Raises:
            RegistryError: the database cannot be read.
        """
        self._seen = self._reader.turn()
        self._at = time.monotonic()
        self._thread.start()

    def stop(self) -> None:
        """End; what is being sent may still come."""
        self._stop.set()
        self._thread.join(TIMEOUT_SECONDS)

    def _run(self) -> None:
        with self._tail.watching():
            while not self._stop.is_set():
                sent = False
                try:
                    if self._has_turn() and time.monotonic() >= self._due:
                        sent = self._send_next()
                except LemError as error:
                    self._failed(str(error))
                except Exception as error:  # whatever it was, what comes next is told
                    _LOG.exception("the webhook was not sent")
                    self._failed(type(error).__name__)
                if not sent:
                    self._stop.wait(WAKE_SECONDS)
            if self._sends:
                try:
                    self._reader.release(self._me)
                except LemError as error:
                    _LOG.warning("the webhook's turn was not given back: %s", error)

    def _has_turn(self) -> bool:
        """Whether this service is the one that sends; it beats, or watches the one that does."""
        now = time.monotonic()
        if self._sends:
            if now - self._at >= TURN_SECONDS / 4:
                self._sends, self._at = self._reader.beat(self._me), now
                if not self._sends:
                    _LOG.warning("another service sends to the webhook now: this one was silent for too long")
                    self._seen = self._reader.turn()
            return self._sends
        if now - self._looked < LOOK_SECONDS:
            return False
        self._looked, seen = now, self._reader.turn()
        if seen != self._seen:
            self._seen, self._at = seen, now
        if _is_free(seen.holder) or now - self._at >= TURN_SECONDS:
            self._sends = self._reader.take(self._me, seen)
            self._at, self._place = now, seen.entry_id
        return self._sends

    def _send_next(self) -> bool:
        """Send what is next. Whether something was taken."""
        newest, now = self._tail.newest, self._tail.refused
        found = self._tail.log.page(self._universe, after=self._place, limit=BATCH)
        if found:
            entries = [AuditView.of(entry).model_dump(mode="json") for entry in found]
            if not self._post({"universe": self._universe, "entries": entries}):
                return False
            self._place = found[-1].id
            self._reader.move(self._place)
            return True
        # Entries of other universes are not ours: they are passed over.
        self._place = max(self._place, newest)
        if now.number > self._refused:
            reasons = self._hidden.values(now.reasons)
            if self._post({"universe": self._universe, "bar": now.bar or None, "refused": reasons}):
                self._refused = now.number
                return True
        return False

    def _post(self, told: dict[str, Any]) -> bool:
        body, sent = json.dumps(told).encode(), int(time.time())
        headers = {"content-type": "application/json", SIGNATURE: signature(self._secret, sent, body)}
        try:
            answer = self._pool.request(
                "POST", self._url, body=body, headers=headers | self._headers, redirect=False, preload_content=False
            )
            status = answer.status
            answer.release_conn()
        except (urllib3.exceptions.HTTPError, ValueError, OSError) as error:
            # The message of such an error may quote the address.
            return self._failed(type(error).__name__)
        if not 200 <= status < 300:
            return self._failed(f"it answered {status}")
        if self._failures:
            _LOG.warning("the webhook is taken again")
        self._failures = 0
        return True

    def _failed(self, why: str) -> bool:
        if time.monotonic() < self._due:
            return False  # what fails while it waits makes it wait no longer
        self._due = time.monotonic() + min(LONGEST_WAIT_SECONDS, self._first_wait * 2.0 ** min(self._failures, 30))
        self._failures += 1
        if self._failures == 1:
            _LOG.warning("the webhook was not taken (%s); it is sent again until it is", why)
        return False


def _is_free(holder: str | None) -> bool:
    """Whether nobody sends: a process of this machine that has ended is known at once."""
    return holder is None or is_running(holder.partition("/")[0]) is False


def _parts(url: str) -> Any:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or parts.scheme not in ("http", "https"):
        raise ServiceError("LEM_WEBHOOK_URL is no URL of http or https; allowed: https://host/path")
    return parts
