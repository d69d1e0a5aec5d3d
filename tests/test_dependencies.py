"""What pyproject.toml requires is what the code imports, and nothing hangs on the requirements of others."""

from __future__ import annotations

import re
import sys
import tomllib
from importlib import metadata

from packaging.requirements import Requirement

from tests.conftest import ROOT
from tests.test_house import MAY_IMPORT, MODULES, imported, within

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
NOT_IMPORTED = {
    "dagster-dg-cli": "the command `dg`: docs/dagster.md",
    "s3fs": "fsspec opens s3:// with it",
    "dagster-postgres": "named in dagster.yaml",
    "psycopg2-binary": "SQLAlchemy's driver",
    "onnx": "torch writes graphs with it",
    "onnxscript": "likewise",
    "mkdocs": "the command of `make docs`",
    "mkdocs-material": "named in mkdocs.yml",
}
PINNED = {
    Requirement(line).name.lower().replace("_", "-"): Requirement(line)
    for line in (ROOT / "constraints.txt").read_text().splitlines()
    if line and not line.startswith("#")
}


def required(lines: list[str]) -> dict[str, Requirement]:
    return {req.name: req for req in map(Requirement, lines) if req.name != PROJECT["name"]}


FOUND = metadata.packages_distributions()
RUNTIME = required(PROJECT["dependencies"])
OPTIONAL = required([line for name in EXTRAS if name != "dev" for line in EXTRAS[name]])
SHIPPED = [path for path in MODULES if path.relative_to(ROOT).parts[0] != "benchmarks"]


def distributions(path) -> set[str]:
    """Distributions whose modules a file imports."""
    names = set(imported(path)) - sys.stdlib_module_names - set(MAY_IMPORT)
    return {FOUND.get(name, [name])[0].lower().replace("_", "-") for name in names}


def test_every_import_is_of_a_package_that_is_required():
    unknown = {within(path): distributions(path) - set(RUNTIME) - set(OPTIONAL) for path in SHIPPED}
    assert not {path: names for path, names in unknown.items() if names}


def test_every_required_package_is_imported_or_has_a_reason():
    used = set().union(*map(distributions, SHIPPED))
    assert (set(RUNTIME) | set(OPTIONAL)) - used == set(NOT_IMPORTED)


def test_the_next_larger_release_of_ccxt_and_of_dagster_is_not_allowed():
    assert not RUNTIME["ccxt"].specifier.contains("4.6.0")
    assert not RUNTIME["dagster"].specifier.contains("1.14.0")


def test_what_is_required_allows_the_version_that_is_tested():
    wrong = []
    for name, requirement in {**required(EXTRAS["dev"]), **OPTIONAL, **RUNTIME}.items():
        (pinned,) = PINNED[name.lower().replace("_", "-")].specifier
        if not requirement.specifier.contains(pinned.version):
            wrong.append(f"{requirement}: {pinned.version} is tested")
    assert not wrong


def test_the_versions_of_python_that_are_named_begin_with_the_one_that_is_required():
    named = [line for line in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", line)]
    assert named[0].endswith(PROJECT["requires-python"].removeprefix(">="))
    assert named == sorted(named)


def test_the_lock_has_the_versions_that_are_tested_from_an_index_that_users_have():
    locked = tomllib.loads((ROOT / "uv.lock").read_text(encoding="utf-8"))["package"]
    locked = [package for package in locked if package["name"] != PROJECT["name"]]
    assert {package["source"]["registry"] for package in locked} == {"https://pypi.org/simple"}
    wrong = {package["name"]: package["version"] for package in locked if package["name"] in PINNED}
    wrong = {name: version for name, version in wrong.items() if not PINNED[name].specifier.contains(version)}
    assert not wrong
