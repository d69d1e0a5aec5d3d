"""The asset graph of a universe: one factory, the same for every universe."""

from __future__ import annotations

import dagster as dg

from assets import data, evaluation, models
from assets.checks import checks_of
from assets.common import Stage
from assets.drift_checks import drift_checks_of
from assets.night_checks import night_checks_of
from lem.universe import Universe

STAGES = ("raw_bars", "bars", "features", "panel", "lem_model", "champion", "backtest", "execution_report")


def graph_of(universe: Universe) -> dg.Definitions:
    """raw_bars -> bars -> features -> panel -> lem_model -> champion -> backtest -> execution_report, and their
    checks."""
    stage = Stage.of(universe)
    assets = [
        data.raw_bars(stage),
        data.bars(stage),
        data.features(stage),
        data.panel(stage),
        models.lem_model(stage),
        models.champion(stage),
        evaluation.backtest(stage),
        evaluation.execution_report(stage),
    ]
    return dg.Definitions(
        assets=assets, asset_checks=[*checks_of(stage), *drift_checks_of(stage), *night_checks_of(stage)]
    )
