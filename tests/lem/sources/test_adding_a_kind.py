"""A new kind of source is its section, its module and one line in `KINDS`: everything else asks what it declares.

This file is that section and that module for a toy: the simulated market, asked through a kind of its own.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, ClassVar, Literal

import pytest
from pydantic import BaseModel, ConfigDict, create_model

from lem.errors import UniverseError
from lem.lake import Lake
from lem.sources import RAW_SCHEMA, Source, open_source
from lem.sources.simulated import Simulated
from lem.universe import Universe, load_universe
from lem.universe.calendars import partition_window
from lem.universe.source_config import KINDS, SimulatedConfig, any_kind
from lem.universe.source_section import Capabilities, SourceSection
from lem_pipeline.planning.revisits import readjust_steps, revisit_steps, revisited
from tests.lem.sources import test_contract

DATES = [dt.date(2024, 1, day) for day in range(2, 7)]
TODAY = dt.date(2024, 1, 7)
PROMISES = [test for name, test in vars(test_contract).items() if name.startswith("test_")]


class Inner(BaseModel):
    """A section within the section."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    loud: bool = False
    slow: bool = False


class ToyConfig(SourceSection):
    module: ClassVar[str] = __name__
    kind: Literal["toy"]
    seed: int = 0
    days: int = 2
    adjusts: bool = False
    inner: Inner | None = None

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(revisit_days=self.days, adjusts_history=self.adjusts, venue="toyland", utc_days=False)


def opened(universe: Universe, data_root: str, credentials: Mapping[str, str]) -> Source:
    assert isinstance(universe.source, ToyConfig)
    simulated = SimulatedConfig(kind="simulated", seed=universe.source.seed)
    return Simulated(universe.model_copy(update={"source": simulated}))


@pytest.fixture
def toy_universe(monkeypatch, tmp_path, tiny_keys, write_universe) -> Callable[..., Universe]:
    """`toy_universe(days=3)`: a universe of the toy kind, read from its file; the line in `KINDS` is there."""
    monkeypatch.setitem(KINDS, "toy", ToyConfig)
    # Made as the module makes it, now that the line is there.
    made = create_model("Universe", __base__=Universe, source=(any_kind(), ...))
    monkeypatch.setattr("lem.universe.universe.Universe", made)

    def make(**keys: Any) -> Universe:
        write_universe(tmp_path, tiny_keys(bar="1h", source={"kind": "toy", **keys}, assets=ASSETS))
        return load_universe(tmp_path / "tiny.toml")

    return make


ASSETS: dict[str, dict[str, Any]] = {"AAA-USD": {}, "BBB-USD": {}}


@pytest.fixture
def case(toy_universe) -> tuple[Universe, Source]:
    universe = toy_universe(seed=7)
    return universe, open_source(universe, "")


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)
def test_a_new_kind_is_held_to_what_every_source_promises(promise, case):
    promise(case)


def test_the_plan_revisits_as_many_days_as_a_new_kind_declares(toy_universe, case, tmp_path):
    assert revisited(toy_universe(days=3), DATES, TODAY) == DATES[-3:]
    assert revisited(toy_universe(days=0), DATES, TODAY) == []
    universe, lake = toy_universe(days=2), Lake(str(tmp_path / "lake"))
    for date in DATES:
        rows = case[1].fetch("AAA-USD", *partition_window(date)).table
        lake.write_table(lake.path(universe.name, "raw_bars", date, "AAA-USD"), rows, RAW_SCHEMA)
    steps = revisit_steps(lake, universe, DATES, TODAY)
    assert [step.text for step in steps] == ["raw_bars  AAA-USD|2024-01-05 ... AAA-USD|2024-01-06"]


def test_a_history_is_compared_with_the_source_only_where_a_new_kind_declares_that_it_changes(
    toy_universe, tmp_path, monkeypatch
):
    asked = []
    monkeypatch.setattr("lem_pipeline.planning.revisits.open_source", lambda *given: asked.append(given))
    for adjusts in (False, True):
        assert readjust_steps(Lake(str(tmp_path / "lake")), toy_universe(adjusts=adjusts), "", TODAY) == []
        assert len(asked) == adjusts


def test_a_wrong_key_of_a_new_kind_is_told_with_those_that_are_allowed(toy_universe):
    with pytest.raises(
        UniverseError, match=r"source.sed: unknown key .did you mean 'seed'..; allowed: .*adjusts, days"
    ):
        toy_universe(sed=1)
    with pytest.raises(
        UniverseError, match=r"source.inner.lod: unknown key .did you mean 'loud'..; allowed: loud, slow"
    ):
        toy_universe(inner={"lod": True})
    with pytest.raises(UniverseError, match=r"does not match any of the expected tags: .*'yfinance', 'toy'"):
        toy_universe(kind="toi")


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_kind_declares_what_it_can_and_names_a_module_that_opens_it(kind):
    section = KINDS[kind]
    assert section.model_fields["kind"].annotation == Literal[kind]
    assert not section.__abstractmethods__
    assert callable(import_module(section.module).opened)
