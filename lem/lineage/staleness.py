"""Whether models, decisions and reports were made from what is in the lake now, by the code of today's stages."""

from __future__ import annotations

import datetime as dt
import json

from lem.lake import Lake
from lem.lineage.keys import Partition, PartitionKey
from lem.lineage.stages import DECISION, MODEL, REPORT, stage_named
from lem.lineage.stored_report import (
    BACKTESTS_VERSION,
    FILES,
    REPORT_VERSION,
    SETTINGS_VERSION,
    backtests_version,
    report_path,
    settings_version,
    trailing_dates,
)
from lem.lineage.versions import Versioned
from lem.registry import ModelRecord, PromotionRecord, Registry
from lem.registry.decision_figures import FIRST_VERSION
from lem.registry.records import InputVersion
from lem.universe import Universe
from lem.universe.windows import gate_dates


def model_is_stale(versioned: Versioned, universe: Universe, record: ModelRecord) -> bool:
    """Whether a model is out of date.

    It is if the universe has other features or another horizon now, if another version of the stage trained it, or if a
    panel on which it was trained has another content. A missing panel tells nothing.

    Args:
        versioned: the lake's versions.
        universe: of the model.
        record: of the model.

    Raises:
        LakeError: the lake cannot be read.
    """
    if (record.horizon, record.feature_settings) != (universe.horizon, universe.features.model_dump(mode="json")):
        return True
    if record.stage_version != stage_named(MODEL).version:
        return True
    read = {Partition(r.table_name, PartitionKey.parse(r.partition_key)): r.data_version for r in record.inputs}
    return any(versions.data != read[partition] for partition, versions in versioned.read(read).items())


def decision_is_stale(
    versioned: Versioned,
    universe: Universe,
    decision: PromotionRecord,
    candidate: ModelRecord | None,
    before: str | None,
) -> bool:
    """Whether a decision is out of date.

    It is if another candidate is registered now, if another champion traded before, if another version of the stage
    decided, or if a panel that the gate read has another content. A decision made by hand never is.

    Args:
        versioned: the lake's versions.
        universe: for which the decision is.
        decision: that is looked at.
        candidate: the one that is registered now.
        before: id of the champion by the decision before.

    Raises:
        LakeError: the lake cannot be read.
    """
    if decision.by_hand:
        return False
    if decision.candidate_id != (candidate.id if candidate else None) or decision.previous_id != before:
        return True
    if decision.figures.stage_version != stage_named(DECISION).version:
        return True
    if candidate is None:
        return False
    panels = [Partition("panel", PartitionKey.of(date)) for date in gate_dates(universe, decision.date)]
    now = versioned.version(panels, {})
    return now is not None and decision.figures.panel_version != now


def stale_decisions(versioned: Versioned, registry: Registry, universe: Universe) -> list[dt.date]:
    """Dates whose decision is out of date, or is about a model that is out of date.

    Args:
        versioned: the lake's versions.
        registry: with the decisions.
        universe: whose decisions are looked at.

    Raises:
        LakeError: the lake cannot be read.
    """
    candidates, before, found = registry.candidates(universe.name), None, []
    for decision in registry.promotions(universe.name):
        candidate = candidates.get(decision.date)
        trained = candidate is not None and not decision.by_hand and model_is_stale(versioned, universe, candidate)
        if trained or decision_is_stale(versioned, universe, decision, candidate, before):
            found.append(decision.date)
        before = decision.champion_id
    return found


def stale_models(versioned: Versioned, registry: Registry, universe: Universe) -> list[dt.date]:
    """Dates whose candidate is out of date.

    Args:
        versioned: the lake's versions.
        registry: with the models.
        universe: whose models are looked at.

    Raises:
        LakeError: the lake cannot be read.
    """
    candidates = registry.candidates(universe.name)
    return [date for date, one in candidates.items() if model_is_stale(versioned, universe, one)]


def report_is_stale(lake: Lake, versioned: Versioned, universe: Universe, date: dt.date) -> bool:
    """Whether the report of a date is missing, or was made from other backtests or settings than now, or by other code.

    Args:
        lake: with the report.
        versioned: the lake's versions.
        universe: of the report.
        date: of the report.

    Raises:
        LakeError: the lake cannot be read.
    """
    if not all(lake.exists(report_path(universe.name, date, file)) for file in FILES):
        return True
    told = json.loads(lake.read_bytes(report_path(universe.name, date, "report.json"))).get("versions", {})
    if told.get(REPORT_VERSION, FIRST_VERSION) != stage_named(REPORT).version:
        return True
    if told.get(SETTINGS_VERSION) != settings_version(universe):
        return True
    keys = [PartitionKey(asset, day) for day in trailing_dates(universe, date) for asset in universe.symbols]
    now = versioned.read([Partition("backtest", key) for key in keys])
    inputs = [InputVersion(table, str(key), versions.data) for (table, key), versions in now.items()]
    return told.get(BACKTESTS_VERSION) != backtests_version(inputs)
