from __future__ import annotations

import datetime as dt
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from lem.errors import LakeError
from lem.lake import Lake
from lem.lineage.stored_report import report_path
from lem.universe import Universe
from lem_pipeline.cli.show import show_report

DATE = dt.date(2024, 1, 10)


def statistics(net: float) -> list[dict[str, Any]]:
    """Two strategies at m = 1, 3 and all, gains 10 and 2 bps less `net`."""
    return [
        {"level": "all" if m == "all" else "m", "strategy": name, "against": "", "min_bars": m, "orders": 8}
        | {"mean_bps": mean - net, "low_bps": None if m == 1 else mean - net - 1.0, "high_bps": mean - net + 1.0}
        | {"bound_bps": 12.0, "net_bound_bps": 7.0, "oracle_bps": 80.0}
        for name, mean in (("lem", 10.0), ("twap_to_m", 2.0))
        for m in (1, 3, "all")
    ]


def shown(folder: Path, universe: Any, summary: dict[str, Any]) -> str:
    lake, out = Lake(str(folder)), io.StringIO()
    lake.write_bytes(report_path(universe.name, DATE, "report.json"), json.dumps(summary).encode())
    lake.write_bytes(report_path(universe.name, DATE, "report.html"), b"<!doctype html>")
    show_report(Console(file=out, width=200), lake, universe, None)
    return out.getvalue()


def test_results_before_and_after_costs_the_bounds_and_the_costs_are_shown(
    tmp_path: Path, make_universe: Callable[..., Universe]
) -> None:
    out = shown(
        tmp_path,
        make_universe(),
        {
            "statistics": statistics(0.0),
            "statistics_after_costs": statistics(4.0),
            "comparisons": [
                {"against": against, "verdict": "better", "net_verdict": "worse", "worth_verdict": worth}
                for against, worth in (("optimal_with_risk", "better"), ("optimal_stopping", ""))
            ],
            "worth_most": "optimal_with_risk",
            "compared": 5,
            "costs_text": {"Fee": "1 bps of every fill."},
            "capacity_text": "The gain would be gone at orders of 3 times a bar’s volume.",
        },
    )
    rows = {line.split("│")[1].strip(): line.split("│")[2:-1] for line in out.splitlines() if line.count("│") > 2}
    cells = {name: [cell.strip() for cell in row] for name, row in rows.items()}
    assert cells["LEM model"] == ["6.0", "6.0", "6.0 (5.0 to 7.0)", "10.0 (9.0 to 11.0)"]
    assert cells["TWAP to m"] == ["-2.0", "-2.0", "-2.0 (-3.0 to -1.0)", "2.0 (1.0 to 3.0)"]
    assert cells["Bound after costs, driftless"] == ["7.0", "7.0", "7.0", ""]
    assert cells["Bound, driftless"] == ["", "", "", "12.0"]
    assert cells["Bound, foresight"] == ["", "", "", "80.0"]
    assert (
        "LEM against Optimal with costs and risk, after costs: worse; counting losses as the gate does: better; "
        "before costs: better" in out
    )
    assert "LEM against Optimal stopping, after costs: worse; before costs: better" in out
    assert "Better and worse hold for all 5 of these comparisons together." in out
    assert "Fee: 1 bps of every fill." in out
    assert "Capacity: The gain would be gone at orders of 3 times a bar’s volume." in out


def test_a_report_of_an_earlier_version_is_refused_with_the_command(
    tmp_path: Path, make_universe: Callable[..., Universe]
) -> None:
    with pytest.raises(LakeError, match=r"earlier version .* lem run -u small -d 2024-01-10 --force"):
        shown(tmp_path, make_universe(), {"statistics": [], "comparisons": []})
