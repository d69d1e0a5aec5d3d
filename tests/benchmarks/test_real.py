from __future__ import annotations

import datetime as dt
import json
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import ablation, bound, peek, real
from benchmarks.evaluate import Arrivals, Gains
from lem.data.features import FEATURES
from lem.universe.calendars import expected_grid, partition_dates
from tests.lem.builders import TINY, brownian_panel, lively_model

DAYS = np.repeat(np.arange("2024-01-01", "2024-01-21", dtype="datetime64[D]"), 5)
ORDERS = Arrivals(np.zeros(100, int), np.arange(100), DAYS, np.full(100, 50.0))


def gains_of(values: np.ndarray) -> Gains:
    wide = np.broadcast_to(values[:, None, None], (len(values), 12, 8)).astype(np.float32)
    return Gains(wide, wide - 1.0)


def test_statistics_are_means_over_seeds_and_paired_differences_of_the_same_orders():
    rng = np.random.default_rng(0)
    rival = rng.normal(10.0, 4.0, 100)
    seeds = [gains_of(rival / 2 + 7.0), gains_of(rival / 2 + 9.0)]
    together, apart = real.statistics("here", ORDERS, {"optimal_stopping": [gains_of(rival)], "lem": seeds}, 1)
    assert len(together) == 2 * 12
    assert len(apart) == 2 * 12 * 8
    lem = next(row for row in together if row["strategy"] == "lem" and row["m"] == 6)
    assert lem["mean_bps"] == pytest.approx(rival.mean() / 2 + 8.0, abs=1e-4)
    assert lem["seeds_sd"] == pytest.approx(np.sqrt(2.0), abs=1e-4)
    assert lem["net_bps"] == pytest.approx(lem["mean_bps"] - 1.0, abs=1e-4)
    assert lem["mean_sigma"] == pytest.approx(lem["mean_bps"] / 50.0, abs=1e-5)
    assert lem["difference"] == pytest.approx(8.0 - rival.mean() / 2, abs=1e-4)
    assert lem["low"] < lem["difference"] < lem["high"]
    assert lem["blocks"] == 20
    assert lem["sd_ratio"] == pytest.approx(0.5, abs=1e-4)
    assert (lem["means_ahead"], lem["sds_below"]) == (8, 8)
    rule = next(row for row in together if row["strategy"] == "optimal_stopping")
    assert (rule["difference"], rule["sd_ratio"], rule["sds_below"]) == (0.0, 1.0, 0)


def test_shifted_features_are_those_of_another_bar_and_the_tape_stays():
    panel = brownian_panel(6)
    early, late = peek.shifted(panel, 1), peek.shifted(panel, -1)
    both = panel.valid_NT[:, 1:] & panel.valid_NT[:, :-1]
    np.testing.assert_array_equal(early.features_NTF[:, :-1][both], panel.features_NTF[:, 1:][both])
    np.testing.assert_array_equal(late.features_NTF[:, 1:][both], panel.features_NTF[:, :-1][both])
    for moved in (early, late):
        assert moved.vwap_NT is panel.vwap_NT
        assert not (moved.valid_NT & ~panel.valid_NT).any()


def test_the_proof_finds_the_early_model_and_not_the_shipped_one():
    panel, model = brownian_panel(8, assets=2), lively_model(TINY)
    assert peek.leaks(model, panel, 0) == 0
    assert peek.leaks(model, panel, 1) > 0


def test_a_feature_left_out_is_zero_everywhere_and_only_that_one():
    panel = brownian_panel(6)
    less = ablation.without(panel, ("close_to_vwap",))
    column = FEATURES.index("close_to_vwap")
    assert (less.features_NTF[..., column] == 0).all()
    others = [i for i in range(len(FEATURES)) if i != column]
    np.testing.assert_array_equal(less.features_NTF[..., others], panel.features_NTF[..., others])


def test_the_share_of_the_bound_is_a_mean_over_seeds():
    row = {"side": "buy", "m": 6, "bound": 0.3, "standard_error": 0.003}
    rows = [row | {"gain": 0.27}, row | {"gain": 0.30}]
    every = rows + [r | {"side": side, "m": m} for r in rows for side in ("buy", "sell") for m in range(1, 13)]
    found = next(r for r in bound.over_seeds(every[2:]) if r["side"] == "buy" and r["m"] == 6)
    assert found["share"] == pytest.approx(0.95)
    assert found["standard_error"] == pytest.approx(0.003 / np.sqrt(2))
    assert next(r for r in bound.over_seeds(every[2:]) if r["m"] == 12)["share"] is None


def test_without_real_bars_nothing_is_measured_and_it_says_so(monkeypatch, capsys):
    monkeypatch.delenv("LEM_DATA", raising=False)
    for benchmark in (real, peek, ablation):
        benchmark.main([])
        assert "LEM_DATA is not set" in capsys.readouterr().out


@pytest.mark.parametrize("split", [split.quick() for split in real.SPLITS], ids=lambda split: split.name)
def test_a_smoke_run_has_the_bars_of_a_training_sequence_behind_those_that_features_read(split):
    universe = real.real_universe(split.universe, split.start, split.test_end)
    dates = partition_dates(universe, split.start, split.train_end - dt.timedelta(days=1))
    bars = len(expected_grid(universe, universe.symbols[0], dates)[0])
    assert bars - universe.features.history(universe.bars_per_day) > split.training.sequence


@pytest.mark.slow
@pytest.mark.parametrize(("name", "market"), [("real", "crypto"), ("real", "dow"), ("peek", ""), ("ablation", "")])
def test_a_smoke_run_ends_in_a_table_and_a_file(name, market, shared_data, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("LEM_DATA", str(shared_data("dow_1d" if market == "dow" else "crypto_1h").parent))
    out = tmp_path / "out.json"
    arguments = ["--quick", "--jobs", "1", "--out", str(out)] + (["--market", market] if market else [])
    SimpleNamespace(real=real, peek=peek, ablation=ablation).__dict__[name].main(arguments)
    document = json.loads(out.read_text())
    assert document["smoke"]
    assert document["rows"]
    assert "SMOKE RUN" in capsys.readouterr().out
