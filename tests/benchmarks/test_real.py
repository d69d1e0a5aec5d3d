from __future__ import annotations

import datetime as dt
import json
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import ablation, bound, peek, real, sizes
from benchmarks.common import BenchmarkError
from benchmarks.evaluate import Arrivals, Gains
from benchmarks.markets import UNIVERSES
from benchmarks.splits import read_split, shipped_splits
from lem.data.features import FEATURES
from lem.universe.calendars import expected_grid, partition_dates
from tests.lem.builders import TINY, brownian_panel, lively_model

DAYS = np.repeat(np.arange("2024-01-01", "2024-01-21", dtype="datetime64[D]"), 5)
ORDERS = Arrivals(np.zeros(100, int), np.arange(100), DAYS, np.full(100, 50.0))


def gains_of(values: np.ndarray) -> Gains:
    wide = np.broadcast_to(values[:, None, None], (len(values), len(real.MIN_BARS), 8)).astype(np.float32)
    return Gains(wide, wide - 1.0)


def test_statistics_are_means_over_seeds_and_differences_at_no_larger_risk():
    rng = np.random.default_rng(0)
    rival = rng.normal(10.0, 4.0, 100)
    calm, wild = [gains_of(rival / 2 + 7.0), gains_of(rival / 2 + 9.0)], [gains_of(2 * rival), gains_of(2 * rival)]
    by_seed = {"twap": [gains_of(rival)], "lem, lambda 1": calm, "lem, lambda 0": wild}
    rows, ahead = real.statistics("here", ORDERS, by_seed, 1)
    assert len(rows) == 3 * len(real.MIN_BARS)
    lem = next(row for row in rows if row["strategy"] == "lem, lambda 1" and row["m"] == 6)
    assert lem["mean_bps"] == pytest.approx(rival.mean() / 2 + 8.0, abs=1e-4)
    assert lem["seeds_sd"] == pytest.approx(np.sqrt(2.0), abs=1e-4)
    assert lem["net_bps"] == pytest.approx(lem["mean_bps"] - 1.0, abs=1e-4)
    assert lem["net_sd_bps"] == pytest.approx(rival.std() / 2, abs=1e-4)
    assert lem["net_sigma"] == pytest.approx(lem["net_bps"] / 50.0, abs=1e-5)
    assert lem["dominated"] == 0
    # The wild model gains more, but at a larger sd than the rule's: the calm one is compared.
    assert [(row["m"], row["rule"], row["model"]) for row in ahead] == [
        (m, "twap", "lem, lambda 1") for m in (1, 3, 6, 9, 11)
    ]
    assert ahead[0]["difference"] == pytest.approx(8.0 - rival.mean() / 2, abs=1e-4)
    assert ahead[0]["low"] < ahead[0]["difference"] < ahead[0]["high"]
    assert (ahead[0]["blocks"], ahead[0]["comparisons"]) == (20, 5)


def test_a_model_is_dominated_by_a_rule_with_as_high_a_mean_at_as_low_an_sd():
    rng = np.random.default_rng(0)
    values = rng.normal(10.0, 4.0, 100)
    by_seed = {"twap": [gains_of(values)], "lem, lambda 1": [gains_of(1.5 * (values - values.mean()) + 9.0)]}
    rows, ahead = real.statistics("here", ORDERS, by_seed, 1)
    assert {row["dominated"] for row in rows if row["strategy"] == "lem, lambda 1"} == {1}
    assert ahead == [], "at no larger risk there is no model"


SPLIT = """
universe = "mine.toml"
train = [2020-05-01, 2021-01-01]
test = [2021-02-01, 2021-06-01]
unseen = ["LTC-USDT"]
"""


def write_split(folder, text: str = SPLIT):
    crypto = (UNIVERSES / "crypto.toml").read_text()
    (folder / "mine.toml").write_text(crypto.replace('name = "crypto"', 'name = "mine"'))
    (folder / "own.toml").write_text(text)
    return folder / "own.toml"


def test_a_split_comes_from_a_file_and_the_universe_beside_it(tmp_path):
    split = read_split(write_split(tmp_path))
    assert (split.name, split.universe.start, split.universe.end) == ("own", dt.date(2020, 5, 1), dt.date(2021, 6, 1))
    assert (split.train_end, split.test_start) == (dt.date(2021, 1, 1), dt.date(2021, 2, 1))
    assert split.unseen == ("LTC-USDT",)
    assert split.seen == ("ADA-USDT", "BTC-USDT", "ETH-USDT", "LINK-USDT", "XRP-USDT")
    assert split.training == split.universe.training


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("2021-02-01", "2020-12-01", "allowed: dates in this order"),
        ('["LTC-USDT"]', '["DOGE-USDT"]', "unseen DOGE-USDT; allowed: ADA-USDT, BTC-USDT"),
        ("unseen", "unsen", "unsen: Extra inputs are not permitted; allowed: universe, train and test"),
        ("train =", "train", "allowed: a TOML file"),
    ],
)
def test_a_wrong_split_file_is_refused_and_says_what_is_allowed(tmp_path, old, new, said):
    with pytest.raises(BenchmarkError, match=said):
        read_split(write_split(tmp_path, SPLIT.replace(old, new, 1)))


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
    row = {"side": "buy", "m": 6, "bound": 0.3, "standard_error": 0.003, "net_gain": 0.19, "net_rule": 0.2}
    rows = [row | {"gain": 0.27}, row | {"gain": 0.30}]
    every = rows + [r | {"side": side, "m": m} for r in rows for side in ("buy", "sell") for m in range(1, 13)]
    found = next(r for r in bound.over_seeds(every[2:]) if r["side"] == "buy" and r["m"] == 6)
    assert found["share"] == pytest.approx(0.95)
    assert found["net_share"] == pytest.approx(0.95)
    assert found["standard_error"] == pytest.approx(0.003 / np.sqrt(2))
    assert next(r for r in bound.over_seeds(every[2:]) if r["m"] == 12)["share"] is None


def test_without_real_bars_nothing_is_measured_and_it_says_so(monkeypatch, capsys):
    monkeypatch.delenv("LEM_DATA", raising=False)
    for benchmark in (real, peek, ablation, sizes):
        benchmark.main([])
        assert "LEM_DATA is not set" in capsys.readouterr().out


@pytest.mark.parametrize("split", [split.quick() for split in shipped_splits()], ids=lambda split: split.name)
def test_a_smoke_run_has_the_bars_of_a_training_sequence_behind_those_that_features_read(split):
    universe = split.universe
    dates = partition_dates(universe, universe.start, split.train_end - dt.timedelta(days=1))
    bars = len(expected_grid(universe, universe.symbols[0], dates)[0])
    assert bars - universe.features.history(universe.bars_per_day) > split.training.sequence


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "market"), [("real", "crypto"), ("real", "dow"), ("peek", ""), ("ablation", ""), ("sizes", "")]
)
def test_a_smoke_run_ends_in_a_table_and_a_file(name, market, shared_data, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("LEM_DATA", str(shared_data("dow_1d" if market == "dow" else "crypto_1h").parent))
    out = tmp_path / "out.json"
    arguments = ["--quick", "--jobs", "1", "--out", str(out)] + (["--market", market] if market else [])
    SimpleNamespace(real=real, peek=peek, ablation=ablation, sizes=sizes).__dict__[name].main(arguments)
    document = json.loads(out.read_text())
    assert document["smoke"]
    assert document["rows"]
    assert "SMOKE RUN" in capsys.readouterr().out
