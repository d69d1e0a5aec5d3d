"""What of a universe can leave the lake: old reports, weights and superseded rows that nothing needs.

Needed by a rebuild or an audit, and kept however old: the bars, features, panels and backtests of every date; the
registry, with every manifest, decision and live order; the weights and the inputs of every model that traded or may
trade; training curves and leak panels, which the reports show.
"""

from __future__ import annotations

import datetime as dt
from functools import partial

from lem.lake import Lake
from lem.lake.inventory import Stored, half_removed, remove_folder, size_of, stored
from lem.lineage.stages import REPORT
from lem.lineage.tables import dates_in
from lem.registry import ModelRecord, Registry
from lem.universe import Universe
from lem.universe.windows import history_dates
from lem_pipeline.pruning.kinds import Age, Kind, Removable


def lake_kinds(lake: Lake, registry: Registry, universe: Universe, age: Age) -> list[Kind]:
    """The reports, weights and superseded rows of a universe.

    Args:
        lake: with the objects.
        registry: with models, decisions and live orders.
        universe: whose objects they are.
        age: how old a thing must be to go.

    Raises:
        LakeError: the lake cannot be read.
        RegistryError: the registry cannot be read.
    """
    models = registry.models(universe.name)
    needed = needed_models(registry, universe, models, age)
    return [
        _reports(lake, universe, age),
        _weights(lake, universe, models, needed, age),
        _superseded(lake, universe, needed, age),
    ]


def old_reports(lake: Lake, universe: Universe, age: Age) -> list[dt.date]:
    """Dates of the reports that can go, ascending: about an old date, made long ago, and not the latest."""
    dates = dates_in(lake, f"{universe.name}/{REPORT}")
    first = age.first_date(universe.end)
    old = [date for date in dates[:-1] if date < first]
    return [date for date in old if _last_written(stored(lake, _report(universe, date))) < age.before]


def needed_models(registry: Registry, universe: Universe, models: list[ModelRecord], age: Age) -> list[ModelRecord]:
    """The models whose weights and inputs are kept.

    Args:
        registry: with decisions and live orders.
        universe: of the models.
        models: all of the universe.
        age: young models are kept; with `refused`, old candidates that no decision made champion are not.
    """
    decisions = [*registry.decisions(universe.name), *registry.promotions(universe.name)]
    decided = {decision.date for decision in decisions}
    named = {id_ for one in decisions for id_ in (one.champion_id, one.previous_id)} | registry.advised(universe.name)
    if not age.refused:
        named |= {one.candidate_id for one in decisions}
    # The candidate of a date that is still to be decided.
    for date in {model.usable_on for model in models} - (decided if age.refused else set()):
        candidate = registry.candidate(universe.name, date)
        named |= {candidate.id} if candidate else set()
    first = age.first_date(universe.end)
    return [
        model for model in models if model.id in named or model.usable_on >= first or model.created_at >= age.before
    ]


def _report(universe: Universe, date: dt.date) -> str:
    return f"{universe.name}/{REPORT}/date={date}"


def _last_written(objects: list[Stored]) -> dt.datetime:
    return max((one.modified for one in objects), default=dt.datetime.min.replace(tzinfo=dt.UTC))


def _reports(lake: Lake, universe: Universe, age: Age) -> Kind:
    folder = f"{universe.name}/{REPORT}"
    old = old_reports(lake, universe, age)
    gone = [_report(universe, date) for date in old] + half_removed(lake, folder)
    removable = [Removable(path, size_of(stored(lake, path)), partial(remove_folder, lake, path)) for path in gone]
    count = len(dates_in(lake, folder)) + len(half_removed(lake, folder))
    # The index first: a command that is killed on the way leaves no link to what it has removed.
    without_old = partial(_unlink, lake, [(universe.name, date) for date in old])
    return Kind(f"{universe.name}: reports", count, size_of(stored(lake, folder)), removable, before=without_old)


def _unlink(lake: Lake, old: list[tuple[str, dt.date]]) -> None:
    from lem.reports.index import write_index  # here, as listing what can go needs no matplotlib

    write_index(lake, old)


def _weights(lake: Lake, universe: Universe, models: list[ModelRecord], needed: list[ModelRecord], age: Age) -> Kind:
    there = stored(lake, f"{universe.name}/weights")
    kind = Kind(f"{universe.name}: weights", len(there), size_of(there))
    kept, registered = {model.weights_path for model in needed}, {model.weights_path for model in models}
    # A training registers its model a moment after its curve: a curve of an unknown model is another registry's.
    curves = {f"model={model.id}.parquet" for model in models}
    foreign = [name for name in lake.names(f"{universe.name}/training_curve") if name not in curves]
    left = 0
    for one in there:
        if one.path in kept or one.modified >= age.before:
            continue
        if foreign and one.path not in registered:
            left += 1
            continue
        kind.removable.append(Removable(one.path, one.size, partial(lake.remove, one.path)))
    if left:
        kind.notes.append(
            f"{universe.name}: {left} weights of no model of this registry are left alone: {len(foreign)} training "
            f"curves beside them ({foreign[0]} ...) are of models that it does not know either, so another registry "
            "may need them (setting LEM_REGISTRY)"
        )
    return kind


def _superseded(lake: Lake, universe: Universe, needed: list[ModelRecord], age: Age) -> Kind:
    """Panels that a needed model was trained on stay, and the raw rows that such a panel may have come from."""
    root = f"{universe.name}/superseded"
    there = stored(lake, root)
    kind = Kind(f"{universe.name}: superseded rows", len(there), size_of(there))
    named = {(read.table_name, read.partition_key, read.data_version) for model in needed for read in model.inputs}
    panels = {one.path for one in there if (key := _key(one.path, root)) and (key[0], key[1], key[2]) in named}
    dates = {dt.date.fromisoformat(key[1]) for path in panels if (key := _key(path, root))}
    sources = {str(day) for date in dates for day in (*history_dates(universe, date), date)}
    for one in there:
        key = _key(one.path, root)
        if key is None or one.modified >= age.before or one.path in panels:
            continue
        if key[0] == "panel" or key[1] not in sources:
            kind.removable.append(Removable(one.path, one.size, partial(lake.remove, one.path)))
    return kind


def _key(path: str, root: str) -> tuple[str, str, str] | None:
    """Table, date and data version of a superseded partition; None for a file of somebody else."""
    table, *_, date, version = path.removeprefix(f"{root}/").split("/")
    if not date.startswith("date=") or not version.startswith("sha256=") or not version.endswith(".parquet"):
        return None
    return table, date.removeprefix("date="), version.removeprefix("sha256=").removesuffix(".parquet")
