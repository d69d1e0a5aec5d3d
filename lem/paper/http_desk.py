"""The desk behind `lem serve`: a paper venue's questions and fills over HTTP."""

from __future__ import annotations

import datetime as dt
import json
import time
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

import orjson
import urllib3

from lem.advice.order import OPEN, STATUSES
from lem.advice.venue_rules import VenueRules
from lem.errors import PaperError
from lem.paper.client import MOST_ENDED, Given, Market, NoAnswerError, OrderTerms, RefusedError, Slice, UnavailableError
from lem.paper.filling import VenueFill
from lem.paper.messages import Message

_TIMEOUT = urllib3.Timeout(connect=5.0, read=60.0)
_OURS_TO_MEND = (401, 403, 421)
"""The token, the address or the way it is asked is wrong: no later try helps."""
_FOR_GOOD = (400, 404, 409, 413, 414, 422)


class HttpDesk:
    """A desk at an address. Connections are kept.

    Args:
        url: of the service, such as http://127.0.0.1:8321.
        universe: name of the one that the service must be of.
        token: what the service asks for; empty for none.
        every: seconds between two looks.

    Raises:
        PaperError: the address is none.
    """

    def __init__(self, url: str, universe: str, token: str = "", every: float = 1.0) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.username:
            raise PaperError(f"url {url[:80]!a}; allowed: an address such as http://127.0.0.1:8321")
        self._url, self._universe, self._every = url.rstrip("/"), universe, every
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._pool = urllib3.PoolManager(retries=False, timeout=_TIMEOUT, headers=headers)

    def market(self) -> Market:
        """Where time stands.

        Raises:
            PaperError: the service is of another universe, or does not let this one in.
            UnavailableError: it does not answer.
        """
        told = self._ask("GET", "/market")
        if told["universe"] != self._universe:
            raise PaperError(f"{self._url} is of universe {told['universe']}; allowed: {self._universe}")
        return Market(*(_time(told[name]) for name in ("now", "bar", "bar_end")))

    def advise(self) -> Given:
        """The slices of the bar that is next. Raises as `market`."""
        told = self._ask("POST", "/advice")
        return Given([_slice_of(row) for row in told["slices"]], told["refused"])

    def order(self, order_id: str) -> OrderTerms:
        """The terms of an order. Raises as `market`, and RefusedError where there is none."""
        told = self._ask("GET", f"/orders/{order_id}")
        rules = (_number(told[name]) for name in ("lot", "tick", "min_amount", "min_notional"))
        return OrderTerms(Decimal(repr(told["size"])), VenueRules(*rules), told["status"] in OPEN)

    def slices(self, order_id: str) -> list[Slice]:
        """Every slice of an order. Raises as `order`."""
        return [_slice_of(row) for row in self._ask("GET", f"/orders/{order_id}/slices")]

    def tell(self, message: Message) -> None:
        """Tell what was filled, or that nothing was. Raises as `market`, and RefusedError where it is not taken."""
        if message.fill is None:
            bar = f"{message.bar:%Y-%m-%dT%H:%M:%SZ}"
            self._ask("PUT", f"/orders/{message.order_id}/slices/{bar}/fill", {"amount": 0.0})
            return
        body = {"bar": message.bar.isoformat(), "corrects": message.corrects} | _body_of(message.fill)
        self._ask("POST", f"/orders/{message.order_id}/fills", body)

    def ended_orders(self, since: dt.datetime) -> list[str]:
        """Ids of the last 1000 orders that have ended and are not closed, of those sent at or after a time (UTC)."""
        wanted = "&".join(f"status={status}" for status in STATUSES if status not in OPEN)
        rows = self._ask("GET", f"/orders?{wanted}&limit={MOST_ENDED}")
        return [row["id"] for row in rows if row["closed_at"] is None and _time(row["created_at"]) >= since]

    def has_open_orders(self) -> bool:
        """Whether any order is open. Raises as `market`."""
        return bool(self._ask("GET", "/orders?status=waiting&status=live&limit=1"))

    def wait(self, now: dt.datetime, until: dt.datetime) -> None:
        """Wait until the next look: how fast the service's clock goes is not known here."""
        time.sleep(self._every)

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        try:
            # All digits of the numbers: those of a float would be fewer.
            sent = None if body is None else orjson.dumps(body)
            headers = {**self._pool.headers, "Content-Type": "application/json"}
            answer = self._pool.request(method, self._url + path, body=sent, headers=headers)
        except urllib3.exceptions.HTTPError as error:
            raise NoAnswerError(f"{self._url} does not answer: {_cause(error)}") from error
        if answer.status in (200, 201):
            return json.loads(answer.data)
        why = f"{method} {path}: {answer.status}: {_reason(answer.data)}"
        if answer.status in _OURS_TO_MEND:
            raise PaperError(f"{self._url}: {why}; allowed: the address and the token (LEM_TOKEN) of the service")
        if answer.status in _FOR_GOOD:
            raise RefusedError(why)
        raise UnavailableError(why)


def _body_of(fill: VenueFill) -> dict[str, Any]:
    numbers = {name: orjson.Fragment(f"{getattr(fill, name):f}") for name in ("amount", "price", "fee")}
    return {"id": fill.fill_id, "time": fill.traded_at.isoformat(), **numbers}


def _slice_of(row: dict[str, Any]) -> Slice:
    return Slice(
        order_id=row["order_id"],
        asset=row["asset"],
        side=row["side"],
        target=row["unit"],
        bar=_time(row["bar"]),
        bar_end=_time(row["bar_end"]),
        number=row["number"],
        seconds_left=row["seconds_left"],
        amount=Decimal(row["exact_amount"]),
        mode=row["mode"],
        limit_price=_number(row["limit_price"]),
        is_told=row["exact_filled"] is not None,
    )


def _time(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text).astimezone(dt.UTC)


def _number(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def _reason(data: bytes) -> str:
    try:
        return str(json.loads(data)["reason"])
    except (ValueError, KeyError, TypeError):
        return "no reason was given"


def _cause(error: Exception) -> str:
    return type(error).__name__ if not str(error) else str(error).rpartition(": ")[2]
