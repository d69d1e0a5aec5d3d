"""How Dagster's webserver and daemon are started, with a server of ours around the webserver's application.

Dagster has no setting for middleware. `dev_command_impl` is what `dg dev` calls; it starts the webserver by
`open_ipc_subprocess`, and the webserver's command hands its application to
`host_dagster_ui_with_workspace_process_context`. Both names are replaced. Where a version of Dagster does not call
them any more, its webserver would listen on the port itself, which fails: the caller listens there already. A public
way to add middleware would replace this file.

The webserver's process is started before all else, and imports while the code server loads the definitions, which
Dagster waits for before it starts a webserver. Then the process is told the arguments of Dagster's command.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

WEBSERVER = ["-m", "dagster_webserver"]
SHUTDOWN_PIPE = "--shutdown-pipe"
"""Option of Dagster's webserver: the descriptor on which it is told to end."""


def run_services(workspace: Path, host: str, port: int, webserver: Sequence[str], listener: int) -> None:
    """Run webserver and daemon until they are interrupted.

    Args:
        workspace: a workspace.yaml.
        host: address of the webserver.
        port: its port.
        webserver: arguments of Python, in place of those that start Dagster's webserver; they are followed by a
            descriptor for `arguments_told`.
        listener: descriptor that the webserver gets.
    """
    to, of = socket.socketpair()
    early = subprocess.Popen([sys.executable, *webserver, str(of.fileno())], pass_fds=[listener, of.fileno()])
    of.close()

    from dagster._cli import dev
    from dagster._cli.workspace.cli_target import WorkspaceOpts

    start = dev.open_ipc_subprocess

    def start_ours(parts: Sequence[str], **options: Any) -> Any:
        if list(parts[1:3]) != WEBSERVER:
            return start(parts, **options)
        (pipe,) = options["pass_fds"]
        with to:
            socket.send_fds(to, [b"."], [pipe])
            to.sendall(json.dumps(list(parts[3:])).encode())
        return early

    dev.open_ipc_subprocess = start_ours
    # As `dg dev` has them.
    dev.dev_command_impl(
        code_server_log_level="warning",
        log_level="info",
        log_format="colored",
        port=str(port),
        host=host,
        use_legacy_code_server_behavior=False,
        shutdown_pipe=None,
        verbose=False,
        workspace_opts=WorkspaceOpts(workspace=[str(workspace)]),
        live_data_poll_rate="2000",
    )


def arguments_told(by: socket.socket) -> list[str]:
    """The arguments of the command `dagster-webserver`, as soon as `run_services` tells them.

    Args:
        by: the descriptor that `run_services` gave to this process.

    Raises:
        SystemExit: it has ended before.
    """
    with by:
        _, descriptors, _, _ = socket.recv_fds(by, 1, 1)
        if not descriptors:
            raise SystemExit(1)
        arguments: list[str] = json.load(by.makefile())
    arguments[arguments.index(SHUTDOWN_PIPE) + 1] = str(descriptors[0])
    return arguments


def run_webserver(arguments: Callable[[], Sequence[str]], serve: Callable[[Any, str], None]) -> None:
    """Make what Dagster's webserver serves, from its command line, and let it be served.

    Args:
        arguments: of the command `dagster-webserver`; asked for after its imports.
        serve: gets the application (ASGI) and the level of uvicorn's log.
    """
    from dagster_webserver import cli
    from dagster_webserver.app import create_app_from_workspace_process_context

    def hand_over(
        workspace_process_context: Any,
        host: str | None,
        port: int | None,
        path_prefix: str,
        log_level: str,
        live_data_poll_rate: int | None = None,
    ) -> None:
        serve(
            create_app_from_workspace_process_context(workspace_process_context, path_prefix, live_data_poll_rate),
            log_level,
        )

    cli.host_dagster_ui_with_workspace_process_context = hand_over
    cli.dagster_webserver.main(
        args=list(arguments()), prog_name="dagster-webserver", auto_envvar_prefix="DAGSTER_WEBSERVER"
    )
