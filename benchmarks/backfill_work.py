"""The contenders of `benchmarks.backfill`: each runs in a process of its own and prints its figures as JSON.

    python -m benchmarks.backfill_work bare|pipeline FOLDER ASSETS DAYS

Both write the same tables of the same simulated market into a cold lake: raw bars, bars and features. `bare` is a loop
over the library; `pipeline` does what `lem backfill` does, with Dagster's history in DAGSTER_HOME. Both import
everything before their clock starts.
"""

from __future__ import annotations

import datetime as dt
import json
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import dagster as dg
import pandas as pd

from lem.data.bars import TABLE_SCHEMA as BARS_SCHEMA
from lem.data.features import TABLE_SCHEMA as FEATURES_SCHEMA
from lem.data.features import check_features, features_of_days
from lem.data.tape import Tape
from lem.lake import Lake
from lem.lineage.keys import PartitionKey
from lem.lineage.quarantine import judge_days
from lem.lineage.revisions import store_raw
from lem.lineage.stages import stage_named
from lem.lineage.versions import made_with, named, outages_over
from lem.registry.records import InputVersion
from lem.sources import open_source
from lem.universe import Universe
from lem.universe.calendars import partition_dates, partition_window
from lem.universe.windows import history_dates
from lem_pipeline.build import build
from lem_pipeline.planning.dates import data_dates
from lem_pipeline.planning.plan import data_steps
from lem_pipeline.running.home import instance
from lem_pipeline.running.launch import run_step

START = dt.date(2023, 1, 1)
BATCH = 31
TABLES = ("raw_bars", "bars", "features")


def universe_of(assets: int, days: int) -> Universe:
    """The simulated market."""
    return Universe.model_validate(
        {
            "name": "bench",
            "start": START,
            "end": START + dt.timedelta(days=days - 1),
            "assets": {f"A{number:02}-USD": {} for number in range(assets)},
            "source": {"kind": "simulated", "seed": 1},
        }
    )


def bare(universe: Universe, folder: str, dates: list[dt.date]) -> dict[str, Any]:
    """The calls in the bodies of the assets, in the same batches, without Dagster and its checks.

    Raises:
        SystemExit: a day breaks a rule.
    """
    lake, source = Lake(f"{folder}/lake"), open_source(universe, folder)
    for symbol in universe.symbols:
        for date in dates:
            table = source.fetch(symbol, *partition_window(date)).table
            inputs = made_with(universe, stage_named("raw_bars"), PartitionKey(symbol, date))
            store_raw(lake, universe.name, date, symbol, table, inputs)
    for symbol in universe.symbols:
        for at in range(0, len(dates), BATCH):
            days = dates[at : at + BATCH]
            batch = lake.read_batch(lake.path(universe.name, "raw_bars", day, symbol) for day in days)
            read = dict(zip(days, batch, strict=True))
            good, bad = judge_days({day: raw for day, (raw, _) in read.items()}, universe, symbol)
            if bad:
                raise SystemExit(f"the simulated market breaks a rule: {bad}")
            for day, result in good.items():
                inputs = named([InputVersion("raw_bars", f"{symbol}|{day}", read[day][1])])
                stage, key = stage_named("bars"), PartitionKey(symbol, day)
                inputs |= made_with(universe, stage, key) | outages_over(universe, stage, key)
                lake.write_table(lake.path(universe.name, "bars", day, symbol), result.table, BARS_SCHEMA, inputs)
    for symbol in universe.symbols:
        found = dict[dt.date, tuple[Tape, str]]()
        for day in dates:
            bars, version = lake.read_arrow(lake.path(universe.name, "bars", day, symbol))
            found[day] = Tape.of_arrow(bars), version
        for at in range(0, len(dates), BATCH):
            days = dates[at : at + BATCH]
            parts = [([found[d][0] for d in history_dates(universe, day)], found[day][0]) for day in days]
            tables = dict(zip(days, features_of_days(parts, universe.features, universe.clock), strict=True))
            check_features(pd.concat(tables.values(), ignore_index=True))
            for day, table in tables.items():
                read_days = [*history_dates(universe, day), day]
                inputs = named(InputVersion("bars", f"{symbol}|{d}", found[d][1]) for d in read_days)
                inputs |= made_with(universe, stage_named("features"))
                lake.write_table(lake.path(universe.name, "features", day, symbol), table, FEATURES_SCHEMA, inputs)
    return {"runs": 0}


@contextmanager
def clocked(owner: type, names: list[str], spent: dict[str, float]) -> Iterator[None]:
    """Add up the wall seconds spent in methods of a class; nested calls count once."""
    depth = [0]

    def wrapped(method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **keywords: Any) -> Any:
            depth[0] += 1
            started = time.perf_counter()
            try:
                return method(*arguments, **keywords)
            finally:
                depth[0] -= 1
                if not depth[0]:
                    spent["storage"] = spent.get("storage", 0.0) + time.perf_counter() - started

        return call

    kept = {name: getattr(owner, name) for name in names}
    for name, method in kept.items():
        setattr(owner, name, wrapped(method))
    try:
        yield
    finally:
        for name, method in kept.items():
            setattr(owner, name, method)


def pipeline(universe: Universe, folder: str, dates: list[dt.date]) -> dict[str, Any]:
    """What `lem backfill` does for these stages: a plan, then one run for bars and one for features.

    Raises:
        SystemExit: a check failed.
    """
    dagster, spent = instance(), dict[str, float]()
    planned = data_steps(Lake(f"{folder}/lake"), universe, data_dates(universe, dates[0], dates[-1]), force=False)
    steps = [step for step in planned if "panel" not in step.tables]
    defs = build([universe])
    storage = type(dagster.event_log_storage)
    names = [
        name
        for name in ("store_event", "store_event_batch", "get_materialized_partitions", "get_event_records")
        if hasattr(storage, name)
    ]
    with clocked(storage, names, spent):
        for step in steps:
            failed = run_step(defs, dagster, universe, step)
            if failed:
                raise SystemExit(f"a check failed: {failed}")
    made = dagster.get_runs_count(dg.RunsFilter(statuses=[dg.DagsterRunStatus.SUCCESS]))
    return {"runs": made, "storage_seconds": spent.get("storage", 0.0)}


def main() -> None:
    """Run one contender from the command line."""
    warnings.simplefilter("ignore")
    who, folder, assets, days = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    universe = universe_of(assets, days)
    dates = partition_dates(universe, universe.start, START + dt.timedelta(days=days - 1))
    wall, cpu = time.perf_counter(), time.process_time()
    figures = {"bare": bare, "pipeline": pipeline}[who](universe, folder, dates)
    figures |= {"seconds": time.perf_counter() - wall, "cpu_seconds": time.process_time() - cpu}
    lake = Lake(f"{folder}/lake")
    figures["partitions"] = sum(len(lake.names(f"bench/{t}/asset={s}")) for t in TABLES for s in universe.symbols)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
