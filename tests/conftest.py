"""Helpers that all tests share."""

from __future__ import annotations

import contextlib
import fcntl
import gc
import io
import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lem.universe import Universe
from tests.once import make_once
from tests.servers import PostgreSQL, postgresql_server

# Before torch and numpy are imported, here and in what tests start. Tests run one a core already: more threads would
# wait for each other, at half as much processor time again. A training says itself how many it takes.
os.environ.setdefault("OMP_NUM_THREADS", "1")

ROOT = Path(__file__).resolve().parents[1]


def pytest_collection_finish() -> None:
    """Python does not look through what was imported for dead objects again and again: it is there to the end."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000)


@pytest.fixture(scope="session", autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """No test touches this checkout's `.lem`: settings and Dagster's history point to a temporary folder."""
    home = tmp_path_factory.mktemp("home")
    (home / "dagster").mkdir(mode=0o700)  # `lem check` warns of a history that others may read
    with pytest.MonkeyPatch.context() as patch:
        for name in ("LEM_LAKE", "LEM_REGISTRY", "LEM_DAGSTER_STORAGE", "LEM_DATA", "LEM_UNIVERSES"):
            patch.delenv(name, raising=False)
        patch.setenv("LEM_HOME", str(home))
        patch.setenv("DAGSTER_HOME", str(home / "dagster"))
        patch.setenv("DAGSTER_DISABLE_TELEMETRY", "yes")
        yield home


@pytest.fixture(scope="session", autouse=True)
def made_once() -> Iterator[None]:
    """What is the same for all commands is made once: see tests/once.py."""
    with pytest.MonkeyPatch.context() as patch:
        make_once(patch)
        yield


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    """A PostgreSQL server, started once a session where a test needs it."""
    with postgresql_server() as server:
        yield server


@pytest.fixture(scope="session")
def shared_data() -> Callable[[str], Path]:
    """`shared_data("crypto_1h")` is a folder of real market data beside the repository, or skips the test."""

    def folder(name: str) -> Path:
        path = ROOT.parent / "shared" / "data" / name
        if not path.is_dir():
            pytest.skip(f"needs real market data in ../shared/data/{name}, which is not part of the repository")
        return path

    return folder


@pytest.fixture(scope="session")
def make_universe() -> Callable[..., Universe]:
    """`make_universe(bar="5min")` is a small valid universe, simulated and hourly, with any key replaced."""

    def make(**overrides: Any) -> Universe:
        keys = {
            "name": "small",
            "start": "2024-01-01",
            "end": "2024-01-31",
            "assets": {"AAA-USD": {}, "BBB-USD": {}},
            "source": {"kind": "simulated", "seed": 7},
        }
        if overrides.get("calendar") == "XNYS":
            keys |= {"bar": "1d", "training": {"window_days": 504}}
        return Universe.model_validate({**keys, **overrides})

    return make


@pytest.fixture(scope="session")
def tiny_keys() -> Callable[..., dict[str, Any]]:
    """`tiny_keys(horizon=4)`: keys of a universe whose report takes seconds, with any top-level key replaced."""

    def make(**overrides: Any) -> dict[str, Any]:
        keys = {
            "name": "tiny",
            "description": "Two simulated pairs",
            "bar": "4h",
            "start": "2024-01-01",
            "end": "2024-01-31",
            "horizon": 3,
            "source": {"kind": "simulated", "seed": 3},
            "assets": {"AAA-USD": {}, "BBB-USD": {}},
            "features": {"volatility": 12, "short_volatility": 3, "volume": 12, "seasons": 2},
            "model": {
                "hidden": 8,
                "embedding": 2,
                "kan_layers": 1,
                "kan_width": 2,
                "heads": 2,
                "lookback": 4,
                "head_hidden": 8,
                "warmup": 6,
            },
            "training": {"window_days": 8, "holdout_days": 2, "steps": 3, "batch": 2, "sequence": 12},
            "backtest": {"min_bars": [1, 3], "report_days": 2, "bootstrap": 100},
        }
        return {**keys, **overrides}

    return make


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_toml(key)} = {_toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


@pytest.fixture(scope="session")
def write_universe() -> Callable[..., Path]:
    """`write_universe(folder, keys)` writes the keys to `<folder>/<name>.toml` (or to `stem`.toml)."""

    def write(folder: Path, keys: dict[str, Any], stem: str | None = None) -> Path:
        path = folder / f"{stem or keys['name']}.toml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{_toml(k)} = {_toml(v)}\n" for k, v in keys.items()), encoding="utf-8")
        return path

    return write


@dataclass(frozen=True)
class Done:
    """What a command gave: exit code, standard output and standard error."""

    code: int
    out: str
    err: str


@pytest.fixture(scope="session")
def lem_command() -> Callable[..., Done]:
    """`lem_command(folder, "run", "-u", "tiny")`: `lem` in this process, with home, universes and data below `folder`.

    Keyword arguments are environment variables. All commands share one Dagster
    history, which takes a second to make. An error that is no message of ours is raised here as it is.
    """
    from lem_pipeline.cli.app import main

    def command(folder: Path, *arguments: str, **env: str) -> Done:
        home = {
            "LEM_HOME": str(folder / "home"),
            "LEM_UNIVERSES": str(folder / "universes"),
            "LEM_DATA": str(folder / "data"),
            "COLUMNS": "250",
        }
        out, err = io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as patch:
            for name, value in (home | env).items():
                patch.setenv(name, value)
            patch.chdir(folder)
            patch.setattr("sys.argv", ["lem", *arguments])
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                try:
                    main()
                    code = 0
                except SystemExit as stop:
                    code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        return Done(code, out.getvalue(), err.getvalue())

    return command


@dataclass(frozen=True)
class Home:
    """A folder with `universes/tiny.toml` and everything that its report of 2024-01-18 needs, made by `lem run`."""

    folder: Path
    universe: Universe
    made: Done


@pytest.fixture(scope="session")
def tiny_home(
    tmp_path_factory: pytest.TempPathFactory,
    make_universe: Callable[..., Universe],
    tiny_keys: Callable[..., dict[str, Any]],
    write_universe: Callable[..., Path],
    lem_command: Callable[..., Done],
) -> Home:
    """The tiny universe, materialised once a session. Copy the folder before changing anything in it."""
    base = tmp_path_factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base  # which all workers share
    folder, done = base / "tiny_home", base / "tiny_home.json"
    with (base / "tiny_home.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # one worker makes it, and the others wait
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)  # of a worker that died over it
            write_universe(folder / "universes", tiny_keys())
            made = lem_command(folder, "run", "-u", "tiny", "-d", "2024-01-18")
            assert made.code == 0, made.out + made.err
            gc.collect()  # closes databases: their files beside them are gone before another worker copies the folder
            done.write_text(json.dumps(asdict(made)))
    return Home(folder, make_universe(**tiny_keys()), Done(**json.loads(done.read_text())))


_DRAWING = (
    "capacity_curve",
    "frontier",
    "index",
    *(f"sections.{name}" for name in ("distribution", "gain", "model", "orders", "time")),
)
"""Modules of `lem.reports` that draw."""


class _NoAxes:
    """Takes whatever is drawn, and shows nothing."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # numpy asks whether it is an array
            raise AttributeError(name)
        return self

    def __call__(self, *_: object, **__: object) -> Any:
        return self

    def __iter__(self) -> Iterator[Any]:
        return iter((self,))

    def get_legend_handles_labels(self) -> tuple[list[Any], list[str]]:
        return [], []

    def get_ylim(self) -> tuple[float, float]:
        return 0.0, 1.0

    get_xlim = get_ylim


class _NoFigure(_NoAxes):
    """Has as many panels as it is asked for."""

    def __init__(self, **_: object) -> None:
        self.axes = [_NoAxes()]

    def subplots(self, rows: int = 1, columns: int = 1, *, squeeze: bool = True, **_: object) -> Any:
        panels = np.empty((rows, columns), dtype=object)
        panels.fill(_NoAxes())
        return panels if not squeeze else panels[0, 0] if panels.size == 1 else panels.squeeze()


@pytest.fixture
def empty_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports have empty pictures, with their titles and descriptions: two thirds of a page's time is drawing.

    For tests that look at words and tables. That each picture is drawn and shows what it says is tested in
    tests/lem/reports (test_report, test_every_figure) and in tests/integration/test_report_in_browser.py.
    """

    from PIL import Image

    class Nothing:
        def __init__(self, figure: object) -> None:
            pass

        def print_svg(self, file: io.StringIO, metadata: object) -> None:
            file.write('<svg viewBox="0 0 1 1"></svg>')

        def print_png(self, file: io.BytesIO, metadata: object) -> None:
            Image.new("RGBA", (480, 340)).save(file, "png")

    monkeypatch.setattr("lem.reports.figures.FigureCanvasSVG", Nothing)
    monkeypatch.setattr("lem.reports.sections.gain.FigureCanvasAgg", Nothing)
    for module in _DRAWING:
        monkeypatch.setattr(f"lem.reports.{module}.Figure", _NoFigure)
