"""A universe in another project's code location: a folder of its own with a defs.yaml, and nothing else of ours."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import dagster as dg
import pytest
import yaml
from pydantic import ValidationError

from lem.errors import UniverseError
from lem.lake import Lake
from lem.lineage.stages import STAGES
from lem_pipeline import UniverseComponent
from tests.conftest import ROOT

PYPROJECT = """
[project]
name = "desk"
version = "0"
[tool.dg]
directory_type = "project"
[tool.dg.project]
root_module = "desk"
"""
DEFINITIONS = """
from pathlib import Path

import dagster as dg


@dg.asset
def lake() -> None: ...


@dg.definitions
def defs():
    mine = dg.Definitions(assets=[lake], resources={"lake": "another thing under this name"})
    return dg.Definitions.merge(mine, dg.load_from_defs_folder(path_within_project=Path(__file__).parent))
"""
KEY = "AAA-USD|2024-01-05"


class Project:
    """Another project."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.defs = folder, folder / "desk" / "defs"
        self.defs.mkdir(parents=True)
        (folder / "pyproject.toml").write_text(PYPROJECT)
        (folder / "desk" / "__init__.py").touch()
        (self.defs / "__init__.py").touch()
        (folder / "desk" / "definitions.py").write_text(DEFINITIONS)
        # What an installed package tells dg, whether or not this environment was installed since.
        points = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]
        info = folder / "installed" / "lem_pipeline-0.1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: lem-pipeline\nVersion: 0.1.0\n")
        text = "".join(
            f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in named.items())
            for group, named in points.items()
        )
        (info / "entry_points.txt").write_text(text)

    def mount(self, name: str, **attributes: str) -> Path:
        """A component of this name."""
        folder = self.defs / name
        folder.mkdir()
        (folder / "defs.yaml").write_text(
            yaml.safe_dump({"type": "lem_pipeline.UniverseComponent", "attributes": attributes})
        )
        return folder

    def dg(self, *command: str) -> str:
        """What a command of `dg` in the project prints."""
        (self.folder / "dagster").mkdir(exist_ok=True)
        env = os.environ | {
            "PYTHONPATH": os.pathsep.join([str(self.folder / "installed"), str(self.folder), str(ROOT)]),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "DAGSTER_HOME": str(self.folder / "dagster"),
            "LEM_HOME": str(self.folder / "not here"),
            "COLUMNS": "200",
        }
        done = subprocess.run(
            [Path(sys.executable).parent / "dg", *command],
            capture_output=True,
            text=True,
            check=False,
            cwd=self.folder,
            env=env,
            timeout=180,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path / "project")


@pytest.fixture
def mounted(tmp_path, tiny_keys, write_universe, monkeypatch):
    """`mounted(home="there")`: definitions of the tiny universe as if the defs.yaml lay in `tmp_path`."""
    monkeypatch.chdir(tmp_path)
    write_universe(tmp_path, tiny_keys())

    def build(universe: str = "tiny.toml", **attributes: str) -> dg.Definitions:
        return dg.build_defs_for_component(UniverseComponent(universe=universe, **attributes))

    return build


def test_another_project_mounts_two_universes_in_two_homes_and_makes_a_partition_of_each(
    project, tiny_keys, write_universe, monkeypatch
):
    homes = {"tiny": "there", "other": "elsewhere"}
    for name, home in homes.items():
        write_universe(project.mount(name, universe=f"{name}.toml", home=home), tiny_keys(name=name))
    monkeypatch.syspath_prepend(project.folder)
    try:
        defs = import_module("desk.definitions").defs()
    finally:
        for module in [name for name in sys.modules if name.partition(".")[0] == "desk"]:
            del sys.modules[module]
    dg.Definitions.validate_loadable(defs)
    repository = defs.get_repository_def()
    with dg.DagsterInstance.ephemeral() as instance:
        for name in homes:
            job = repository.get_implicit_job_def_for_assets([dg.AssetKey([name, "raw_bars"])])
            assert job.execute_in_process(
                instance=instance, partition_key=KEY, asset_selection=[dg.AssetKey([name, "raw_bars"])]
            ).success
    for name, home in homes.items():
        lake = Lake(str(project.defs / name / home / "lake"))
        assert [there for there in homes if lake.names(f"{there}/raw_bars")] == [name]


@pytest.mark.slow  # each command of dg is a process that loads everything
def test_dg_lists_the_component_in_another_project_and_launches_one_partition(project, tiny_keys, write_universe):
    write_universe(project.mount("tiny", universe="tiny.toml", home="there"), tiny_keys())
    assert "lem_pipeline.UniverseComponent" in project.dg("list", "components")
    assert "UniverseComponent" in project.dg("list", "component-tree")
    assert "All definitions loaded successfully" in project.dg("check", "defs")
    project.dg("launch", "--assets", "tiny/raw_bars", "--partition", KEY)
    assert len(Lake(str(project.defs / "tiny" / "there" / "lake")).names("tiny/raw_bars")) == 1
    assert not (project.folder / "not here").exists()


@pytest.mark.slow
def test_what_dg_scaffolds_is_a_universe_that_loads(project):
    project.dg("scaffold", "defs", "lem_pipeline.UniverseComponent", "mine")
    assert "All definitions loaded successfully" in project.dg("check", "defs")
    listed = project.dg("list", "defs", "--json")
    assert all(f"sample/{stage.name}" in listed for stage in STAGES)


def test_every_attribute_is_obeyed(mounted, tmp_path):
    resources = mounted(home="there", lake="bars", registry="sqlite:////srv/r.sqlite", data="given").resources
    assert resources["tiny_lake"].root == str(tmp_path / "bars")
    assert resources["tiny_lake"].folder() == tmp_path / "there"
    assert resources["tiny_registry"].location() == "sqlite:////srv/r.sqlite"
    assert resources["tiny_source"].data == str(tmp_path / "given")
    assert mounted(lake="s3://desk/lake").resources["tiny_lake"].root == "s3://desk/lake"


def test_a_home_holds_lake_registry_and_locks_whatever_the_settings_say(mounted, tmp_path, monkeypatch):
    monkeypatch.setenv("LEM_LAKE", "s3://elsewhere")
    monkeypatch.setenv("LEM_REGISTRY", "sqlite:////elsewhere.sqlite")
    resources = mounted(home="there").resources
    assert resources["tiny_lake"].open().root == str(tmp_path / "there" / "lake")
    assert resources["tiny_lake"].folder() == tmp_path / "there"
    assert resources["tiny_registry"].location() == f"sqlite:///{tmp_path / 'there' / 'registry.sqlite'}"


def test_what_is_left_out_is_as_the_settings_say(mounted, tmp_path, monkeypatch):
    monkeypatch.setenv("LEM_HOME", str(tmp_path / "set"))
    monkeypatch.setenv("LEM_UNIVERSES", str(tmp_path))
    resources = mounted("tiny").resources
    assert resources["tiny_lake"].open().root == str(tmp_path / "set" / "lake")
    assert resources["tiny_lake"].folder() == tmp_path / "set"
    assert resources["tiny_registry"].location() == f"sqlite:///{tmp_path / 'set' / 'registry.sqlite'}"


def test_everything_that_is_mounted_asks_for_the_universes_own_resources(mounted):
    repository = mounted(home="there").get_repository_def()
    asked = {key for job in repository.get_all_jobs() for key in job.required_resource_keys}
    asked |= set(repository.get_sensor_def("tiny_alerts").required_resource_keys)
    assert asked - {"io_manager"} == {"tiny_lake", "tiny_registry", "tiny_source"}


@pytest.mark.slow
def test_the_mounted_night_is_made_in_the_components_home(mounted, tiny_home, tmp_path):
    shutil.copytree(tiny_home.folder / "home", tmp_path / "there")
    defs = mounted(home="there")
    with dg.DagsterInstance.ephemeral() as instance:
        context = dg.build_sensor_context(instance=instance, definitions=defs, resources=dict(defs.resources))
        told = defs.get_sensor_def("tiny_alerts")(context)
        made = defs.get_job_def("tiny_night").execute_in_process(instance=instance)
    assert told.skip_message == "LEM_ALERT_URLS and LEM_HEARTBEAT_URL are not set"
    assert made.success
    assert made.output_for_node("tiny_make_night") > 0


@pytest.mark.parametrize(
    ("attributes", "said"),
    [
        ({"universe": ""}, "universe\n"),
        ({"home": ""}, "home\n"),
        ({"lakes": "x"}, "lakes\n"),
        ({"registry": "postgresql://me:SECRET@db/lem"}, "LEM_REGISTRY"),
        ({"lake": "s3://me:SECRET@host/lake"}, "LEM_LAKE"),
        ({"data": "https://me:SECRET@host"}, "LEM_DATA"),
    ],
)
def test_an_attribute_that_cannot_be_obeyed_is_refused_by_its_name(mounted, attributes, said):
    with pytest.raises(ValidationError) as refused:
        mounted(**attributes)
    assert said in str(refused.value)


@pytest.mark.parametrize("universe", ["nosuch", "nosuch.toml", "folder/tiny"])
def test_a_universe_that_is_not_there_is_told_by_its_name(mounted, universe):
    with pytest.raises(UniverseError, match=universe):
        mounted(universe)


@pytest.mark.thorough
def test_a_wrong_attribute_in_a_defs_yaml_is_shown_with_its_line(project):
    project.mount("one", universe="sample", lakes="x")
    with pytest.raises(AssertionError, match="lakes"):
        project.dg("check", "yaml")
