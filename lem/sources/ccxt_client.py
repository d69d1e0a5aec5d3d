"""ccxt's client of a venue, with turns, retries, the venue's clock, and errors without secrets."""

from __future__ import annotations

import datetime as dt
import difflib
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit, urlunsplit

from urllib3.exceptions import ReadTimeoutError

from lem.errors import SourceError
from lem.masking import Masking
from lem.sources.limits import CLOCK, LONGEST_WAIT_SECONDS, Clock, backoff, limiter, retry_after
from lem.sources.venues import milliseconds
from lem.universe.source_config import CcxtConfig

T = TypeVar("T")

CREDENTIALS = ("apiKey", "secret", "password")
DEFAULT_BAN_SECONDS = 120.0
LONGEST_CAUSE = 300
_UNREADABLE = (KeyError, IndexError, TypeError, ValueError, AttributeError, ArithmeticError)
"""What ccxt's parsers and ours raise when an answer is not in the venue's format."""

_silent = logging.Logger(__name__ + ".requests", logging.CRITICAL + 1)
"""Replaces ccxt's own logger, which at debug level writes request headers, and with them the key.

It is not registered with `logging`: a configuration of logging, such as Dagster's, would switch it on again.
"""


class PageFault(Exception):
    """An answer that is no page of the requested bars. It is asked for again, like any other failed request."""


class VenueClient:
    """One ccxt client, for one thread at a time; all clients of a venue share a limiter.

    Args:
        config: the `[source]` section.
        credentials: `apiKey`, `secret`, `password`, or none.
        clock: of this machine, for waiting.

    Raises:
        SourceError: ccxt knows no such venue, or the venue has no bars of this length.
    """

    def __init__(self, config: CcxtConfig, credentials: Mapping[str, str], clock: Clock = CLOCK) -> None:
        # The import loads all of ccxt's venues, which takes a second: only who uses one waits for it.
        import ccxt

        self._ccxt, self._config, self._clock, self.venue = ccxt, config, clock, config.venue
        if config.venue not in ccxt.exchanges:
            near = difflib.get_close_matches(config.venue, ccxt.exchanges, n=3, cutoff=0.5)
            hint = f"did you mean {' or '.join(near)}? " if near else ""
            raise SourceError(
                f"source.venue: ccxt {ccxt.__version__} has no venue {config.venue!r}: {hint}"
                f"allowed: one of its {len(ccxt.exchanges)} names, such as binance, bybit, okx, kraken, coinbase"
            )
        url_password = urlsplit(config.url).password or ""
        self._masked = Masking([*credentials.values(), url_password, unquote(url_password)])
        given = {name: credentials[name] for name in CREDENTIALS if credentials.get(name)}
        self.client = getattr(ccxt, config.venue)({**given, "timeout": int(config.timeout_seconds * 1000)})
        self.client.logger = _silent
        # Bars need neither; with a key ccxt would also ask for private data when it loads the markets.
        self.client.has["fetchCurrencies"] = self.client.options["fetchMargins"] = False
        if config.url:
            self.client.urls["api"] = rebased(self.client.urls["api"], config.url)
        self._limit_requests()
        self.client.session.hooks["response"].append(self._limit_reading)
        self._status: int | None = None
        self._headers: Mapping[str, str] = {}
        self._known_time: dt.datetime | None = None

    def _limit_requests(self) -> None:
        """Replace ccxt's limiter, which knows one client only, with ours, and read each answer's headers."""
        per_second = self._config.requests_per_second
        interval = 1 / per_second if per_second else self.client.rateLimit / 1000
        self._limiter = limiter(self.venue, self._config.url, interval, self._clock)
        self.client.enableRateLimit = True
        # ccxt's costs count in units of its own limit; a limit that the user sets counts requests.
        self.client.throttle = lambda cost=None: self._limiter.wait(1.0 if per_second or cost is None else cost)
        fetch, on_answer = self.client.fetch, self.client.on_rest_response

        def watched(code: int, reason: str, url: str, method: str, headers: Any, *rest: Any) -> Any:
            self._status, self._headers = code, headers
            return on_answer(code, reason, url, method, headers, *rest)

        def parsed(*arguments: Any, **keys: Any) -> Any:
            answer = fetch(*arguments, **keys)
            if not isinstance(answer, dict | list):
                raise PageFault(f"the answer is truncated, or no JSON: {len(answer or '')} characters")
            return answer

        self.client.on_rest_response, self.client.fetch = watched, parsed

    def _limit_reading(self, response: Any, *_: Any, **__: Any) -> None:
        """Limit the time of a whole answer: the client's own timeout limits only the wait between two chunks."""
        raw, end = response.raw, time.monotonic() + self._config.timeout_seconds

        def stream(amount: int = 65_536, decode_content: bool | None = None) -> Iterator[bytes]:
            while chunk := raw.read1(amount, decode_content=decode_content):
                yield chunk
                if time.monotonic() > end:
                    raise ReadTimeoutError(raw, response.url, "Read timed out.")

        raw.stream = stream

    def ask(self, what: str, call: Callable[[], T]) -> T:
        """The answer to one question, which is asked again when a try fails.

        Args:
            what: names the question in an error.
            call: asks the venue once.

        Raises:
            SourceError: the venue refused, banned this address, or failed in every attempt; with the last cause.
        """
        attempts = self._config.retries + 1
        for attempt in range(attempts):
            self._status, self._headers = None, {}
            try:
                return call()
            except (self._ccxt.BaseError, PageFault, *_UNREADABLE) as error:
                cause = self._cause(error)
                if not self._passing(error):
                    raise SourceError(f"{self.venue}: {what}: the venue refused: {cause}") from None
            seconds = retry_after(self._headers.get("Retry-After"), self._clock)
            if self._status == 418:
                self._limiter.ban(seconds or DEFAULT_BAN_SECONDS)
                self._limiter.wait()
            if seconds is not None and seconds > LONGEST_WAIT_SECONDS:
                until = self._clock.now() + dt.timedelta(seconds=seconds)
                raise SourceError(
                    f"{self.venue}: {what}: the venue asks to wait until {until:%Y-%m-%d %H:%M:%S} UTC, longer than "
                    f"the {LONGEST_WAIT_SECONDS:.0f} s that are waited for: {cause}"
                ) from None
            if attempt + 1 < attempts:
                self._wait(attempt, seconds)
        raise SourceError(f"{self.venue}: {what}: no answer in {attempts} attempt(s); the last: {cause}")

    def again(self, attempt: int) -> None:
        """Wait before a question that has been answered is asked again."""
        self._clock.sleep(backoff(attempt, self._clock))

    def _wait(self, attempt: int, seconds: float | None) -> None:
        """Back off; if the venue says that requests are too many, all threads do."""
        if seconds is None:
            seconds = backoff(attempt, self._clock)
        else:
            seconds += backoff(0, self._clock)
        if self._status == 429:
            self._limiter.pause(seconds)
        else:
            self._clock.sleep(seconds)

    def _passing(self, error: Exception) -> bool:
        """Whether the error may pass: the same question can have another answer later."""
        if self._status is not None and 400 <= self._status < 500:
            return self._status in (408, 418, 425, 429)
        if isinstance(error, self._ccxt.BaseError):
            return isinstance(error, self._ccxt.NetworkError)
        return True

    def _cause(self, error: Exception) -> str:
        """What failed, on one line, without secrets."""
        text = self._masked(" ".join(str(error).split()))
        status = f"HTTP {self._status}, " if self._status is not None and self._status >= 400 else ""
        name = "" if isinstance(error, PageFault) else f"{type(error).__name__}: "
        return status + name + (text if len(text) <= LONGEST_CAUSE else text[:LONGEST_CAUSE] + " ...")

    def load_markets(self, again: bool = False) -> None:
        """Ask for the venue's markets if they are not known yet, or if `again`."""

        def call() -> None:
            if not self.client.load_markets(again):
                raise PageFault("the venue lists no markets")

        self.ask("its markets", call)

    def is_past(self, moment: dt.datetime) -> bool:
        """Whether `moment` is past by the venue's clock; the clock is asked only if its last answer is earlier."""
        if self._known_time is None or self._known_time <= moment:
            self._known_time = self._server_time()
        return self._known_time > moment

    @property
    def known_time(self) -> dt.datetime | None:
        """The venue's clock when it was last asked (UTC)."""
        return self._known_time

    def _server_time(self) -> dt.datetime:
        """The earlier one of the venue's clock and its answer's Date: a bar is closed if it is closed by both."""

        def call() -> dt.datetime:
            if self.client.has.get("fetchTime") is True:
                epoch_ms = milliseconds(self.client.fetch_time())
                asked = dt.datetime.fromtimestamp(epoch_ms / 1000, dt.UTC)
                date = self._date()
                return asked if date is None else min(asked, date)
            # The venue has no clock to ask: any answer of it has a Date.
            self.client.load_markets(True)
            date = self._date()
            if date is None:
                raise SourceError(
                    f"{self.venue}: the venue has no server time and its answers have no Date: nothing says which bars "
                    "are closed; allowed: a venue that says what time it is"
                )
            return date

        return self.ask("its clock", call)

    def _date(self) -> dt.datetime | None:
        """The Date of the last answer, to the end of its second."""
        try:
            date = parsedate_to_datetime(self._headers["Date"])
        except (KeyError, ValueError):
            return None
        date = date if date.tzinfo else date.replace(tzinfo=dt.UTC)
        return date.astimezone(dt.UTC) + dt.timedelta(milliseconds=999)


def rebased(urls: Any, base: str) -> Any:
    """URLs of ccxt with another scheme, host and leading path; websockets stay.

    Args:
        urls: a URL, or dicts of URLs as deep as ccxt nests them.
        base: URL with the scheme, host and leading path.
    """
    if isinstance(urls, dict):
        return {name: rebased(url, base) for name, url in urls.items()}
    if not isinstance(urls, str) or not urls.startswith(("http:", "https:")):
        return urls
    old, new = urlsplit(urls), urlsplit(base)
    return urlunsplit((new.scheme, new.netloc, new.path.rstrip("/") + old.path, old.query, ""))
