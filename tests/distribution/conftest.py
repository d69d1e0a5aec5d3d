"""The source distribution and the wheel, built once, and the wheel installed elsewhere."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import pytest

from tests.conftest import ROOT

UNBUILT = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info")
AT_THE_TOP = {"build", "dist", "data"}
GUESTS = ("assets", "resources")


@dataclass(frozen=True)
class Built:
    """The files of a build."""

    sdist: Path
    wheel: Path


@dataclass(frozen=True)
class Installed:
    """An environment with the wheel in it, away from the checkout, and a user's folder with packages of its own."""

    python: Path
    folder: Path
    packages: Path

    @property
    def env(self) -> dict[str, str]:
        """Without this checkout's settings, and without its packages on the path."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("LEM_", "DAGSTER_HOME"))}
        return {**kept, "PYTHONPATH": "", "COLUMNS": "200", "OMP_NUM_THREADS": "1"}

    def run(self, *command: str, **env: str) -> subprocess.CompletedProcess[str]:
        """A command of the environment, in the user's folder."""
        return subprocess.run(
            [self.python.with_name(command[0]), *command[1:]],
            cwd=self.folder,
            env=self.env | env,
            capture_output=True,
            text=True,
            check=False,
            timeout=500,
        )


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Built as it is released: the wheel from the source distribution. No index is asked."""
    place = tmp_path_factory.mktemp("built")
    shutil.copytree(
        ROOT,
        place / "source",
        ignore=lambda folder, names: UNBUILT(folder, names) | (AT_THE_TOP if folder == str(ROOT) else set()),
    )
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(place / "dist"), str(place / "source")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    (sdist,), (wheel,) = (place / "dist").glob("*.tar.gz"), (place / "dist").glob("*.whl")
    return Built(sdist, wheel)


@pytest.fixture(scope="session")
def installed(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The dependencies are those of this environment; its editable install of the checkout is not seen there."""
    place = tmp_path_factory.mktemp("installed")
    venv.create(place / "env", symlinks=True)
    python = place / "env" / "bin" / "python"
    command = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-deps", "--no-index"]
    subprocess.run([*command, str(built.wheel)], check=True, capture_output=True)
    (packages,) = (place / "env").glob("lib/*/site-packages")
    shared = [path for path in map(Path, sys.path) if path.name == "site-packages"]
    (packages / "dependencies.pth").write_text("".join(f"{path}\n" for path in shared))
    for script in metadata.entry_points(group="console_scripts"):
        if script.value.startswith("dagster"):
            (python.parent / script.name).write_text(
                f"#!{python}\nimport sys\nfrom {script.module} import {script.attr}\nsys.exit({script.attr}())\n"
            )
            (python.parent / script.name).chmod(0o755)
    folder = place / "user"
    for name in GUESTS:
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text(
            f"OWNER = 'the user'\nopen('{folder}/imported', 'a').write('{name} ')\n"
        )
    return Installed(python, folder, packages)
