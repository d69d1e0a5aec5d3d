"""The drift of a date: what is compared is read from lake and registry, with only the columns that are needed."""

from __future__ import annotations

import datetime as dt
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pandas as pd
import pyarrow as arrow
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lem.data.features import FEATURES
from lem.drift.measures import MIN_BARS, GainDrift, InputDrift, gain_drift, input_drift
from lem.errors import LakeError
from lem.lake import Lake
from lem.registry import Registry
from lem.universe import Universe
from lem.universe.calendars import offset_partition
from lem.universe.windows import dates_before

PANEL_COLUMNS = ("ts", "valid", *FEATURES)
ORDER_COLUMNS = ("arrival", "model_id", "status", "gain_bps")


@dataclass(frozen=True)
class NotKnown:
    """Drift cannot be measured yet.

    Args:
        reason: why, in words.
    """

    reason: str


def read_columns(
    lake: Lake, paths: Iterable[str], columns: Sequence[str], where: pc.Expression | None = None
) -> pd.DataFrame | None:
    """Some columns of the partitions that are there, as one table; None if no partition is there.

    The content's hash is not verified, since that would need all columns. It is verified when a table is traded on or
    reported.

    Args:
        lake: with the partitions.
        paths: of the partitions.
        columns: their names.
        where: rows to keep; all if left out.

    Raises:
        LakeError: the lake cannot be read, or a partition is not Parquet with these columns.
    """
    wanted = list(paths)
    absent, frames = set(lake.missing(wanted)), []
    for path in wanted:
        if path in absent:
            continue
        try:
            table = pq.ParquetFile(io.BytesIO(lake.read_bytes(path))).read(columns=list(columns))
        except arrow.ArrowInvalid as error:
            raise LakeError(f"lake {lake.url}: {path} is not valid Parquet: {error}; materialise it again") from error
        if lacking := [name for name in columns if name not in table.column_names]:
            raise LakeError(f"lake {lake.url}: {path} has no column {', '.join(lacking)}; materialise it again")
        frames.append(table if where is None else table.filter(where))
    return arrow.concat_tables(frames).to_pandas() if frames else None


def input_drift_on(lake: Lake, registry: Registry, universe: Universe, date: dt.date) -> InputDrift | NotKnown:
    """Drift of the inputs of the champion of `date`.

    Panels of its training window are compared with those of the last `drift.window_days` before `date`. These begin
    after the training's last day, so that no bar is in both.

    Raises:
        LakeError: a panel cannot be read.
    """
    champion = registry.champion_on(universe.name, date)
    if champion is None:
        return NotKnown(f"no model trades on {date}")
    first = max(offset_partition(universe, date, -universe.drift.window_days), champion.train_end)
    tables = []
    for what, start, end in (
        ("champion's training window", champion.train_start, champion.train_end),
        ("last days", first, date),
    ):
        paths = [lake.path(universe.name, "panel", d) for d in dates_before(universe, start, end)]
        table = read_columns(lake, paths, PANEL_COLUMNS)
        valid = 0 if table is None else int(table["valid"].sum())
        if table is None or valid < MIN_BARS:
            return NotKnown(
                f"the {what}, [{start}, {end}), hold(s) {valid} valid bars in the lake; {MIN_BARS} are needed"
            )
        tables.append(table)
    return input_drift(*tables)


def gain_drift_on(lake: Lake, registry: Registry, universe: Universe, date: dt.date) -> GainDrift | NotKnown:
    """Drift of the gains of the walk-forward orders up to `date`, of `backtest.report_days` partitions.

    Each order's gain is compared with the gate's mean for the model that traded it.

    Raises:
        LakeError: a backtest cannot be read.
    """
    first = offset_partition(universe, date, 1 - universe.backtest.report_days)
    dates = dates_before(universe, first, date + dt.timedelta(days=1))
    paths = [lake.path(universe.name, "backtest", d, symbol) for d in dates for symbol in universe.symbols]
    orders = read_columns(lake, paths, ORDER_COLUMNS, pc.field("model_id") != "")
    if orders is None:
        return NotKnown(f"no orders from {first} to {date} were backtested")
    gates = {model: registry.gate_gain(model) for model in orders["model_id"].unique() if model}
    drift = gain_drift(
        orders,
        {model: gain for model, gain in gates.items() if gain is not None},
        block_days=universe.purge_days,
        confidence=universe.gate.confidence,
        resamples=universe.backtest.bootstrap,
        seed=universe.training.seed,
    )
    if not drift.shortfall.orders:
        return NotKnown(f"no order from {first} to {date} was traded by a model that the gate has measured")
    return drift
