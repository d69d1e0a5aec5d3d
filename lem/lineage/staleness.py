"""Whether models, decisions and reports were made from what is in the lake now."""

from __future__ import annotations

import datetime as dt
import json

from lem.lake import Lake
from lem.lineage.revisions import Versioned, partition_key
from lem.lineage.stored_report import BACKTESTS_VERSION, FILES, backtests_version, report_path, trailing_dates
from lem.registry import ModelRecord, PromotionRecord, Registry
from lem.registry.records import InputVersion
from lem.universe import Universe
from lem.universe.windows import gate_dates


def model_is_stale(versioned: Versioned, universe: Universe, record: ModelRecord) -> bool:
    """Whether the model is for other features or another horizon than the universe has now, or a panel that it was
    trained on has another content; one that is missing says nothing.

    Raises:
        LakeError: the lake cannot be read.
    """
    if (record.horizon, record.feature_settings) != (universe.horizon, universe.features.model_dump(mode="json")):
        return True
    dates = {dt.date.fromisoformat(read.partition_key): read.data_version for read in record.inputs}
    now = versioned.read([("panel", date, None) for date in dates])
    return any(versions.data != dates[date] for (_, date, _), versions in now.items())


def decision_is_stale(
    versioned: Versioned,
    universe: Universe,
    decision: PromotionRecord,
    candidate: ModelRecord | None,
    before: str | None,
) -> bool:
    """Whether another candidate is registered now, another champion traded before (`before`: its id), or a panel that
    the gate read has another content.

    A decision made by hand never is.

    Raises:
        LakeError: the lake cannot be read.
    """
    if decision.by_hand:
        return False
    if decision.candidate_id != (candidate.id if candidate else None) or decision.previous_id != before:
        return True
    if candidate is None:
        return False
    now = versioned.version([("panel", date, None) for date in gate_dates(universe, decision.date)], {})
    return now is not None and decision.figures.panel_version != now


def stale_decisions(lake: Lake, registry: Registry, universe: Universe) -> list[dt.date]:
    """Dates whose decision is out of date, or is about a model that is.

    Raises:
        LakeError: the lake cannot be read.
    """
    versioned, before, found = Versioned(lake, universe), None, []
    for decision in registry.promotions(universe.name):
        candidate = registry.candidate(universe.name, decision.date)
        trained = candidate is not None and not decision.by_hand and model_is_stale(versioned, universe, candidate)
        if trained or decision_is_stale(versioned, universe, decision, candidate, before):
            found.append(decision.date)
        before = decision.champion_id
    return found


def report_is_stale(lake: Lake, versioned: Versioned, universe: Universe, date: dt.date) -> bool:
    """Whether there is no report of `date`, or it was made from other backtests than there are.

    Raises:
        LakeError: the lake cannot be read.
    """
    if not all(lake.exists(report_path(universe.name, date, file)) for file in FILES):
        return True
    summary = json.loads(lake.read_bytes(report_path(universe.name, date, "report.json")))
    now = versioned.read(
        [("backtest", day, asset) for day in trailing_dates(universe, date) for asset in universe.symbols]
    )
    inputs = [InputVersion(table, partition_key(day, asset), v.data) for (table, day, asset), v in now.items()]
    return summary.get("versions", {}).get(BACKTESTS_VERSION) != backtests_version(inputs)
