"""What `lem check` and `lem doctor` print."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console
from rich.markup import escape

from lem_pipeline.checking.finding import Finding

_MARKS = {"ok": "[green]ok[/green]     ", "warning": "[yellow]warning[/yellow]", "failed": "[red]failed[/red] "}


def show_findings(console: Console, findings: Iterable[Finding]) -> bool:
    """Print each finding as it comes, then how many there were; returns whether none failed."""
    states = []
    for finding in findings:
        console.print(f"{_MARKS[finding.state]}  {escape(finding.what)}: {escape(finding.text)}")
        states.append(finding.state)
    failed, warned = states.count("failed"), states.count("warning")
    console.print(f"{len(states)} looked at: {failed} failed, {warned} with a warning")
    return not failed
