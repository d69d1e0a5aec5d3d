"""The work that `benchmarks.definitions` measures, in a process of its own: prints (wall, CPU) seconds as JSON."""

# Imports stand in the lines in which they are measured.

from __future__ import annotations

import datetime as dt
import json
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

DATA = ("raw_bars", "bars", "features", "panel")
START = dt.date(2021, 1, 1)
RECENT = 20
"""Last days that are complete for every asset: more than a night looks back (`night.catch_up_days`)."""


def main() -> None:
    """Measure one turn from the command line."""
    warnings.simplefilter("ignore")
    assets, days = int(sys.argv[1]), int(sys.argv[2])
    found: dict[str, tuple[float, float]] = {}

    @contextmanager
    def timed(what: str) -> Iterator[None]:
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        found[what] = time.perf_counter() - wall, time.process_time() - cpu

    with timed("import of dagster"):
        import dagster as dg
    with timed("import of pandas and the other libraries"):
        import pandas  # noqa: F401
        import pandera.pandas  # noqa: F401
        import sqlalchemy.orm  # noqa: F401
    with timed("import of the project"):
        from lem.universe import Universe
        from lem.universe.calendars import partition_dates
        from lem_pipeline.build import build
    universe = Universe.model_validate(
        {
            "name": "large",
            "start": START,
            "assets": {f"A{number:02}-USD": {} for number in range(assets)},
            "source": {"kind": "simulated"},
        }
    )
    with timed("definitions: built, validated, every job and condition resolved"):
        defs = build([universe])
        dg.Definitions.validate_loadable(defs)
        defs.get_repository_def().asset_graph  # noqa: B018
    dates = partition_dates(universe, START, START + dt.timedelta(days=days - 1))
    noon = dt.datetime.combine(dates[-1] + dt.timedelta(days=1), dt.time(12), dt.UTC)
    instance = dg.DagsterInstance.ephemeral()
    # Panels and one asset's raw bars of three years, the last days of all else: an event costs some milliseconds.
    for table in DATA:
        for number, symbol in enumerate([""] if table == "panel" else universe.symbols):
            for date in dates if number == 0 and table in (DATA[0], DATA[-1]) else dates[-RECENT:]:
                key = f"{symbol}|{date}" if symbol else f"{date}"
                event = dg.AssetMaterialization(["large", table], partition=key)
                instance.report_runless_asset_event(event)
    chosen = dg.AssetSelection.groups("large")
    cursor = None
    at = {
        "automation tick, the first": noon,
        "automation tick, the second": noon + dt.timedelta(seconds=30),
        "automation tick, at rest": noon + dt.timedelta(seconds=60),
        "automation tick, the night begins": noon + dt.timedelta(hours=12, minutes=31),
    }
    for what, now in at.items():
        with timed(what):
            done = dg.evaluate_automation_conditions(
                defs, instance, asset_selection=chosen, evaluation_time=now, cursor=cursor
            )
        cursor = done.cursor
    if done.get_num_requested(dg.AssetKey(["large", "raw_bars"])) < assets:
        raise SystemExit("the night asked for fewer raw bars than there are assets")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
