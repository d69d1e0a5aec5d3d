from __future__ import annotations

import datetime as dt

import pytest
import torch

from lem.data.panel import PANEL_SCHEMA
from lem.errors import LakeError, TrainingError
from lem.model.contender import load_contender
from lem.model.lem import weights_hash
from lem.training.manifest import curve_path
from lem.training.nightly import train_for
from lem.universe.calendars import partition_dates
from lem.universe.windows import dates_before, training_window
from tests.lem.training.conftest import DATE


def test_a_night_leaves_weights_a_curve_and_a_record_that_names_its_inputs(lake, registry, universe):
    night = train_for(lake, registry, universe, DATE)
    record, window = night.record, training_window(universe, DATE)
    assert registry.candidate(universe.name, DATE) == record
    assert (record.train_start, record.train_end, record.usable_on) == (window.start, window.train_end, DATE)
    read = dates_before(universe, window.start, window.train_end)
    assert [one.partition_key for one in sorted(record.inputs)] == [str(d) for d in read]
    assert all(d < window.train_end < window.gate_start for d in read)
    assert record.weights_sha256 == weights_hash(night.trained.model.weights())
    contender = load_contender(lake, record)
    assert (contender.model_id, contender.train_end) == (record.id, window.train_end)
    for name, value in night.trained.model.state_dict().items():
        assert torch.equal(contender.model.state_dict()[name], value)
    assert len(lake.read_table(curve_path(universe.name, record.id))) == len(night.trained.curve)


def test_the_same_night_twice_gives_the_same_model(lake, registry, universe):
    one, two = (train_for(lake, registry, universe, DATE).record for _ in range(2))
    assert one.id == two.id
    assert registry.candidate(universe.name, DATE) == one


def test_later_data_and_the_holdout_change_no_model(lake, registry, universe):
    before = train_for(lake, registry, universe, DATE).record
    window = training_window(universe, DATE)
    for date in partition_dates(universe, window.train_end, DATE):
        path = lake.path(universe.name, "panel", date)
        table = lake.read_table(path)
        lake.write_table(path, table.assign(vwap=table["vwap"] * 1.1, ret=0.0), PANEL_SCHEMA)
    assert train_for(lake, registry, universe, DATE).record.id == before.id


def test_an_incomplete_window_is_refused_with_every_missing_partition(lake, registry, universe):
    window = training_window(universe, DATE)
    lost = [window.start, window.start + dt.timedelta(days=2), window.train_end - dt.timedelta(days=1)]
    for date in lost:
        lake.fs.rm(f"{lake.root}/{lake.path(universe.name, 'panel', date)}")
    with pytest.raises(TrainingError) as error:
        train_for(lake, registry, universe, DATE)
    text = str(error.value)
    assert f"{universe.name}/lem_model {DATE}: 3 of 5 partitions" in text
    assert ", ".join(map(str, lost)) in text
    assert f"lem backfill --universe {universe.name} --from {lost[0]} --to {lost[-1]}" in text
    assert registry.candidate(universe.name, DATE) is None


def test_a_window_that_begins_before_the_universe_is_refused(lake, registry, universe):
    with pytest.raises(TrainingError, match="the window starts on 2023-12-28, the universe on 2024-01-01; allowed"):
        train_for(lake, registry, universe, dt.date(2024, 1, 5))


def test_weights_that_were_changed_or_are_gone_are_refused(lake, registry, universe):
    record = train_for(lake, registry, universe, DATE).record
    weights = lake.read_bytes(record.weights_path)
    lake.write_bytes(record.weights_path, weights[:-1] + bytes([weights[-1] ^ 1]))
    with pytest.raises(LakeError, match="the object was changed, refused"):
        load_contender(lake, record)
    lake.fs.rm(f"{lake.root}/{record.weights_path}")
    with pytest.raises(LakeError, match="there is no small/weights"):
        load_contender(lake, record)


def test_a_run_that_dies_before_the_record_leaves_no_candidate(lake, registry, universe, monkeypatch):
    def dies(*_args):
        raise KeyboardInterrupt

    monkeypatch.setattr(registry, "add_model", dies)
    with pytest.raises(KeyboardInterrupt):
        train_for(lake, registry, universe, DATE)
    monkeypatch.undo()
    assert registry.candidate(universe.name, DATE) is None
    train_for(lake, registry, universe, DATE)
    assert registry.candidate(universe.name, DATE) is not None
