"""A wall clock that a test moves, for a whole session of processes: days pass in minutes, and who waits, waits as ever.

It moves in steps. Dagster's loops sleep for what is left of some seconds when they are done: on a clock that runs
evenly and fast nothing would ever be left, and they would take a core each.
"""

from __future__ import annotations

import datetime as dt
import mmap
import shutil
import struct
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

SOURCE = Path(__file__).with_name("fast_clock.c")
COMPILER = shutil.which("cc")
STEP_S = 1.0
"""Real seconds between two steps."""


class FastClock:
    """Stands still until it is moved.

    Args:
        folder: where the library that is loaded before all others is built, and the file with the time lies.
        now: what it shows first (UTC).
    """

    def __init__(self, folder: Path, now: dt.datetime) -> None:
        self._library, file = folder / "fast_clock.so", folder / "fast_clock.time"
        if not self._library.exists():
            subprocess.run([COMPILER, "-O2", "-shared", "-fPIC", "-o", self._library, SOURCE, "-ldl"], check=True)
        file.write_bytes(bytes(8))
        with file.open("r+b") as opened:
            self._shown = mmap.mmap(opened.fileno(), 8)
        self.env = {"LD_PRELOAD": str(self._library), "LEM_CLOCK": str(file)}
        """What a process needs in its environment to go by this clock, as all its children then do."""
        self.set(now)

    @property
    def now(self) -> dt.datetime:
        """What it shows."""
        (nanoseconds,) = struct.unpack("=q", self._shown[:])
        return dt.datetime.fromtimestamp(nanoseconds / 1e9, dt.UTC)

    def set(self, now: dt.datetime) -> None:
        """Show this."""
        self._shown[:] = struct.pack("=q", round(now.timestamp()) * 10**9)

    def run(self, factor: int, until: Callable[[], object], end: dt.datetime) -> None:
        """Run `factor` seconds a second, step by step, until something is true.

        Raises:
            TimeoutError: it was not before the clock showed `end`.
        """
        while not until():
            if self.now >= end:
                raise TimeoutError(f"not by {end}")
            before = time.monotonic()
            time.sleep(STEP_S)
            self.set(self.now + dt.timedelta(seconds=round(factor * (time.monotonic() - before))))
