"""Whether a process still runs, known by machine, boot, process number and start; no clock is involved."""

from __future__ import annotations

import os
import socket
from pathlib import Path

_BOOT = Path("/proc/sys/kernel/random/boot_id")


def this_process() -> str:
    """This process as `host boot pid start`; `start` is in ticks since the boot, `-` if the kernel does not tell it."""
    return " ".join([socket.gethostname(), _boot(), str(os.getpid()), _start(os.getpid()) or "-"])


def is_running(process: str) -> bool | None:
    """Whether a process that `this_process` named still runs; None if this machine cannot tell.

    If the kernel has given the number to another process since, the named one does not run. If the kernel does not tell
    a process's start, the two cannot be told apart and count as the same.
    """
    host, boot, pid, start = _parts(process)
    if host != socket.gethostname() or not pid.isdigit():
        return None
    if boot != _boot():
        return False
    now = _start(int(pid))
    if start != "-":
        return now == start
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def pid_of(process: str) -> int | None:
    """The number of a process that `this_process` named; None if the text names no process."""
    pid = _parts(process)[2]
    return int(pid) if pid.isdigit() else None


def _parts(process: str) -> list[str]:
    parts = process.split(" ")
    return parts if len(parts) == 4 else [""] * 4


def _boot() -> str:
    return _BOOT.read_text().strip() if _BOOT.exists() else "-"


def _start(pid: int) -> str | None:
    """The 22nd field of /proc/PID/stat; None if there is no such process, or it has ended (a zombie)."""
    try:
        # The second field is the command's name in brackets, and may hold anything.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else fields[19]
