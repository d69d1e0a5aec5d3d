"""A receiver of alerts and heartbeats on loopback: what it got, in order."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


class Receiver:
    """An HTTP server that takes what apprise's `json://` posts, and counts what is fetched.

    Args:
        status: that it answers with; changed by the test as it goes.
    """

    def __init__(self, status: int = 200) -> None:
        self.status, self.alerts, self.fetched = status, list[dict[str, Any]](), list[str]()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if outer.status == 200:
                    outer.alerts.append(body)
                self._answer()

            def do_GET(self) -> None:
                if outer.status == 200:
                    outer.fetched.append(self.path)
                self._answer()

            def _answer(self) -> None:
                self.send_response(outer.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def settings(self) -> dict[str, str]:
        """The settings that lead here; they hold a password and a token."""
        host = f"127.0.0.1:{self._server.server_port}"
        return {
            "LEM_ALERT_URLS": f"json://desk:paSSw0rd@{host}/t0kenOfTheDesk",
            "LEM_HEARTBEAT_URL": f"http://{host}/ping/{{universe}}",
            "LEM_ALERT_DISK_PERCENT": "100",
        }

    def told(self) -> list[tuple[str, str]]:
        """Type and title of each alert."""
        return [(alert["type"], alert["title"]) for alert in self.alerts]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
