"""Training of one model on a panel: random windows of all assets, every few bars of them an arrival.

Everything random comes from one seeded generator, so that the same panel, config and machine type give the same
weights.

Shapes: B = sequences, A = arrivals of a sequence, S = scenarios, K = bars of the horizon, T = bars of a sequence.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from torch import Tensor

from lem.code import code_version
from lem.data.features import FEATURES, SIGNED
from lem.data.panel import OrderTape, Panel, order_tape
from lem.errors import TrainingError
from lem.execution.costs_config import CostsConfig
from lem.execution.orders import SCENARIOS
from lem.execution.terms import Terms, make_terms
from lem.model.lem import LEM
from lem.numerics import reproducible
from lem.strategies.volume_curve import fit_volume_curve
from lem.training.device import fixed_kernels, moved, with_device
from lem.training.distributed import Group, share, shared_dropout
from lem.training.objective import Counts, Tape, count_orders, expected_outcome, objective
from lem.training.rule_risk import fit_rule_risk
from lem.universe.model_config import ModelConfig
from lem.universe.training_config import TrainingConfig

CURVE_POINTS = 100


@dataclass(frozen=True)
class CurvePoint:
    """One point of the training curve.

    Args:
        step: of the training, from 1.
        loss: mean since the point before.
        gain_sigma: mean gain since the point before of orders that have something to time, in sigma.
        learning_rate: of the step.
    """

    step: int
    loss: float
    gain_sigma: float
    learning_rate: float


@dataclass(frozen=True)
class Trained:
    """A trained model.

    Args:
        model: in evaluation mode.
        curve: the training curve.
        arrivals: number of arrivals from which it could learn.
    """

    model: LEM
    curve: list[CurvePoint]
    arrivals: int


SIZES = 8.0
"""Training draws sizes of orders up to so many times larger and smaller than the universe's."""


def random_terms(
    shape: tuple[int, ...], horizon: int, config: TrainingConfig, costs: CostsConfig, generator: torch.Generator
) -> Terms:
    """Orders with random limits and sizes, all of them feasible, so that one model serves all orders.

    Half of the horizons N are the universe's, the others uniform from 2 on. For one order in four m is N, for the
    others it is uniform up to N. A third of the orders have rates that bind. Some trade without costs, some are as
    large as the universe's, the others up to `SIZES` times larger or smaller; all but the first are under the
    participation cap, or in so short a time under the smallest that lets them trade.

    Args:
        shape: of the orders; its last dimension is the scenarios.
        horizon: the universe's N.
        config: the range of the risk aversion, and the shares of orders without costs and of the usual size.
        costs: impact, size and cap of the universe's orders.
        generator: of the random numbers.
    """

    def uniform() -> Tensor:
        return torch.rand(shape, generator=generator)

    n = torch.where(uniform() < 0.5, float(horizon), 2 + torch.floor(uniform() * (horizon - 1)))
    m = torch.where(uniform() < 1 / 4, n, 1 + torch.floor(uniform() * n).clamp(max=horizon - 1)).minimum(n)
    bound = uniform() < 1 / 3
    # A hair above 1 / n: its float32 may lie below, and then N bars could not trade the whole order.
    max_rate = torch.where(bound, ((1 / n + (1 - 1 / n) * uniform() ** 2) * (1 + 1e-6)).clamp(max=1.0), 1.0)
    min_rate = torch.where(bound, uniform() / n, 0.0)
    low, high = config.risk_aversion
    risk = low + (high - low) * uniform() if low == 0 else low * (high / low) ** uniform()
    risk = torch.where(uniform() < config.risk_neutral, 0.0, risk)
    kind, other = uniform(), costs.order_size * SIZES ** (2 * uniform() - 1)
    size = torch.where(kind < config.free + config.usual, costs.order_size, other)
    size = torch.where(kind < config.free, 0.0, size)
    capped = torch.maximum(costs.participation_cap / size.clamp(min=1e-9), (1 / n) * (1 + 1e-6)).clamp(max=1.0)
    max_rate = torch.where(size > 0, torch.minimum(max_rate, capped), max_rate)
    terms = make_terms(SCENARIOS, m, n, min_rate, max_rate, risk, dtype=torch.get_default_dtype())
    return replace(terms, size_O=size, impact_O=torch.full_like(size, costs.impact), fixed_O=torch.zeros_like(size))


def _tensor(values: np.ndarray) -> Tensor:
    return torch.from_numpy(values).to(torch.get_default_dtype())


def to_tape(tape: OrderTape, accepted: np.ndarray, shape: tuple[int, int]) -> Tape:
    """An order tape as tensors of shape (B, A, ...) and torch's default type.

    Args:
        tape: of B x A orders.
        accepted: bool, the orders without a gap.
        shape: (B, A).
    """
    as_tensor = {f.name: _tensor(getattr(tape, f.name)) for f in fields(tape)}
    return Tape(
        price_BAK=as_tensor["price_AK"].view(*shape, -1),
        volume_BAK=as_tensor["volume_AK"].view(*shape, -1),
        last_close_BAK=as_tensor["last_close_AK"].view(*shape, -1),
        sigma_BA=as_tensor["sigma_A"].view(shape),
        accepted_BA=torch.from_numpy(accepted).view(shape),
    )


def mirrored(features_BTF: Tensor, tape: Tape, flip_B: Tensor) -> tuple[Tensor, Tape]:
    """The market of some sequences upside down: prices become 1 / price, so that a rise is a fall.

    What is worth buying in the one market is worth selling in the other. Without this a model takes the drift of its
    training years for a law.

    Args:
        features_BTF: of the sequences.
        tape: of their orders.
        flip_B: bool, the sequences that are turned.
    """
    sign_F = torch.tensor([-1.0 if name in SIGNED else 1.0 for name in FEATURES])
    flip_B11 = flip_B[:, None, None]
    return torch.where(flip_B11, features_BTF * sign_F, features_BTF), replace(
        tape,
        price_BAK=torch.where(flip_B11, 1.0 / tape.price_BAK, tape.price_BAK),
        last_close_BAK=torch.where(flip_B11, 1.0 / tape.last_close_BAK, tape.last_close_BAK),
    )


def training_places(panel: Panel, horizon: int, warmup: int, sequence: int) -> np.ndarray:
    """Every sequence with at least one accepted arrival, as (asset row, first bar), shape (P, 2).

    Args:
        panel: the training window.
        horizon: N of the longest order.
        warmup: bars of a sequence before its first arrival.
        sequence: bars of a sequence.

    Raises:
        TrainingError: there is none.
    """
    accepted_NT = panel.accepted(horizon)
    starts = panel.bars - sequence + 1
    if starts > 0:
        counts = np.concatenate([np.zeros((len(panel.assets), 1)), accepted_NT.cumsum(axis=1)], axis=1)
        first, last = warmup, sequence - horizon
        held = counts[:, last + 1 : last + 1 + starts] - counts[:, first : first + starts]
        places = np.argwhere(held > 0)
        if len(places):
            return places
    raise TrainingError(
        f"training: {panel.bars} bars of {len(panel.assets)} assets hold no sequence of {sequence} bars with an order "
        f"of {horizon} bars in it ({int(accepted_NT.sum())} arrivals are free of gaps); allowed: a longer "
        "training.window_days, a shorter training.sequence, or data without holes"
    )


@dataclass(frozen=True)
class Batch:
    """Some rows of a batch.

    Args:
        features_BTF: of the sequences.
        valid_BT: bool, the bars that have features.
        tape: of the orders.
        terms: of the orders.
        counts: of the whole batch.
        first: bar of the sequences at which their first order arrives.
    """

    features_BTF: Tensor
    valid_BT: Tensor
    tape: Tape
    terms: Terms
    counts: Counts
    first: int


class Batches:
    """Random batches of a panel, one after the other from one seed.

    Args:
        panel: the training window.
        horizon: N of the longest order.
        warmup: bars of a sequence before its first arrival.
        config: size of a batch and of its sequences, limits of the orders, seed.
        costs: of the universe's orders.

    Raises:
        TrainingError: the panel holds no sequence to learn from.
    """

    def __init__(self, panel: Panel, horizon: int, warmup: int, config: TrainingConfig, costs: CostsConfig) -> None:
        self.panel, self.horizon, self.warmup, self.config, self.costs = panel, horizon, warmup, config, costs
        self.places_P2 = training_places(panel, horizon, warmup, config.sequence)
        self.accepted_NT = panel.accepted(horizon)
        self.generator = torch.Generator().manual_seed(config.seed)

    def draw(self, rows: slice) -> Batch:
        """Draw the next batch and make `rows` of it; the draw is the same whichever rows are wanted."""
        config, panel = self.config, self.panel
        bars, every = config.sequence - self.horizon - self.warmup + 1, config.arrival_every
        arrivals = max(1, bars // every)
        drawn_B = torch.randint(len(self.places_P2), (config.batch,), generator=self.generator)
        chosen_B2 = self.places_P2[drawn_B.numpy()]
        shape = (config.batch, arrivals, len(SCENARIOS))
        terms = random_terms(shape, self.horizon, config, self.costs, self.generator)
        spare = bars - (arrivals - 1) * every
        first = self.warmup + (int(torch.randint(spare, (1,), generator=self.generator)) if every > 1 else 0)
        flip_B = torch.rand(config.batch, generator=self.generator) < 0.5 if config.mirror else None
        bar_BA = chosen_B2[:, 1:] + first + np.arange(arrivals) * every
        accepted_BA = self.accepted_NT[chosen_B2[:, :1], bar_BA]
        counts = count_orders(terms, torch.from_numpy(accepted_BA), torch.Size(shape))
        asset_B, bars_BT = chosen_B2[rows, 0], chosen_B2[rows, 1:] + np.arange(config.sequence)
        features_BTF = _tensor(panel.features_NTF[asset_B[:, None], bars_BT])
        orders = order_tape(panel, np.repeat(asset_B, arrivals), bar_BA[rows].ravel(), self.horizon)
        tape = to_tape(orders, accepted_BA[rows], (len(asset_B), arrivals))
        if flip_B is not None:
            features_BTF, tape = mirrored(features_BTF, tape, flip_B[rows])
        valid_BT = torch.from_numpy(panel.valid_NT[asset_B[:, None], bars_BT])
        own = replace(terms, **{name: share(value, config.batch, rows) for name, value in vars(terms).items()})
        return Batch(features_BTF, valid_BT, tape, own, counts, first)


def train(
    panel: Panel,
    horizon: int,
    model_config: ModelConfig,
    config: TrainingConfig,
    costs: CostsConfig,
    on_step: Callable[[int, float], None] | None = None,
    group: Group | None = None,
) -> Trained:
    """Train a LEM from its seed.

    Args:
        panel: the training window, without the holdout.
        horizon: N of the longest order.
        model_config: size of the model.
        config: settings of the training.
        costs: impact, size and cap of the orders that it will trade.
        on_step: called with (step, loss) after each step, for progress.
        group: the ranks that share the work; each calls this with the same arguments and returns the same.

    Returns:
        The model, on the CPU whatever trained it.

    Raises:
        TrainingError: this machine has no such device, there is nothing to learn from, the loss is no longer finite, or
            a rank is gone.
    """
    config = with_device(config)
    device = config.device
    if group:
        group.agree("code, settings or panel", _everything(panel, horizon, model_config, config, costs))
    batches = Batches(panel, horizon, model_config.warmup, config, costs)
    rows = group.rows(config.batch) if group else slice(0, config.batch)
    curve: list[CurvePoint] = []
    every = max(1, config.steps // CURVE_POINTS)
    sums = [0.0, 0.0]
    with reproducible(config.threads), fixed_kernels(device), torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        model = LEM(model_config, seed=config.seed).train()
        optimiser = torch.optim.AdamW(model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=config.learning_rate, total_steps=config.steps)
        with shared_dropout(model, group, config.batch, device):
            model.to(device)
            for step in range(1, config.steps + 1):
                batch = moved(batches.draw(rows), device)
                tape, terms = batch.tape, batch.terms
                context_BTH = model.encode(batch.features_BTF, batch.valid_BT)
                outcome = expected_outcome(model, context_BTH, batch.first, tape, terms, config.arrival_every)
                loss, gain = objective(outcome, terms, tape.accepted_BA, config, batch.counts)
                optimiser.zero_grad(set_to_none=True)
                loss.backward()
                figures = torch.stack([loss.detach(), gain])
                loss_value, gain_value = (group.add_up(model.parameters(), figures) if group else figures).tolist()
                if not math.isfinite(loss_value):
                    raise TrainingError(
                        f"training: the loss is {loss_value} at step {step}; allowed: a lower training.learning_rate"
                    )
                torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip)
                optimiser.step()
                sums[0] += loss_value
                sums[1] += gain_value
                if step % every == 0 or step == config.steps:
                    count = step - (curve[-1].step if curve else 0)
                    curve.append(CurvePoint(step, sums[0] / count, sums[1] / count, float(schedule.get_last_lr()[0])))
                    sums = [0.0, 0.0]
                schedule.step()
                if on_step is not None:
                    on_step(step, loss_value)
        model.to("cpu").rule_risk.fill_(fit_rule_risk(panel, horizon, costs))
    model.volume_curve_W = torch.from_numpy(fit_volume_curve(panel)).float()
    if group:
        group.agree("weights", model.weights())
    return Trained(model.eval(), curve, int(batches.accepted_NT.sum()))


def _everything(panel: Panel, horizon: int, model: ModelConfig, config: TrainingConfig, costs: CostsConfig) -> bytes:
    """What fixes a training, to be compared between ranks."""
    arrays = (value.tobytes() for value in vars(panel).values() if isinstance(value, np.ndarray))
    said = (code_version(), torch.__version__, torch.get_default_dtype(), panel.assets, horizon, model, config, costs)
    return b"\0".join([repr(said).encode(), *arrays])
