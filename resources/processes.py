"""Whether a process still runs, told by what no clock can change: machine, boot, process number and start."""

from __future__ import annotations

import os
import socket
from pathlib import Path

_BOOT = Path("/proc/sys/kernel/random/boot_id")


def this_process() -> str:
    """This process: `host boot pid start`; `start` is in the kernel's ticks since the boot, `-` where it keeps none."""
    return " ".join([socket.gethostname(), _boot(), str(os.getpid()), _start(os.getpid()) or "-"])


def is_running(process: str) -> bool | None:
    """Whether a process that `this_process` named still runs; None where this machine cannot tell.

    A number that the kernel has given to another process since is another process. Where the kernel keeps no start,
    that one counts as the same.
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
    """Its number, None where the text names no process."""
    pid = _parts(process)[2]
    return int(pid) if pid.isdigit() else None


def _parts(process: str) -> list[str]:
    parts = process.split(" ")
    return parts if len(parts) == 4 else [""] * 4


def _boot() -> str:
    return _BOOT.read_text().strip() if _BOOT.exists() else "-"


def _start(pid: int) -> str | None:
    """The 22nd field of /proc/PID/stat; None where there is no such process, or one that has ended (a zombie)."""
    try:
        # The second field is the command's name in brackets, and may hold anything.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else fields[19]
