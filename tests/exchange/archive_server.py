"""A loopback archive: a venue's daily and monthly zip archives with sidecars, made from bars, with scripted faults.

Files are served as they lie in a folder; with an origin, requests are handed on to it (a server for S3), and the faults
apply to its answers.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import http.client
import io
import socket
import struct
import threading
import time
import zipfile
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from urllib.parse import unquote, urlsplit

import numpy as np
import pandas as pd

from tests.exchange.faults import Answer

HEADER = (
    "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_buy_quote_volume,ignore"
)
DAILY = "spot/daily/klines/{venue_symbol}/{bar}/{venue_symbol}-{bar}-{date}.zip"
MONTHLY = "spot/monthly/klines/{venue_symbol}/{bar}/{venue_symbol}-{bar}-{month}.zip"
_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


def klines_csv(table: pd.DataFrame, *, header: str = "", unit: str = "ms") -> bytes:
    """Bars (`ts` and six numbers) as the twelve columns of the archive. Numbers parse to the same doubles."""
    micros = pd.DatetimeIndex(table["ts"]).as_unit("us").asi8
    opens = micros * (_PER_SECOND[unit] // 10**6) if unit == "ns" else micros // (10**6 // _PER_SECOND[unit])
    columns = (map(repr, table[name].tolist()) for name in ("open", "high", "low", "close", "volume", "quote_volume"))
    rows = zip(opens.tolist(), *columns, strict=True)
    lines = [f"{ts},{o},{h},{low},{c},{v},{ts + 1},{q},7,0.0,0.0,0" for ts, o, h, low, c, v, q in rows]
    return ("\n".join([header] * bool(header) + lines) + "\n").encode()


def zipped(name: str, content: bytes) -> bytes:
    """A zip archive of one member; the same content gives the same bytes."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo(name, (2024, 1, 1, 0, 0, 0)), content, zipfile.ZIP_DEFLATED)
    return out.getvalue()


def put(path: Path, content: bytes, *, checksum: str | None = None) -> Path:
    """Write a file and its sidecar; `checksum` instead of the right one, and no sidecar where that is empty."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    digest = hashlib.sha256(content).hexdigest() if checksum is None else checksum
    if digest:
        path.with_name(path.name + ".CHECKSUM").write_text(f"{digest}  {path.name}\n")
    return path


def put_bars(
    folder: Path, template: str, name: str, table: pd.DataFrame, *, bar: str = "1m", header: str = "", unit: str = "ms"
) -> list[Path]:
    """Write the bars of one market as the archives of a template: one a day, or one a month."""
    stamps = pd.Series(table["ts"].dt.strftime("%Y-%m-%d" if "{date}" in template else "%Y-%m"))
    paths = []
    for period, part in table.groupby(stamps.to_numpy()):
        path = folder / template.format(venue_symbol=name, bar=bar, date=period, month=period)
        content = klines_csv(part, header=header, unit=unit)
        paths.append(put(path, zipped(path.with_suffix(".csv").name, content)))
    return paths


def minute_bars(first: dt.date, days: int, *, bar: str = "1min", seed: int = 0) -> pd.DataFrame:
    """Bars of a random walk that keep every rule of a bar."""
    count = int(pd.Timedelta(days, "D") / pd.Timedelta(bar))
    rng = np.random.default_rng(seed)
    path = 100 * np.exp(np.cumsum(rng.normal(0, 1e-4, count + 1)))
    open_, close, volume = path[:-1], path[1:], rng.exponential(3.0, count) + 0.1
    return pd.DataFrame(
        {
            "ts": pd.date_range(first, periods=count, freq=bar, tz="UTC", unit="us"),
            "open": open_,
            "high": np.maximum(open_, close) * 1.0001,
            "low": np.minimum(open_, close) / 1.0001,
            "close": close,
            "volume": volume,
            "quote_volume": volume * (open_ + close) / 2,
            "adjustment": 1.0,
        }
    )


@dataclass
class ArchiveServer:
    """Serves a folder, or what an origin (`host:port`) has, on loopback; a context manager.

    `asked` has the path of every request, in their order, and `headers` their headers (names in small letters).
    """

    folder: Path
    origin: str = ""
    asked: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    _script: list[tuple[str, Collection[int] | None, Answer]] = field(default_factory=list)

    def fault(self, ending: str, answer: Answer, on: Collection[int] | None = (1,)) -> None:
        """Answer the requests number `on` (from 1; all: None) for a path with this ending with `answer`."""
        self._script.append((ending, on, answer))

    @property
    def url(self) -> str:
        """Base URL."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> ArchiveServer:
        owner, counts, lock = self, Counter[str](), threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                path = unquote(urlsplit(self.path).path)
                with lock:
                    counts[path] += 1
                    number = counts[path]
                    owner.asked.append(path)
                    owner.headers.append({name.lower(): value for name, value in self.headers.items()})
                found = (a for ending, on, a in owner._script if path.endswith(ending) and (not on or number in on))
                answer = next(found, Answer())
                # A client that has gone away is what some of the faults are about.
                with contextlib.suppress(ConnectionError):
                    self._send(answer, *owner._content(self.path, dict(self.headers)))

            def _send(self, answer: Answer, status: int, kind: str, body: bytes) -> None:
                time.sleep(answer.delay)
                status = answer.status if answer.status != 200 else status
                body = body if answer.body is None else answer.body
                self.send_response(status)
                for name, value in (("Content-Type", kind), ("Content-Length", str(len(body))), *answer.headers):
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body[: len(body) - answer.cut])
                self.wfile.flush()
                if answer.reset:
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                if answer.reset or answer.cut:
                    self.close_connection = True

            def log_message(self, *arguments: object) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _content(self, target: str, headers: dict[str, str]) -> tuple[int, str, bytes]:
        if self.origin:
            connection = http.client.HTTPConnection(self.origin, timeout=10)
            connection.request("GET", target, headers=headers | {"Host": self.origin})
            answer = connection.getresponse()
            return answer.status, answer.getheader("Content-Type", ""), answer.read()
        path = self.folder / unquote(urlsplit(target).path).lstrip("/")
        if not path.is_file():
            return 404, "text/html", b"<html>no such key</html>"
        return 200, "application/octet-stream", path.read_bytes()
