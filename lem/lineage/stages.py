"""The only list of the pipeline's stages, and of what each is made from.

The asset graph, staleness, plans, the spread over workers, automation, status, estimates, the data dictionary and the
picture in docs/architecture.md derive from it. What a stage *does* stands in `assets/stages/<name>.py`.

Raise a stage's `code_version` when the same input gives another output: what was made before is then out of date, in
`lem status`, `lem run`, the automation and the UI alike. Where the new output has the same bytes, nothing that is made
from it becomes out of date.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import pyarrow as arrow

from lem.backtest.schema import BACKTEST_SCHEMA
from lem.data.bars import TABLE_SCHEMA as BARS_TABLE
from lem.data.bars import bars_rules
from lem.data.features import CLIP, feature_rules
from lem.data.features import TABLE_SCHEMA as FEATURES_TABLE
from lem.data.panel import PANEL_SCHEMA
from lem.errors import LineageError
from lem.late import pa
from lem.lineage.contents import section_names
from lem.lineage.meanings import BACKTEST_WORDS, BARS_WORDS, FEATURES_WORDS, PANEL_WORDS, RAW_WORDS
from lem.lineage.reads import Reads
from lem.lineage.words import Words
from lem.registry.decision_figures import FIRST_VERSION
from lem.sources.base import RAW_SCHEMA
from lem.strategies.rules import rule_names
from lem.universe import Universe
from lem.universe.calendars import is_listed
from lem.universe.instruments import series_of
from lem.universe.windows import feature_history_days, forward_days, gate_days, warmup_days

MODEL, DECISION, REPORT = "lem_model", "champion", "execution_report"
"""The stages that are no tables of the lake: trained, judged, and the page."""
STAGE_VERSION = "stage_version"
"""Key of a model's manifest: the version of the stage that made it."""


class Grain(Enum):
    """What one partition holds: an asset's date, or a date of all assets."""

    ASSET_DATE = "asset and date"
    DATE = "date"


def _no_settings(universe: Universe) -> dict[str, Any]:
    return {}


def _of_no_partition(universe: Universe, asset: str, date: dt.date) -> dict[str, Any]:
    return {}


def _no_parts() -> tuple[str, ...]:
    return ()


@dataclass(frozen=True)
class Stage:
    """One stage.

    Args:
        name: of the stage, its asset and its table.
        description: one sentence.
        grain: what one partition holds.
        reads: what it is made from, in the order in which people would name it.
        kinds: what it is made with, as badges of the UI.
        seconds: estimate for one partition where nothing was measured: one ordinary core, a source on this machine.
        meaning: what a row of its table is.
        schema: of its table in the lake; None if it writes no such table.
        rules: gives those by which its rows are validated before they are written.
        words: what each column means.
        table: the dictionary's name of what it writes; if left out, the stage's own.
        settings: the sections and keys of the universe file on which its content depends.
        of_partition: what else the content of an asset's date depends on.
        outages: whether the outages that are listed over a partition are among what it is made with.
        parts: names of the pieces of code of which it consists; one more or one less makes another version.
        code_version: raised when the same input gives another output.
        ranges: whether one run makes any number of partitions; otherwise it makes one.
        ahead: whether there is a partition for the day after the data, as for what trades today.
    """

    name: str
    description: str
    grain: Grain
    reads: tuple[Reads, ...]
    kinds: tuple[str, ...]
    seconds: float
    meaning: str = ""
    schema: arrow.Schema | None = None
    rules: Callable[[], pa.DataFrameSchema] | None = None
    words: Mapping[str, Words] = field(default_factory=dict)
    table: str = ""
    settings: Callable[[Universe], dict[str, Any]] = _no_settings
    of_partition: Callable[[Universe, str, dt.date], dict[str, Any]] = _of_no_partition
    outages: bool = False
    parts: Callable[[], tuple[str, ...]] = _no_parts
    code_version: str = FIRST_VERSION
    ranges: bool = True
    ahead: bool = False

    @property
    def per_asset(self) -> bool:
        """Whether each asset has partitions of its own."""
        return self.grain is Grain.ASSET_DATE

    @property
    def version(self) -> str:
        """The code version, with a digest of the parts if it has any."""
        parts = self.parts()
        digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:8]
        return f"{self.code_version}-{digest}" if parts else self.code_version


def _bar(universe: Universe) -> dict[str, Any]:
    # What only judges bars (tolerances) changes no row that was made.
    return {"bar": universe.bar}


def _of_bars(universe: Universe) -> dict[str, Any]:
    absent = universe.source.capabilities.absent
    return _bar(universe) | ({"absent": absent} if absent != "missing" else {})


def _of_listing(universe: Universe, asset: str, date: dt.date) -> dict[str, Any]:
    """A day outside of the listing has no bars, whatever the source has."""
    return {} if is_listed(universe, asset, date) else {"listed": False}


def _of_source(universe: Universe, asset: str, date: dt.date) -> dict[str, Any]:
    return _of_listing(universe, asset, date) or series_of(universe, asset, date)


def _of_features(universe: Universe) -> dict[str, Any]:
    return {"bar": universe.bar, "features": universe.features.model_dump(mode="json")}


def _of_orders(universe: Universe) -> dict[str, Any]:
    orders = universe.backtest.model_dump(mode="json", include={"min_bars", "risk_aversion"})
    costs = universe.costs.model_dump(mode="json")
    return {"bar": universe.bar, "horizon": universe.horizon, "costs": costs} | orders


STAGES: tuple[Stage, ...] = (
    Stage(
        "raw_bars",
        "What the source answered, untouched, with file and row.",
        Grain.ASSET_DATE,
        reads=(),
        kinds=("parquet",),
        seconds=0.05,
        meaning="A row for each bar that the source has, in its order, with file and row. Rules are tested in `bars`. "
        "Rows that a source has revised stay under `superseded/raw_bars`.",
        schema=RAW_SCHEMA,
        words=RAW_WORDS,
        of_partition=_of_source,
    ),
    Stage(
        "bars",
        "Validated bars on a complete grid: VWAP, and a flag where there is none.",
        Grain.ASSET_DATE,
        reads=(Reads("raw_bars"),),
        kinds=("parquet", "pandera"),
        seconds=0.03,
        meaning="A row for each bar that the calendar expects, no more and no fewer: a gap that is not listed as an "
        "outage stops its day, nothing is filled in, and what the source has in a listed outage is left out.",
        schema=BARS_TABLE,
        rules=bars_rules,
        words=BARS_WORDS,
        settings=_of_bars,
        of_partition=_of_listing,
        outages=True,
    ),
    Stage(
        "features",
        "Causal features; trailing statistics reach back into earlier partitions.",
        Grain.ASSET_DATE,
        reads=(Reads("bars", first=lambda u: -feature_history_days(u)),),
        kinds=("parquet", "pandera"),
        seconds=0.05,
        meaning="A row for each bar, with what is known when it has closed. Features are dimensionless and clipped to "
        f"±{CLIP:g}.",
        schema=FEATURES_TABLE,
        rules=feature_rules,
        words=FEATURES_WORDS,
        settings=_of_features,
    ),
    Stage(
        "panel",
        "All assets' features of the date: what a model is trained on.",
        Grain.DATE,
        reads=(Reads("features"),),
        kinds=("parquet",),
        seconds=0.03,
        meaning="The `features` of all assets below each other, by asset and time.",
        schema=PANEL_SCHEMA,
        rules=feature_rules,
        words=PANEL_WORDS,
        settings=_bar,
    ),
    Stage(
        MODEL,
        "The Large Execution Model that may trade on this date.",
        Grain.DATE,
        # Trained on the first of them; its check of causality reads the days up to the date.
        reads=(Reads("panel", first=lambda u: -u.training.window_days, last=lambda u: -1),),
        kinds=("torch",),
        seconds=60.0,
        code_version="6",
        table="models",
        ranges=False,
        ahead=True,
    ),
    Stage(
        DECISION,
        "The promotion gate's decision: which model trades on this date, and why.",
        Grain.DATE,
        reads=(
            Reads(MODEL),
            Reads("panel", first=lambda u: -gate_days(u), last=lambda u: -1),
            Reads(DECISION, first=lambda u: -1, last=lambda u: -1),
        ),
        kinds=("sqlalchemy",),
        seconds=5.0,
        code_version="2",
        table="promotions",
        ahead=True,
    ),
    Stage(
        "backtest",
        "Orders that arrived on the date, executed by its champion and every rule.",
        Grain.ASSET_DATE,
        reads=(Reads("features", first=lambda u: -warmup_days(u), last=forward_days), Reads(DECISION)),
        kinds=("parquet",),
        seconds=1.0,
        meaning="A row for each order and strategy: every bar of the date an arrival, in eight scenarios, for every m.",
        schema=BACKTEST_SCHEMA,
        words=BACKTEST_WORDS,
        settings=_of_orders,
        parts=rule_names,
        code_version="4",
    ),
    Stage(
        REPORT,
        "What the desk reads: one page on the trailing orders, JSON and CSV beside it.",
        Grain.DATE,
        reads=(Reads("backtest", first=lambda u: 1 - u.backtest.report_days, own_date_only=True), Reads(DECISION)),
        kinds=("html",),
        seconds=20.0,
        table="report.csv",
        parts=section_names,
        code_version="5",
        ranges=False,
    ),
)
"""In the order in which they are made: each after all that it reads."""


def stage_named(name: str) -> Stage:
    """The stage of this name.

    Raises:
        LineageError: there is none.
    """
    for stage in STAGES:
        if stage.name == name:
            return stage
    raise LineageError(f"no stage {name!r}; allowed: {', '.join(stage.name for stage in STAGES)}")


def tables() -> list[Stage]:
    """The stages that write a table of the lake."""
    return [stage for stage in STAGES if stage.schema is not None]


def data_tables() -> list[Stage]:
    """The tables that depend on no model and no decision: what a backfill makes."""
    return [stage for stage in tables() if not _reads_decisions(stage)]


def judged_tables() -> list[Stage]:
    """The tables that depend on a decision, and so on which model traded."""
    return [stage for stage in tables() if _reads_decisions(stage)]


def _reads_decisions(stage: Stage) -> bool:
    others = [stage_named(read.stage) for read in stage.reads if read.stage != stage.name]
    return any(other.schema is None or _reads_decisions(other) for other in others)


def below(name: str) -> list[Stage]:
    """The stages that are made from a stage, directly or through others, in the order of `STAGES`."""
    found = [name]
    for stage in STAGES:
        if stage.name not in found and any(read.stage in found for read in stage.reads):
            found.append(stage.name)
    return [stage_named(one) for one in found[1:]]


def delay(universe: Universe, stage: Stage) -> int:
    """Number of partitions after its date for which a stage waits, for itself or for the stages that it reads."""
    others = [(read, stage_named(read.stage)) for read in stage.reads if read.stage != stage.name]
    return max([0, *(read.last(universe) + delay(universe, other) for read, other in others)])
