"""What one bar of look-ahead would be worth on real bars, and a proof that the shipped model has none.

The same model is trained and tested three times on the crypto split of `benchmarks.real`: with its features as they
are, one bar early (each decision sees the bar that it trades in, as in the published code) and one bar late. Prices
averaged over a bar are autocorrelated, so the early model earns what nobody can earn. The proof by perturbation
(`lem.gate.causality`) then changes later bars and looks for decisions that change: it must find some in the early model
and none in the others.

Shapes: N = assets, T = bars, F = features.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from benchmarks.common import Column, Row, command_line, console, each_seed, parser, publish, spread
from benchmarks.evaluate import Arrivals, gains
from benchmarks.markets import data_root
from benchmarks.real import RISK_AVERSION, crypto_year
from benchmarks.splits import HORIZON, Split
from lem.data.panel import Panel
from lem.execution.orders import SCENARIOS, Benchmark
from lem.gate.causality import model_is_causal
from lem.model.lem import LEM
from lem.strategies.learned import Learned
from lem.training.trainer import train
from lem.universe import Universe

NAME = "peek"
MIN_BARS = (1, 6, 9, HORIZON)
SHIFTS = {"one bar early": 1, "as shipped": 0, "one bar late": -1}
COLUMNS = (
    Column("features", "features"),
    Column("m", "m", "d"),
    Column("twap_bps", "against TWAP", ".1f"),
    Column("twap_sd", "sd", ".1f"),
    Column("vwap_bps", "against VWAP", ".1f"),
    Column("vwap_sd", "sd", ".1f"),
    Column("seeds_sd", "sd of the mean over seeds", ".2f"),
    Column("leaks", "decisions that see the future", "d"),
)


def shifted(panel: Panel, bars: int) -> Panel:
    """The panel with the features of bar t + `bars` at bar t; prices, volumes and volatility stay."""
    features_NTF, valid_NT = np.zeros_like(panel.features_NTF), np.zeros_like(panel.valid_NT)
    to, of = (slice(None, -bars), slice(bars, None)) if bars > 0 else (slice(-bars, None), slice(None, bars or None))
    features_NTF[:, to], valid_NT[:, to] = panel.features_NTF[:, of], panel.valid_NT[:, of]
    return replace(panel, features_NTF=features_NTF, valid_NT=valid_NT & panel.valid_NT)


class Early(LEM):
    """A model that gets the panel as it is and looks one bar ahead by itself: the proof must find it."""

    def encode(self, features_BTF: torch.Tensor, valid_BT: torch.Tensor) -> torch.Tensor:
        """Context of every bar, from features one bar early."""
        ahead = torch.arange(features_BTF.shape[1]).add(1).clamp(max=features_BTF.shape[1] - 1)
        return super().encode(features_BTF[:, ahead], valid_BT[:, ahead])


def leaks(model: LEM, panel: Panel, bars: int) -> int:
    """Number of decisions that change when only later bars change."""
    if bars > 0:
        early = Early(model.config)
        early.volume_curve_W, early.rule_risk = model.volume_curve_W, model.rule_risk
        early.load_state_dict(model.state_dict())
        model = early.eval()
    return len(model_is_causal(panel, model, HORIZON, Learned(model)))


def one_seed(seed: int, panel: Panel, split: Split, universe: Universe, orders: Arrivals) -> list[Row]:
    """One row for each shift and m."""
    rows = []
    for name, bars in SHIFTS.items():
        moved = shifted(panel, bars) if bars else panel
        training = split.training.model_copy(update={"seed": seed})
        model = train(moved.between(None, split.train_end), HORIZON, universe.model, training, universe.costs).model
        gross_AMS = gains(moved, orders, model, MIN_BARS, HORIZON, RISK_AVERSION).before_AMS
        found = leaks(model, panel.between(split.test_start, None), bars)
        for i, m in enumerate(MIN_BARS):
            row: Row = {"seed": seed, "features": name, "m": m, "leaks": found}
            for benchmark in Benchmark:
                heads = [s for s, scenario in enumerate(SCENARIOS) if scenario.benchmark is benchmark]
                row |= {
                    f"{benchmark}_bps": float(gross_AMS[:, i, heads].mean()),
                    f"{benchmark}_sd": float(gross_AMS[:, i, heads].std(0).mean()),
                }
            rows.append(row)
    return rows


def main(argv: list[str] | None = None) -> None:
    """Run the benchmark from the command line."""
    made = parser(NAME, "what one bar of look-ahead would be worth on real bars (LEM_DATA names their folder)")
    arguments = made.parse_args(argv)
    root = data_root()
    if root is None:
        console.print("peek: LEM_DATA is not set: no real bars here, nothing was measured")
        return
    split, universe, panel, orders = crypto_year(root, arguments.quick)
    seeds = range(1 if arguments.quick else arguments.seeds)
    found = [row for rows in each_seed(one_seed, seeds, arguments.jobs, panel, split, universe, orders) for row in rows]
    rows = []
    for name in SHIFTS:
        for m in MIN_BARS:
            mine = [row for row in found if row["features"] == name and row["m"] == m]
            figures = {
                key: spread([row[key] for row in mine]).mean for key in ("twap_bps", "twap_sd", "vwap_bps", "vwap_sd")
            }
            both = spread([(row["twap_bps"] + row["vwap_bps"]) / 2 for row in mine])
            rows.append(
                {"features": name, "m": m, "seeds_sd": both.sd, "leaks": sum(row["leaks"] for row in mine)} | figures
            )
    title = "One bar of look-ahead on the crypto test year, bps"
    publish(NAME, title, COLUMNS, rows, arguments, by_seed=found)


if __name__ == "__main__":
    command_line(main)
