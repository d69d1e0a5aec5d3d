"""The shape of the house: which way imports run, and who knows what of Dagster."""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from lem.layers import LAYERS
from tests.conftest import ROOT

MAY_IMPORT = {
    "lem": set(),
    "resources": {"lem"},
    "assets": {"lem", "resources"},
    "lem_pipeline": {"lem", "resources", "assets"},
    "benchmarks": {"lem"},
}
OF_THE_PIPELINE = {"backfill_work.py", "definitions_work.py"}
"""Benchmarks of the pipeline itself: they know everything."""
MODULES = sorted(path for package in MAY_IMPORT for path in (ROOT / package).rglob("*.py"))
LONGEST = 400


@cache
def nodes(path: Path) -> tuple[ast.AST, ...]:
    """All nodes of a module's tree: many rules look at them."""
    return tuple(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


def within(path: Path) -> str:
    """A file's path as a message names it."""
    return str(path.relative_to(ROOT))


def imported(path: Path) -> dict[str, int]:
    """Top-level names that a module imports anywhere in it, and in which line."""
    found = {}
    for node in nodes(path):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0]: node.lineno for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found[node.module.partition(".")[0]] = node.lineno
    return found


def test_all_packages_are_there():
    assert {path.relative_to(ROOT).parts[0] for path in MODULES} == set(MAY_IMPORT)


def test_imports_run_one_way_only_and_library_and_benchmarks_know_no_dagster():
    found = []
    for path in MODULES:
        package = path.relative_to(ROOT).parts[0]
        wrong = set(MAY_IMPORT) - MAY_IMPORT[package] - {package}
        names = imported(path)
        if path.name in OF_THE_PIPELINE and package == "benchmarks":
            wrong = {"tests"}
        elif package in ("lem", "benchmarks"):
            wrong |= {name for name in names if name.startswith("dagster")}
        found += [f"{within(path)}, line {names[name]}: {name}" for name in sorted(wrong & set(names))]
    assert not found, "\n".join(found)


@pytest.mark.thorough
def test_the_whole_library_works_without_dagster():
    script = (
        "import importlib, pkgutil, sys\n"
        "sys.modules['dagster'] = None\n"
        "import lem\n"
        "names = [m.name for m in pkgutil.walk_packages(lem.__path__, 'lem.', onerror=lambda name: exit(name))]\n"
        # Alembic itself runs what lies in migrations, inside of a migration.
        "names = [name for name in names if '.migrations' not in name]\n"
        "[importlib.import_module(name) for name in names]\n"
        "print(len(names))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    ours = [p for p in MODULES if p.relative_to(ROOT).parts[0] == "lem" and "migrations" not in p.parts]
    assert int(done.stdout) >= len(ours) - 1  # lem itself is not among its own modules


def test_the_peers_driver_knows_nothing_of_this_repository_and_nobody_else_knows_the_peer():
    driver = ROOT / "benchmarks" / "peer_lems.py"
    ours, theirs = set(MAY_IMPORT) | {"tests"}, {"lems", "keras", "tkan", "jax"}
    assert not ours & set(imported(driver))
    assert not [path for path in MODULES if path != driver and theirs & set(imported(path))]


def parts_of(path: Path, package: str = "lem") -> dict[str, int]:
    """Packages and loose modules of a package that a module imports anywhere in it, and in which line."""
    found = {}
    for node in nodes(path):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        found |= {name.split(".")[1]: node.lineno for name in names if name.startswith(f"{package}.")}
    return found


LIBRARY = [path for path in MODULES if path.relative_to(ROOT).parts[0] == "lem" and path.parent.name != "versions"]
FLOORS = {name: floor for floor, name in enumerate(LAYERS)}


def test_the_library_imports_downwards_only_along_its_list_of_layers():
    found = []
    for path in LIBRARY:
        part = path.relative_to(ROOT / "lem").with_suffix("").parts[0]
        if part != "__init__":  # the doors of the house, opened on use
            above = {name: line for name, line in parts_of(path).items() if FLOORS[name] > FLOORS[part]}
            found += [f"{within(path)}, line {line}: {name}" for name, line in above.items()]
    assert not found, "imports from above; the order is in lem/layers.py\n" + "\n".join(found)


def test_the_list_of_layers_names_all_that_is_there_and_nothing_else():
    there = {path.stem for path in (ROOT / "lem").iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert there - {"__init__"} == set(LAYERS)


def test_few_modules_are_loose():
    assert len([name for name in LAYERS if (ROOT / "lem" / f"{name}.py").exists()]) <= 12


ROOMS = (
    "web",
    "planning",
    "run_queue",
    "running",
    "automation",
    "build",
    "definitions",
    "worker",
    "train_rank",
    "repair",
    "pruning",
    "service",
    "checking",
    "component",
    "cli",
)
"""Rooms of the pipeline, and the modules beside them whose addresses deployments know: from the ground up."""
PIPELINE = [path for path in MODULES if path.relative_to(ROOT).parts[0] == "lem_pipeline"]


def test_the_pipeline_has_its_rooms_and_no_modules_beside_them_but_what_deployments_name():
    left_out = {"__init__.py", "__pycache__", "defs", "py.typed"}
    there = {path.stem for path in (ROOT / "lem_pipeline").iterdir() if path.name not in left_out}
    assert there == set(ROOMS)


def test_the_pipeline_imports_downwards_only_along_its_list_of_rooms():
    found = []
    for path in PIPELINE:
        room = path.relative_to(ROOT / "lem_pipeline").with_suffix("").parts[0]
        if room == "defs":  # what dg adds to a checkout is its owner's
            continue
        below = ("component",) if room == "__init__" else ROOMS[: ROOMS.index(room) + 1]  # __init__: opened on use
        above = {name: line for name, line in parts_of(path, "lem_pipeline").items() if name not in below}
        found += [f"{within(path)}, line {line}: {name}" for name, line in above.items()]
    assert not found, "imports from above; the order is in ROOMS\n" + "\n".join(found)


INTERNALS = tuple(
    Path("resources") / f"{name}.py" for name in ("dagster_internals", "dagster_services", "sqlite_events")
)


def private_of_dagster(path: Path) -> dict[str, int]:
    """What a module imports, or reaches through the name `dg`, that Dagster does not call public, and in which line.

    Public are the names of the packages themselves, as in `from dagster_celery import celery_executor`.
    """
    found = {}
    for node in nodes(path):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [f"{alias.name}." for alias in node.names if "." in alias.name]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name for name in names if name.count(".") > 1 or "._" in name]
        elif (
            isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in ("dg", "dagster")
        ):
            names = [f"dagster.{node.attr}"] if node.attr.startswith("_") and node.attr != "__version__" else []
        found |= {name: node.lineno for name in names if name.startswith("dagster")}
    return found


def test_what_dagster_does_not_call_public_is_used_in_three_files():
    used = {path.relative_to(ROOT): private_of_dagster(path) for path in MODULES}
    assert all(used.pop(path) for path in INTERNALS), "they are there for it"
    found = [f"{path}, line {line}: {name}" for path, names in used.items() for name, line in names.items()]
    assert not found, f"give it a function and a contract in {INTERNALS[0]}\n" + "\n".join(found)


def test_no_module_lies_in_the_root_of_the_repository():
    assert not list(ROOT.glob("*.py"))


def test_a_file_is_short_enough_to_read():
    lines = {within(path): len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES}
    assert not {path: count for path, count in lines.items() if count > LONGEST}
