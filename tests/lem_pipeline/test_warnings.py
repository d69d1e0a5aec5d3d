from __future__ import annotations

from lem_pipeline.running import execute, launch
from tests.lem_pipeline.plans import run_of


def test_a_check_that_only_warns_is_printed_as_a_warning(make_universe, monkeypatch, capsys):
    found = [launch.FailedCheck("one [b]: drifted", True), launch.FailedCheck("two: broken", False)]
    monkeypatch.setattr(execute, "run_step", lambda *_: found)
    runner = execute.Runner(make_universe(), None, None, None)
    execute.run_steps(runner, [run_of(("panel",), "2024-01-01", "2024-01-01")])
    out = capsys.readouterr().out
    assert "  warning: one [b]: drifted\n  check failed: two: broken\n" in out
