"""The commands of docs/recovery.md, in its order, on a home that something was killed in."""

from __future__ import annotations

import shlex

import dagster as dg
from dagster._core.test_utils import create_run_for_test

from resources.processes import this_process
from resources.stores import PROCESS_TAG
from tests.integration.recovery import PAGE


def test_the_commands_of_the_page_clear_what_was_left_and_complete_the_chain(tiny_home, lem_command):
    block = next(text for text in PAGE.read_text().split("\n\n") if text.startswith("    lem reap"))
    commands = [shlex.split(line.partition("#")[0].replace("sample", "tiny"))[1:] for line in block.splitlines()]
    assert [command[0] for command in commands] == ["reap", "reap", "status", "run"]
    gone = " ".join([*this_process().split(" ")[:2], "4194305", "1"])
    with dg.DagsterInstance.get() as instance:
        started = dg.DagsterRunStatus.STARTED
        dead = create_run_for_test(instance, job_name="night", status=started, tags={PROCESS_TAG: gone})
        instance.report_engine_event("Executing steps in process (pid: 4194305)", dead)
        told = [lem_command(tiny_home.folder, *command) for command in commands[:3]]
        assert [done.code for done in told] == [0, 0, 0]
        assert f"dead run {dead.run_id}" in told[0].out
        assert f"cleared run {dead.run_id}" in told[1].out
        assert instance.get_run_by_id(dead.run_id).status == dg.DagsterRunStatus.FAILURE
    done = lem_command(tiny_home.folder, *commands[3], "-d", "2024-01-18")
    assert done.code == 0
    assert "Everything is there already." in done.out
