"""The wheel away from the checkout: everything works there, beside a user's own `assets` and `resources`."""

from __future__ import annotations

import tarfile
import zipfile

import pytest

from distribution.build_py import relocated
from tests.conftest import ROOT
from tests.distribution.conftest import GUESTS
from tests.lem_ui import lem_ui, until

LAUNCH = """mutation ($params: ExecutionParams!) {
  launchPipelineExecution(executionParams: $params) {
    __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message }
  }
}"""
STATUS = "query ($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }"


def packed() -> list[str]:
    """Paths that the wheel must have, of the files in the checkout that are no build's or interpreter's."""
    found = [f"lem_pipeline/universes/{path.name}" for path in (ROOT / "universes").glob("*.toml")]
    for package in ("lem", "lem_pipeline", *GUESTS):
        files = [path.relative_to(ROOT) for path in (ROOT / package).rglob("*") if path.is_file()]
        host = "lem_pipeline/" if package in GUESTS else ""
        found += [f"{host}{path}" for path in files if "__pycache__" not in path.parts]
    return sorted([*found, "lem_pipeline/workspace.yaml"])


def test_the_wheel_has_every_file_of_the_packages_the_universes_and_the_workspace_and_nothing_else(built):
    names = [name for name in zipfile.ZipFile(built.wheel).namelist() if ".dist-info/" not in name]
    assert sorted(names) == packed()
    assert {"lem/py.typed", "lem_pipeline/py.typed", "lem/theory/programme_table.npz"} <= set(names)


def test_the_wheel_puts_no_common_name_at_the_top(built):
    top = {name.partition("/")[0] for name in zipfile.ZipFile(built.wheel).namelist()}
    assert {name for name in top if not name.endswith(".dist-info")} == {"lem", "lem_pipeline"}


def test_the_source_distribution_has_what_builds_tests_and_documents_the_project(built):
    with tarfile.open(built.sdist) as file:
        names = {name.partition("/")[2] for name in file.getnames()}
    needed = {"workspace.yaml", "constraints.txt", "Makefile", "universes/sample.toml", "distribution/build_py.py"}
    assert needed | {"tests/conftest.py", "docs/commands.md", "deploy/server.yaml", "LICENSE", "README.md"} <= names
    assert not [name for name in names if "__pycache__" in name]


def test_imports_of_the_guests_are_moved_line_by_line():
    text = "import os\nfrom assets.graph import (\n    x,\n)\n\n\ndef f():\n    from resources import y  # resources\n"
    wanted = text.replace("from assets", "from lem_pipeline.assets").replace(
        "from resources", "from lem_pipeline.resources"
    )
    assert relocated(text, ROOT) == wanted


@pytest.mark.parametrize(
    "text", ["import assets.graph", "import_module('assets.stages')", "import_module(f'assets.{x}')"]
)
def test_what_cannot_be_moved_stops_the_build(text):
    with pytest.raises(ValueError, match="line 1: "):
        relocated(text, ROOT)


@pytest.mark.slow
def test_commands_work_in_a_users_folder_that_has_packages_of_the_same_names(installed, tiny_keys, write_universe):
    write_universe(installed.folder / "universes", tiny_keys())
    assert installed.run("lem", "--version").stdout == "lem 0.1.0\n"
    for command in (
        ("doctor",),
        ("check", "-u", "sample"),
        ("run", "-u", "tiny", "-d", "2024-01-18"),
        ("status", "-u", "tiny"),
        ("report", "-u", "tiny"),
        ("models", "list"),
    ):
        done = installed.run("lem", *command)
        assert done.returncode == 0, done.stdout + done.stderr
    # As a module, the working folder comes first on Python's path.
    done = installed.run("python", "-m", "lem_pipeline.cli", "status", "-u", "tiny")
    assert done.returncode == 0, done.stderr
    assert not (installed.folder / "imported").exists()


@pytest.mark.thorough
def test_the_users_packages_are_the_ones_that_are_imported_beside_ours(installed):
    script = "import lem_pipeline.definitions, assets, resources; print(assets.OWNER, resources.OWNER)"
    done = installed.run("python", "-c", script)
    (installed.folder / "imported").unlink(missing_ok=True)
    assert done.stdout == "the user the user\n", done.stderr


@pytest.mark.slow
def test_the_ui_shows_the_universes_of_folder_and_package_and_runs_what_is_launched(
    installed, tiny_keys, write_universe
):
    write_universe(installed.folder / "universes", tiny_keys())
    with lem_ui(installed.folder, {**installed.env, "LEM_HOME": "ui_home"}, installed.python) as ui:
        until("the code location loads", ui.loaded)
        groups = ui.ask("{ assetNodes { groupName } }")["assetNodes"]
        assert {node["groupName"] for node in groups} == {"tiny", "sample", "binance", "crypto", "dow"}
        selector = {
            "repositoryLocationName": "lem",
            "repositoryName": "__repository__",
            "pipelineName": "__ASSET_JOB",
            "assetSelection": [{"path": ["tiny", "raw_bars"]}],
            "assetCheckSelection": [],
        }
        tags = [{"key": "dagster/partition", "value": "AAA-USD|2024-01-10"}]
        params = {"selector": selector, "mode": "default", "executionMetadata": {"tags": tags}, "runConfigData": "{}"}
        launched = ui.ask(LAUNCH, {"params": params})["launchPipelineExecution"]
        assert launched["__typename"] == "LaunchRunSuccess", launched
        run = {"id": launched["run"]["runId"]}
        ended = ("SUCCESS", "FAILURE", "CANCELED")
        until("the run ends", lambda: ui.ask(STATUS, run)["runOrError"]["status"] in ended)
        assert ui.ask(STATUS, run)["runOrError"]["status"] == "SUCCESS", ui.log.read_text()
    assert (installed.folder / "ui_home/lake/tiny/raw_bars/asset=AAA-USD/date=2024-01-10.parquet").is_file()
    assert not (installed.folder / "imported").exists()
