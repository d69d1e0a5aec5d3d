"""What a benchmark on real bars is trained on and tested on: the shipped splits, or one from a file.

A split file is TOML:

    universe = "mine.toml"              # a universe file beside it, or the name of a shipped universe
    train = [2018-07-01, 2021-04-01]    # first date, first date after
    test = [2021-07-01, 2022-06-29]     # likewise; not before the training ends
    unseen = ["BNB-USDT"]               # assets of the universe that are tested and not trained on (may be left out)
    block_days = 1                      # days of one bootstrap block, at least as many as one order may last

The universe file says where the bars are, which assets there are, what trading costs and how the model is made.
"""

from __future__ import annotations

import datetime as dt
import tomllib
from dataclasses import dataclass, field, replace
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from benchmarks.common import BenchmarkError
from benchmarks.markets import UNIVERSES, real_universe
from lem.universe import Universe, load_universe
from lem.universe.training_config import TrainingConfig

HORIZON = 12


@dataclass(frozen=True)
class Split:
    """A market with its training and test periods, and how the model is trained for it.

    Args:
        name: shown in the table.
        universe: the assets of training and test, over all dates that are read.
        train_end: first date after training.
        test_start: first date of the test.
        test_end: first date after the test.
        training: how the model is trained.
        seen: assets of the training; if empty, all.
        unseen: assets of the test alone.
        block_days: days of one bootstrap block, at least as many as one order may last.
        quick_days: days before the test that a smoke run reads; they hold more bars than one training sequence.
    """

    name: str
    universe: Universe
    train_end: dt.date
    test_start: dt.date
    test_end: dt.date
    training: TrainingConfig = field(default_factory=TrainingConfig)
    seen: tuple[str, ...] = ()
    unseen: tuple[str, ...] = ()
    block_days: int = 1
    quick_days: int = 120

    def quick(self) -> Split:
        """The same in small, for a smoke run: some months, two assets of those that are told apart, five steps."""
        seen, unseen = self.seen[:2], self.unseen[:1]
        end = min(self.test_end, self.test_start + dt.timedelta(days=40))
        changes: dict[str, object] = {"start": self.test_start - dt.timedelta(days=self.quick_days), "end": end}
        if seen:
            changes["assets"] = {name: self.universe.assets[name] for name in seen + unseen}
        return replace(
            self,
            universe=Universe.model_validate(self.universe.model_dump() | changes),
            train_end=self.test_start,
            test_end=end,
            training=self.training.model_copy(update={"steps": 5}),
            seen=seen,
            unseen=unseen,
        )


SEEN = ("BTC-USDT", "ETH-USDT", "XRP-USDT", "ADA-USDT", "LTC-USDT", "LINK-USDT")
UNSEEN = ("BNB-USDT", "ETC-USDT", "TRX-USDT", "XLM-USDT")


def shipped_splits() -> tuple[Split, ...]:
    """Crypto: six pairs of training, a year later four more. Dow: daily bars, trained to the end of 2018."""
    crypto_end, dow_end = dt.date(2022, 6, 29), dt.date(2024, 3, 8)
    return (
        Split(
            "crypto",
            real_universe("crypto", dt.date(2018, 7, 1), crypto_end, SEEN + UNSEEN),
            dt.date(2021, 4, 1),
            dt.date(2021, 7, 1),
            crypto_end,
            seen=SEEN,
            unseen=UNSEEN,
        ),
        Split(
            "dow",
            real_universe("dow", dt.date(2004, 7, 1), dow_end),
            dt.date(2019, 1, 1),
            dt.date(2019, 1, 1),
            dow_end,
            TrainingConfig(batch=24, sequence=96, steps=400),
            block_days=HORIZON,
            quick_days=400,
        ),
    )


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    universe: str
    train: tuple[dt.date, dt.date]
    test: tuple[dt.date, dt.date]
    unseen: tuple[str, ...] = ()
    block_days: int = Field(default=1, ge=1)


def read_split(path: Path) -> Split:
    """The split of a file.

    Raises:
        BenchmarkError: the file cannot be read, a key is wrong, dates are out of order, or an asset is unknown.
        UniverseError: the universe file is missing or wrong.
    """
    try:
        said = _File.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BenchmarkError(f"--split {path}: {error}; allowed: a TOML file") from error
    except ValidationError as error:
        first = error.errors()[0]
        raise BenchmarkError(
            f"--split {path}: {'.'.join(map(str, first['loc']))}: {first['msg']}; allowed: universe, train and test "
            "as [first date, first date after], unseen, block_days"
        ) from error
    (start, train_end), (test_start, test_end) = said.train, said.test
    if not start < train_end <= test_start < test_end:
        raise BenchmarkError(
            f"--split {path}: train [{start}, {train_end}), test [{test_start}, {test_end}); allowed: dates in this "
            "order, so that nothing is tested that was trained on"
        )
    named = UNIVERSES / f"{said.universe}.toml"
    universe = load_universe(named if named.exists() else path.parent / said.universe)
    if unknown := sorted(set(said.unseen) - set(universe.symbols)):
        raise BenchmarkError(
            f"--split {path}: unseen {', '.join(unknown)}; allowed: {', '.join(universe.symbols)} of {universe.name}"
        )
    whole = Universe.model_validate(universe.model_dump() | {"start": start, "end": test_end})
    seen = tuple(name for name in universe.symbols if name not in said.unseen)
    return Split(
        path.stem,
        whole,
        train_end,
        test_start,
        test_end,
        universe.training,
        seen=seen if said.unseen else (),
        unseen=said.unseen,
        block_days=said.block_days,
    )
