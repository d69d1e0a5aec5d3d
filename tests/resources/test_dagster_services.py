"""The webserver's process is there before Dagster starts one, and becomes it."""

from __future__ import annotations

import os
import socket
import sys

import pytest
from dagster._cli import dev

from resources.dagster_services import SHUTDOWN_PIPE, arguments_told, run_services

TOLD = """
import os, pathlib, socket, sys
from resources.dagster_services import arguments_told
arguments = arguments_told(socket.socket(fileno=int(sys.argv[2])))
pathlib.Path(sys.argv[1]).write_text(" ".join(arguments[:-1]) + " " + os.read(int(arguments[-1]), 9).decode())
"""


def test_the_process_that_was_started_early_gets_dagsters_arguments_and_the_pipe_on_which_it_is_told_to_end(
    monkeypatch, tmp_path
):
    read, write = os.pipe()

    def started(**options):
        command = [sys.executable, "-m", "dagster_webserver", "--port", options["port"], SHUTDOWN_PIPE, str(read)]
        webserver = dev.open_ipc_subprocess(command, pass_fds=[read])
        os.write(write, b"end")
        assert webserver.wait(60) == 0

    monkeypatch.setattr(dev, "dev_command_impl", started)
    monkeypatch.setattr(dev, "open_ipc_subprocess", dev.open_ipc_subprocess)
    with socket.socket() as listener:
        run_services(tmp_path, "127.0.0.1", 3000, ["-c", TOLD, str(tmp_path / "told")], listener.fileno())
    assert (tmp_path / "told").read_text() == f"--port 3000 {SHUTDOWN_PIPE} end"


def test_it_ends_where_the_services_have_ended_before_they_needed_it():
    to, of = socket.socketpair()
    to.close()
    with pytest.raises(SystemExit):
        arguments_told(of)
