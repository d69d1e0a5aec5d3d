"""Image, compose file, chart values and systemd units: what they name is there, and what they run is a command."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import click
import pytest
import typer
import yaml
from packaging.version import Version

from lem_pipeline.cli.app import app
from resources.settings import Settings
from tests.conftest import ROOT

DEPLOY = ROOT / "deploy"
COMPOSE = yaml.safe_load((DEPLOY / "compose" / "compose.yaml").read_text())
SERVICES = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"] == "lem-pipeline"}
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
TOOLS = {"AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"}
"""Variables that s3fs reads, as every AWS tool does."""
DOCKERFILE = [
    line for line in (DEPLOY / "Dockerfile").read_text().replace("\\\n", " ").splitlines() if line and line[0] != "#"
]


def parse(arguments: list[str]) -> None:
    """Do nothing if the program accepts the arguments; otherwise its own error."""
    program, *rest = arguments
    if program == "celery":
        from celery.bin.celery import celery as command
    elif program == "dagster-daemon":
        from dagster._daemon.cli import create_dagster_daemon_cli

        command = create_dagster_daemon_cli()
    elif program == "dagster":
        from dagster._cli import create_dagster_cli

        command = create_dagster_cli()
    else:
        assert program == "lem"
        command = typer.main.get_command(app)
    context = click.Context(command, info_name=program)
    while hasattr(command, "resolve_command"):  # a group; Typer's are not click's own
        if program == "celery":  # -A stands before the command and loads the application
            assert rest[:2] == ["-A", "lem_pipeline.worker"]
            rest = rest[2:]
        name, command, rest = command.resolve_command(context, rest)
        assert command is not None, name
        program = ""
    command.make_parser(context).parse_args(list(rest))
    options = {option for one in command.params for option in (*one.opts, *one.secondary_opts)}
    unknown = [
        word.partition("=")[0] for word in rest if word.startswith("-") and word.partition("=")[0] not in options
    ]
    assert not unknown


def commands() -> dict[str, list[str]]:
    """Every command of ours by where it stands."""
    found = {f"compose {name}": service["command"] for name, service in OURS.items() if name != "bucket"}
    found |= {
        f"compose health of {name}": service["healthcheck"]["test"][1:]
        for name, service in OURS.items()
        if "healthcheck" in service
    }
    for path in UNITS:
        text = re.search(r"^ExecStart=(.+)$", path.read_text(), re.MULTILINE)
        words = shlex.split(text[1])
        found[path.name] = [words[0].rpartition("/")[2], *words[1:]]
    return found


@pytest.mark.parametrize("where", commands())
def test_every_command_is_accepted_by_its_program(where):
    parse(commands()[where])


def test_an_option_that_a_program_does_not_have_is_found():
    for arguments in (["lem", "night", "--univers", "sample"], ["dagster-daemon", "run", "--works", "x"]):
        with pytest.raises(Exception, match=r"[Nn]o such option"):
            parse(arguments)


def test_every_variable_of_our_services_is_read_by_somebody():
    for name, service in OURS.items():
        for variable in service["environment"]:
            ours = variable.removeprefix("LEM_").lower() in Settings.model_fields or variable == "LEM_QUEUE"
            assert ours or variable in TOOLS, f"{name}: {variable}"


def test_every_variable_that_the_compose_file_wants_stands_in_the_example_and_none_beside_them():
    wanted = set(re.findall(r"\$\{(\w+)", (DEPLOY / "compose" / "compose.yaml").read_text()))
    named = set(re.findall(r"^(\w+)=", (DEPLOY / "compose" / "env.example").read_text(), re.MULTILINE))
    assert wanted == named


def test_services_wait_for_services_that_are_there_and_hosts_are_services():
    for name, service in SERVICES.items():
        for other, wait in service.get("depends_on", {}).items():
            assert other in SERVICES, name
            if wait["condition"] == "service_healthy":
                assert "healthcheck" in SERVICES[other], f"{name} waits for {other} to be healthy"
    texts = [(DEPLOY / "compose" / file).read_text() for file in ("compose.yaml", "workspace.yaml")]
    hosts = set(re.findall(r"@(\w+):5432|http://(\w+):9000|host: (\w+)", "\n".join(texts)))
    assert {name for found in hosts for name in found if name} == {"postgres", "s3", "code"}


def test_nothing_but_ui_and_advice_with_their_tokens_is_published_and_only_on_loopback():
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert set(published) == {"ui", "advice"}
    assert all(port.startswith("127.0.0.1:") for ports in published.values() for port in ports)
    assert SERVICES["ui"]["command"][:2] == ["lem", "ui"], "Dagster's own webserver answers whoever reaches it"
    assert "LEM_UI_TOKEN" in SERVICES["ui"]["environment"]
    assert "LEM_TOKEN" in SERVICES["advice"]["environment"]


def test_no_unit_and_no_page_starts_the_webserver_without_its_guard():
    texts = [*(path.read_text() for path in UNITS), (DEPLOY / "README.md").read_text()]
    texts.append((ROOT / "docs" / "scaling.md").read_text())
    assert not [text for text in texts if re.search(r"^(ExecStart=\S*|    )dagster-webserver", text, re.MULTILINE)]


def test_every_path_that_is_copied_or_mounted_is_there():
    for line in DOCKERFILE:
        if line.startswith("COPY"):
            *sources, _ = [word for word in line.split()[1:] if not word.startswith("--")]
            for source in sources:
                assert (ROOT / source).exists(), line
    for service in SERVICES.values():
        for volume in service.get("volumes", ()):
            source = volume.partition(":")[0]
            assert source in COMPOSE["volumes"] or (DEPLOY / "compose" / source).exists(), volume


def test_the_image_has_every_package_that_the_wheel_is_made_from_and_runs_as_nobody_special():
    copied = {word for line in DOCKERFILE if line.startswith("COPY") for word in line.split()[1:-1]}
    include = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]["find"]["include"]
    assert {name for name in include if "." not in name} <= copied
    words = [line.split()[0] for line in DOCKERFILE if re.match(r"[A-Z]+ ", line)]
    assert words[0] == "FROM"
    assert set(words) <= {"FROM", "RUN", "WORKDIR", "COPY", "ENV", "USER", "CMD"}
    assert words.index("USER") > max(place for place, word in enumerate(words) if word == "RUN")


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze")
def test_systemd_finds_nothing_wrong_with_the_units(tmp_path):
    """Programs are looked for where this test puts them."""
    for path in (DEPLOY / "systemd").iterdir():
        programs = str(Path(sys.executable).parent)
        (tmp_path / path.name).write_text(path.read_text().replace("/opt/lem/bin", programs))
    units = sorted(str(path) for path in tmp_path.iterdir())
    done = subprocess.run(
        ["systemd-analyze", "verify", *units], capture_output=True, text=True, check=False, env=os.environ
    )
    assert "tmp" not in done.stderr, done.stderr
    assert not [line for line in done.stderr.splitlines() if line.startswith("lem-")], done.stderr


def test_the_values_of_the_chart_name_modules_secrets_and_the_release_that_is_tested():
    text = (DEPLOY / "helm" / "values.yaml").read_text()
    values = yaml.safe_load(text)
    (deployment,) = values["dagster-user-deployments"]["deployments"]
    assert deployment["dagsterApiGrpcArgs"] == ["--python-module", "lem_pipeline.definitions"]
    assert values["runLauncher"]["type"] == "K8sRunLauncher"
    assert values["telemetry"] == {"enabled": False}
    pinned = re.search(r"^dagster==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)[1]
    assert re.search(r"--version (\S+)", text)[1] == pinned
    assert Version(deployment["image"]["tag"]) == Version(importlib.metadata.version("lem-pipeline"))
