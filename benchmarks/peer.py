"""The environment of the peer: the authors' package `lems`, in a virtual environment of its own.

`python -m benchmarks.peer` makes it in `.bench/peer`, with every version fixed. The package runs only there, by
`benchmarks/peer_lems.py`. Its licence (CC BY-NC-SA) differs from ours, and none of its code is in this repository.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import Any

from benchmarks.common import ROOT, BenchmarkError, command_line, console

DRIVER = Path(__file__).with_name("peer_lems.py")
FOLDER = ROOT / ".bench" / "peer"
LIBRARIES = (
    "torch==2.13.0",
    "keras==3.15.1",
    "tkan==0.4.3",
    "keras_efficient_kan==0.1.10",
    "jax==0.10.2",
    "jaxlib==0.10.2",
    "numpy==2.4.6",
    "pandas==3.1.1",
)
PEER = "lems==0.1.1"
"""Installed without its dependencies: it is measured with the backends above."""
_READY = "ready.txt"
_SHOWN_LINES = 12


def python_of(folder: Path) -> Path:
    """The interpreter of a virtual environment."""
    return folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def ensure_peer(folder: Path = FOLDER) -> Path:
    """The interpreter of the peer's environment; the environment is made if it is missing or has other versions.

    Raises:
        BenchmarkError: the environment cannot be made, or pip cannot install one of the packages. The next call begins
            anew.
    """
    wanted = "\n".join([*LIBRARIES, PEER]) + "\n"
    ready, python = folder / _READY, python_of(folder)
    if python.is_file() and ready.is_file() and ready.read_text(encoding="utf-8") == wanted:
        return python
    console.print(f"making the peer's environment: {PEER} with {', '.join(LIBRARIES)} (some minutes)")
    try:
        shutil.rmtree(folder, ignore_errors=True)
        venv.create(folder, with_pip=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise BenchmarkError(
            f"peer: the virtual environment cannot be made: {error}; allowed: a Python {sys.version_info[0]}."
            f"{sys.version_info[1]} with venv and pip, and a repository that this user may write"
        ) from error
    _install(python, [*LIBRARIES])
    _install(python, ["--no-deps", PEER])
    ready.write_text(wanted, encoding="utf-8")
    return python


def _install(python: Path, what: list[str]) -> None:
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *what]
    done = subprocess.run(pip, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchmarkError(
            f"peer: pip install {' '.join(what)} ended with code {done.returncode}; allowed: a package index that has "
            f"these versions for Python {sys.version_info[0]}.{sys.version_info[1]}, or speed without a peer "
            f"(--no-peer). pip said:\n{_last(done.stderr)}"
        )


class Peer:
    """The peer at work on one backend: a process of its own that waits between its turns. Use it in a `with`.

    Args:
        backend: `torch` or `jax`.
        size: arguments of the driver, as `{"hidden": 200}`.
        threads: of the torch backend; JAX takes the cores that this process is bound to.

    Raises:
        BenchmarkError: the environment cannot be made, or the driver ended; the message has its last lines.
    """

    def __init__(self, backend: str, size: dict[str, int], threads: int) -> None:
        python = ensure_peer()
        sizes = [text for key, value in size.items() for text in (f"--{key}", str(value))]
        command = [str(python), str(DRIVER), "--serve", "--backend", backend, "--threads", str(threads), *sizes]
        # On the CPU, without the settings of the user's own Keras.
        own = {"CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu", "KERAS_HOME": str(FOLDER / "keras")}
        self.name = f"{PEER} ({backend})"
        self._errors = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115 closed in __exit__
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env=os.environ | own | {"OMP_NUM_THREADS": str(threads)},
        )
        try:
            self.parameters = int(self._answer()["parameters"])
        except BaseException:
            self.__exit__()
            raise

    def rate(self, job: str) -> float:
        """Orders per second of one turn of `train` or `predict`.

        Raises:
            BenchmarkError: the driver ended.
        """
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # the missing answer says why
            print(job, file=self._process.stdin, flush=True)
        return float(self._answer()["orders_per_s"])

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            code = self._process.wait()
            self._errors.seek(0)
            raise BenchmarkError(
                f"{self.name}: its driver ended with code {code}. It said:\n{_last(self._errors.read())}"
            )
        return json.loads(line)

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()
        self._errors.close()


def _last(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.strip().splitlines()[-_SHOWN_LINES:])


def main() -> None:
    """Make the peer's environment."""
    ensure_peer()
    console.print(f"the peer's environment is ready: {PEER}")


if __name__ == "__main__":
    command_line(main)
