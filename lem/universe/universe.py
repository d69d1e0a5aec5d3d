"""A universe: which assets trade where, on which bars, with which horizon, and what is trained on them.

A universe is one TOML file. Every section is a frozen pydantic model that refuses unknown keys: a typing error is found
when the file is read, not after the night's run. Adding an asset is one line in the file.
"""

from __future__ import annotations

import datetime as dt
import difflib
import os
import tomllib
from pathlib import Path
from typing import Annotated, Any, get_args

from pydantic import BaseModel, Field, ValidationError, model_validator

from lem.errors import UniverseError
from lem.execution.costs_config import CostsConfig
from lem.late import pd
from lem.universe.assets import SYMBOL, Asset, Outage, Section
from lem.universe.backtest_config import BacktestConfig, GateConfig
from lem.universe.bar_clock import BarClock
from lem.universe.drift_config import DriftConfig
from lem.universe.exchanges import calendar_problem, zone_of
from lem.universe.features_config import FeatureConfig
from lem.universe.instruments import ignored_names, shared_places
from lem.universe.model_config import ModelConfig
from lem.universe.night_hours import NightConfig, NightHours, night_of, night_problem
from lem.universe.session_bars import divides_sessions, most_bars
from lem.universe.source_config import KINDS, SourceConfig
from lem.universe.source_section import BarLength
from lem.universe.training_config import TrainingConfig


def _length(bar: BarLength) -> pd.Timedelta:
    return pd.Timedelta(1, "D") if bar == "1d" else pd.Timedelta(bar)


_MINUTES: dict[BarLength, int] = {
    "1min": 1,
    "5min": 5,
    "15min": 15,
    "30min": 30,
    "1h": 60,
    "2h": 120,
    "4h": 240,
    "1d": 1440,
}


class Universe(Section):
    """A set of assets that share calendar, bar length, horizon and model. See `universes/*.toml` for examples.

    Args:
        calendar: `24/7`, or the name of an exchange in exchange-calendars (`XNYS`).
        name: the key prefix and group of its assets in the graph; must equal the file's name.
        start: first UTC date with data.
        end: last UTC date with data, inclusive; if left out, yesterday.
        bar: bar length; on an exchange, `1d` is one bar a session and up to `1h` divides it from its open on.
        horizon: the longest order, in bars (N, at least 2).
        settle_days: days after an asset's listing that are left out: a market's first prices mean little.
    """

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    description: str = ""
    calendar: str = "24/7"
    bar: BarLength = "1h"
    start: dt.date
    end: dt.date | None = None
    horizon: Annotated[int, Field(ge=2, le=500)] = 12
    settle_days: Annotated[int, Field(ge=0, le=366)] = 3
    source: SourceConfig
    assets: dict[str, Asset] = Field(min_length=1)
    outages: tuple[Outage, ...] = ()
    features: FeatureConfig = FeatureConfig()
    model: ModelConfig = ModelConfig()
    training: TrainingConfig = TrainingConfig()
    gate: GateConfig = GateConfig()
    backtest: BacktestConfig = BacktestConfig()
    costs: CostsConfig = CostsConfig()
    drift: DriftConfig = DriftConfig()
    night: NightConfig = NightConfig()

    @model_validator(mode="after")
    def _consistent(self) -> Universe:
        known = ", ".join(sorted(self.assets))
        problems = [
            f"assets: {symbol!r} is not a canonical symbol; allowed: capitals, digits and dots, "
            "optionally a quote currency behind one dash (BTC-USDT, BRK.B)"
            for symbol in self.assets
            if not SYMBOL.fullmatch(symbol)
        ]
        problems += [
            f"outages.{row}.assets: unknown symbol {symbol!r}; allowed: {known}"
            for row, outage in enumerate(self.outages)
            for symbol in outage.assets or ()
            if symbol not in self.assets
        ]
        problems += [*ignored_names(self.source, self.assets), *shared_places(self.source, self.assets)]
        if self.end is not None and self.end < self.start:
            problems.append(f"end: {self.end} lies before start {self.start}")
        if self.bar == "1d" and self.calendar == "24/7" and not self.source.capabilities.utc_days:
            problems.append(f"bar: the {self.source.kind} source has no daily bars; allowed: an intraday bar length")
        if self.calendar != "24/7" and self.bar in ("2h", "4h"):
            problems.append(
                f"bar: {self.bar!r} on calendar {self.calendar}; allowed there: '1d', or a length up to '1h'"
            )
        no_calendar = calendar_problem(self.calendar, self.start)
        if no_calendar:
            raise ValueError("\n".join([*problems, f"calendar: {no_calendar}"]))
        if not self._made_from_the_source:
            problems.append(
                f"source.bar: bars of {self.source_bar} cannot be made into bars of {self.bar} on calendar "
                f"{self.calendar}; allowed: a length that divides it, where it divides each session, or the same"
            )
        if getattr(self.source, "outside_sessions", "refuse") != "refuse" and not self.in_sessions:
            problems.append(
                f"source.outside_sessions: {self.bar} bars on {self.calendar} have no sessions with bars around them; "
                "allowed: no such key"
            )
        bad = sorted({m for m in self.backtest.min_bars if not 1 <= m <= self.horizon})
        if bad:
            problems.append(f"backtest.min_bars: {bad} with horizon {self.horizon}; allowed: 1 to {self.horizon}")
        limits = self.backtest.min_bars
        if twice := sorted({m for m in limits if limits.count(m) > 1}):
            problems.append(f"backtest.min_bars: {twice} twice; allowed: each once")
        if not limits:
            problems.append("backtest.min_bars: none; allowed: one or more, each once")
        if too_large := self.costs.size_problem(self.horizon):
            problems.append(f"costs.order_size: {too_large}")
        needed = self.model.warmup + self.horizon + 1
        if self.training.sequence < needed:
            problems.append(
                f"training.sequence: {self.training.sequence} bars cannot hold model.warmup {self.model.warmup} "
                f"+ horizon {self.horizon} + 1 arrival; allowed: {needed} or more"
            )
        if self.training.window_days * self.bars_per_day < self.training.sequence:
            problems.append(
                f"training.window_days: {self.training.window_days} days hold "
                f"{self.training.window_days * self.bars_per_day} bars, fewer than one training.sequence of "
                f"{self.training.sequence}"
            )
        if self.training.window_days <= self.training.holdout_days + self.purge_days:
            problems.append(
                f"training.holdout_days: {self.training.holdout_days} plus a purge of {self.purge_days} leave "
                f"nothing of training.window_days {self.training.window_days}; allowed: less than the window"
            )
        if self.drift.max_age is not None and self.drift.max_age < self._regular_age:
            problems.append(
                f"drift.max_age: {self.drift.max_age} partitions; with training.holdout_days, a purge of "
                f"{self.purge_days} and training.retrain_every a model is regularly {self._regular_age} old; allowed: "
                f"{self._regular_age} or more"
            )
        if no_hour := night_problem(self.calendar, self.night):
            problems.append(f"night.at: {no_hour}")
        if problems:
            raise ValueError("\n".join(problems))
        return self

    @property
    def night_begins(self) -> NightHours:
        """When the night begins, as cron schedules and their time zone."""
        return night_of(self.calendar, self.night)

    @property
    def symbols(self) -> list[str]:
        """Canonical symbols, sorted: the one order in which every stage reads them."""
        return sorted(self.assets)

    @property
    def bar_length(self) -> pd.Timedelta:
        """Length of a bar of the universe."""
        return _length(self.bar)

    @property
    def source_bar(self) -> BarLength:
        """Length of the bars that the source gives, which is the universe's or divides it."""
        return self.source.capabilities.bar or self.bar

    @property
    def source_bar_length(self) -> pd.Timedelta:
        """Length of a bar of the source."""
        return _length(self.source_bar)

    @property
    def bars_per_day(self) -> int:
        """Bars of a full day (24/7), or of the longest session from `start` on."""
        if self.in_sessions:
            return most_bars(self.calendar, self.bar_length, self.start, self.end)
        return _MINUTES["1d"] // _MINUTES[self.bar]

    @property
    def in_sessions(self) -> bool:
        """Whether an exchange's sessions have several bars."""
        return self.calendar != "24/7" and self.bar != "1d"

    @property
    def daily_sessions(self) -> bool:
        """Whether each of an exchange's sessions is one bar."""
        return self.calendar != "24/7" and self.bar == "1d"

    @property
    def clock(self) -> BarClock:
        """The clock by which the bars come."""
        if not self.in_sessions:
            return BarClock(self.bars_per_day)
        return BarClock(self.bars_per_day, zone_of(self.calendar), self.calendar, self.bar_length)

    @property
    def _made_from_the_source(self) -> bool:
        """Whether the universe's bars are the source's, or a whole number of them each."""
        if self.source_bar == self.bar:
            return True
        exact = _MINUTES[self.bar] % _MINUTES[self.source_bar] == 0
        whole = not self.in_sessions or divides_sessions(self.calendar, self.bar_length, self.start)
        return exact and whole and not self.daily_sessions

    @property
    def purge_days(self) -> int:
        """Partitions between training and holdout: an order that arrives before them ends before the holdout."""
        # A half day among them has fewer bars than others.
        return -(-self.horizon // self.bars_per_day) + self.in_sessions

    @property
    def _regular_age(self) -> int:
        """Age of a model on its last day, in partitions since its training, if its successor is promoted."""
        return self.training.holdout_days + self.purge_days + self.training.retrain_every - 1

    @property
    def max_model_age(self) -> int:
        """A champion above this age is old: `drift.max_age`, or else twice the regular age on a model's last day.

        Ages are in partitions since the last day of training.
        """
        return self.drift.max_age or 2 * self._regular_age

    def check_symbol(self, symbol: str) -> str:
        """Return `symbol` if the universe has it.

        Raises:
            UniverseError: unknown symbol; the message offers the nearest ones.
        """
        if symbol in self.assets:
            return symbol
        near = difflib.get_close_matches(symbol, self.symbols, n=3)
        hint = f"did you mean {' or '.join(near)}? " if near else ""
        raise UniverseError(f"universe {self.name!r} has no asset {symbol!r}: {hint}allowed: {', '.join(self.symbols)}")


def _explain(path: Path, error: ValidationError, model: type[BaseModel]) -> str:
    lines = [f"{path}: {error.error_count()} problem(s) in this universe file"]
    for item in error.errors():
        key, text = _shown(item["loc"]) or "(file)", item["msg"].removeprefix("Value error, ")
        if item["type"] == "extra_forbidden":
            allowed = _allowed_keys(model, item["loc"][:-1])
            near = difflib.get_close_matches(str(item["loc"][-1]), allowed, n=1)
            hint = f" (did you mean {near[0]!r}?)" if near else ""
            text = f"unknown key{hint}; allowed: {', '.join(allowed)}"
        elif item["type"] == "union_tag_not_found":
            key, text = f"{key}.kind", f"this key is required; allowed: {', '.join(map(repr, KINDS))}"
        elif item["type"] != "value_error":
            text = f"{text}, not {item['input']!r}" if item["type"] != "missing" else "this key is required"
        lines += [f"  {key}: {line}" if key != "(file)" else f"  {line}" for line in text.splitlines()]
    return "\n".join(lines)


def _shown(loc: tuple[Any, ...]) -> str:
    """The key as it stands in the file: pydantic puts the kind of source between `source` and its keys."""
    return ".".join(str(part) for i, part in enumerate(loc) if i != 1 or loc[0] != "source")


def _section_of(annotation: Any) -> type[BaseModel] | None:
    """The section that a key's value is, or is a list or a table of; None where it is none."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _section_of(part))), None)


def _allowed_keys(model: type[BaseModel], loc: tuple[Any, ...]) -> list[str]:
    """The keys of the section that `loc` names, found by walking the models' fields."""
    section: Any = model
    for part in loc:
        if part in KINDS:
            section = KINDS[part]
            continue
        field = getattr(section, "model_fields", {}).get(part)
        if field is None:
            continue  # an index or a symbol: the section stays the one of the enclosing table
        section = _section_of(field.annotation)
    return sorted(getattr(section, "model_fields", {}))


def load_universe(path: str | os.PathLike[str]) -> Universe:
    """Read one universe file.

    Raises:
        UniverseError: the file is missing, cannot be read, is not TOML, or breaks a rule; the message names file,
            key and what is allowed.
    """
    path = Path(path)
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        there = sorted(p.stem for p in path.parent.glob("*.toml")) if path.parent.is_dir() else []
        raise UniverseError(f"{path}: no such universe file; there are: {', '.join(there) or 'none'}") from None
    except OSError as error:
        raise UniverseError(f"{path}: cannot be read: {error.strerror}; allowed: a file this user may read") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UniverseError(f"{path}: not valid TOML: {error}") from error
    try:
        universe = Universe.model_validate(raw)
    except ValidationError as error:
        raise UniverseError(_explain(path, error, Universe)) from error
    if universe.name != path.stem:
        raise UniverseError(f"{path}: name: {universe.name!r} must equal the file's name {path.stem!r}")
    return universe


def load_universes(folder: str | os.PathLike[str]) -> dict[str, Universe]:
    """Read every `*.toml` of a folder, by name, sorted.

    Raises:
        UniverseError: the folder holds no universe file, or one of them is wrong.
    """
    paths = sorted(Path(folder).glob("*.toml"))
    if not paths:
        raise UniverseError(f"{folder}: no universe files (*.toml) in this folder")
    return {universe.name: universe for universe in map(load_universe, paths)}
