"""What is said of what was left behind, and that nothing is cleared unless it is dead and was asked for."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from lem_pipeline.cli.show_reap import show_findings
from lem_pipeline.repair.reap import Finding

ALONE = "1 left alone: if nothing works on them any more, lem reap --older-than 6h clears them too."


@pytest.fixture
def said():
    """`said(clear, "run", unknown="slot")`: the lines about a dead thing and an unknown one, and what was cleared."""

    def say(clear, dead="", unknown=""):
        out, cleared = io.StringIO(), []

        def findings():
            if dead:
                yield Finding(dead, "gone [1]", lambda: cleared.append(dead))
                assert cleared == [dead] * clear, "what comes next is looked for when this has been cleared"
            if unknown:
                yield Finding(unknown, "silent", None)

        show_findings(Console(file=out, width=200), findings(), clear)
        return out.getvalue().splitlines(), cleared

    return say


def test_what_is_dead_is_told_and_cleared_only_when_asked_for(said):
    told = [
        "dead run: gone [1]",
        "Nothing was changed; lem reap --yes clears what is dead and records what is unrecorded.",
    ]
    assert said(False, "run") == (told, [])
    assert said(True, "run") == (["cleared run: gone [1]"], ["run"])


@pytest.mark.parametrize("clear", [False, True])
def test_what_nobody_can_tell_is_counted_and_left_alone(clear, said):
    assert said(clear, unknown="slot") == (["unknown slot: silent", ALONE], [])


def test_both_are_told_in_their_order(said):
    lines, cleared = said(True, "run", "slot")
    assert (lines, cleared) == (["cleared run: gone [1]", "unknown slot: silent", ALONE], ["run"])


@pytest.mark.parametrize("clear", [False, True])
def test_where_nothing_was_left_it_is_said(clear, said):
    assert said(clear) == (["Nothing was left behind."], [])
