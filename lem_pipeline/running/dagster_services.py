"""The processes behind `lem ui`: `python -m` this, with the command line that `become_webserver` writes.

Without `--webserver` it is Dagster's webserver and daemon; with it, the webserver alone, behind the guard.
"""

from __future__ import annotations

import socket
import sys
from typing import Any

from resources.collecting import collect_rarely
from resources.settings import ROOT, Settings

MODULE = "lem_pipeline.running.dagster_services"


def serve(app: Any, listener: socket.socket, token: str, log_level: str) -> None:
    """Serve Dagster's application behind the guard until a signal ends it.

    Args:
        app: ASGI application.
        listener: that listens already.
        token: that a browser must show; without one, only loopback names are answered.
        log_level: of uvicorn.
    """
    import uvicorn

    from lem_pipeline.running.ui_guard import UiGuard
    from lem_pipeline.web.connections import Connection

    # No lifespan: the application opens and closes nothing.
    config = uvicorn.Config(
        UiGuard(app, token), http=Connection, log_level=log_level, proxy_headers=False, lifespan="off"
    )
    with listener:
        uvicorn.Server(config).run(sockets=[listener])


def main() -> None:
    """Run what the command line names."""
    from resources.dagster_services import arguments_told, run_services, run_webserver

    collect_rarely()
    if sys.argv[1] == "--webserver":
        listener, rest = socket.socket(fileno=int(sys.argv[2])), sys.argv[3:]
        token = Settings().ui_token.get_secret_value()
        run_webserver(
            lambda: arguments_told(socket.socket(fileno=int(rest[0]))) if rest[0].isdigit() else rest,
            lambda app, log_level: serve(app, listener, token, log_level),
        )
        return
    host, port, descriptor = sys.argv[1:]
    webserver = ["-m", MODULE, "--webserver", descriptor]
    run_services(ROOT / "workspace.yaml", host, int(port), webserver, int(descriptor))


if __name__ == "__main__":
    main()
