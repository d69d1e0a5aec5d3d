"""Asset checks of drift: inputs, gains and the champion's age. They warn, they stop nothing.

A check that cannot tell anything yet (the first nights, no champion) passes and says so. In a run over a range, inputs
and gains are judged on its last date, and the age on every date.
"""

# No `from __future__ import annotations` here: Dagster reads the annotations of its functions as objects.

import datetime as dt
from typing import Any

import dagster as dg

from assets.graph import UniverseGraph
from lem.backtest.bootstrap import MIN_BLOCKS
from lem.drift.measures import CLOCK, InputDrift, model_age
from lem.drift.reading import NotKnown, gain_drift_on, input_drift_on
from lem.lineage.keys import parse_keys
from resources.stores import LakeResource, RegistryResource


def warn_unless(passed: bool, text: str, key: str, threshold: float, **figures: Any) -> dg.AssetCheckResult:
    """A verdict in words, with the threshold and the key of the universe file that sets it."""
    return dg.AssetCheckResult(
        passed=passed,
        severity=dg.AssetCheckSeverity.WARN,
        description=text,
        metadata={"threshold": threshold, "set_by": f"{key} in the universe file", **figures},
    )


def _features(drift: InputDrift, drifted: list[str]) -> dg.MetadataValue:
    """PSI of each feature, the largest first; features of the calendar come last."""
    names = sorted(drift.psi, key=lambda name: (name in CLOCK, -drift.psi[name]))
    verdicts = dict.fromkeys(CLOCK, "calendar, not judged") | dict.fromkeys(drifted, "drifted")
    return dg.MetadataValue.table(
        [
            dg.TableRecord(
                {
                    "feature": name,
                    "psi": round(drift.psi[name], 4),
                    "usual_up_to": round(drift.usual[name], 4),
                    "verdict": verdicts.get(name, ""),
                }
            )
            for name in names
        ],
        dg.TableSchema(
            [
                dg.TableColumn("feature", "string"),
                dg.TableColumn("psi", "float", "population stability index against the training window"),
                dg.TableColumn("usual_up_to", "float", "the most that as many days inside the training window have"),
                dg.TableColumn("verdict", "string"),
            ]
        ),
    )


def drift_checks_of(graph: UniverseGraph) -> list[dg.AssetChecksDefinition]:
    """The drift checks of a universe's assets."""
    universe = graph.universe

    @dg.asset_check(
        asset=graph.key("execution_report"),
        partitions_def=graph.partitions_of("execution_report"),
        description="The last days' features are distributed as in the champion's training window.",
    )
    @graph.body
    def input_drift(
        context: dg.AssetCheckExecutionContext, lake: LakeResource, registry: RegistryResource
    ) -> dg.AssetCheckResult:
        date, limit = [key.date for key in parse_keys(context.partition_keys)][-1], universe.drift.psi
        drift = input_drift_on(lake.open(), registry.open(), universe, date)
        if isinstance(drift, NotKnown):
            return warn_unless(True, f"Nothing to tell on {date}: {drift.reason}.", "drift.psi", limit)
        drifted = drift.drifted(limit)
        if drifted:
            found = ", ".join(f"{n} {drift.psi[n]:.2f} (usual up to {drift.usual[n]:.2f})" for n in drifted)
            text = f"{date}: not distributed as in the champion's training window: {found}; threshold {limit:g}."
        else:
            text = f"{date}: no feature has drifted from the champion's training window; threshold {limit:g}."
        return warn_unless(
            not drifted,
            text,
            "drift.psi",
            limit,
            features=_features(drift, drifted),
            bars_of_training=drift.training_bars,
            bars_of_last_days=drift.recent_bars,
            window_days=universe.drift.window_days,
        )

    @dg.asset_check(
        asset=graph.key("execution_report"),
        partitions_def=graph.partitions_of("execution_report"),
        description="Walk-forward orders gain what the gate measured for the models that traded them.",
    )
    @graph.body
    def gain_drift(
        context: dg.AssetCheckExecutionContext, lake: LakeResource, registry: RegistryResource
    ) -> dg.AssetCheckResult:
        date, key = [key.date for key in parse_keys(context.partition_keys)][-1], "drift.gain_tolerance_bps"
        limit = universe.drift.gain_tolerance_bps
        drift = gain_drift_on(lake.open(), registry.open(), universe, date)
        if isinstance(drift, NotKnown):
            return warn_unless(True, f"Nothing to tell on {date}: {drift.reason}.", key, limit)
        apart = drift.shortfall
        text = (
            f"{date}: {apart.orders} orders gained {drift.realised_bps:+.1f} bps, the gate measured "
            f"{drift.expected_bps:+.1f} bps for their models: {apart.mean:+.1f} bps"
        )
        figures = {
            "realised_bps": drift.realised_bps,
            "expected_bps": drift.expected_bps,
            "realised_minus_expected_bps": apart.mean,
            "orders": apart.orders,
            "blocks_of_days": apart.blocks,
            "orders_without_a_gate_figure": drift.unjudged,
        }
        if not apart.known:
            text += f", and {apart.blocks} blocks of days are too few for an interval ({MIN_BLOCKS} are needed)."
            return warn_unless(True, text, key, limit, **figures)
        text += f" ({apart.low:+.1f} to {apart.high:+.1f}); tolerated: {-limit:g} bps."
        figures |= {"low_bps": apart.low, "high_bps": apart.high}
        return warn_unless(not drift.drifted(limit), text, key, limit, **figures)

    @dg.asset_check(
        name="model_age",
        asset=graph.key("champion"),
        partitions_def=graph.partitions_of("champion"),
        description="The champion's training has not ended too long ago.",
    )
    @graph.body
    def age_of_champion(context: dg.AssetCheckExecutionContext, registry: RegistryResource) -> dg.AssetCheckResult:
        models, ages = registry.open(), dict[dt.date, int]()
        dates, limit = [key.date for key in parse_keys(context.partition_keys)], universe.max_model_age
        for date in dates:
            champion = models.champion_on(universe.name, date)
            if champion is not None:
                ages[date] = model_age(universe, champion.train_end, date)
        if not ages:
            text = f"Nothing to tell: no model trades on {', '.join(map(str, dates[-3:]))}."
            return warn_unless(True, text, "drift.max_age", limit)
        oldest = max(ages, key=lambda date: ages[date])
        old = sum(age > limit for age in ages.values())
        text = f"The champion of {oldest} was trained up to {ages[oldest]} partitions before; allowed: {limit}."
        if old:
            text += f" Too old on {old} of {len(dates)} dates."
        return warn_unless(not old, text, "drift.max_age", limit, age=ages[oldest], dates_checked=len(dates))

    return [input_drift, gain_drift, age_of_champion]
