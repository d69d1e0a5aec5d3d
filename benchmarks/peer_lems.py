"""Driver of the peer `lems`: orders per second in training and in prediction. Runs in the peer's own environment.

It knows neither this library nor the other benchmarks. One order is one sample of the peer: eight scenarios times
(horizon + 1) end-time columns. It measures the package's own `fit` and `predict` on random walks; the first pass of
each, which compiles, is not counted.

Without --serve it prints one JSON line with all repeats. With --serve it prints a line when it is ready, and then one
for every line (`train` or `predict`) that it reads, so that the caller can let it take turns with other contenders.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

SIZES = {"hidden": 200, "lookback": 120, "horizon": 12, "mlp": 100, "embedding": 20, "heads": 8}
WORK = {"batch": 64, "batches": 4, "repeats": 3, "threads": 0, "seed": 0}
FEATURES = 5
"""Inputs beside price and volume, as in the package's own examples."""


def arguments() -> argparse.Namespace:
    """The driver's arguments."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--backend", choices=("torch", "jax"), required=True)
    for name, default in (SIZES | WORK).items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--serve", action="store_true", help="one repeat for each line `train` or `predict` on stdin")
    return parser.parse_args()


def prepare(options: argparse.Namespace) -> tuple[int, dict[str, Callable[[], Any]]]:
    """The peer's number of parameters, and its two jobs on the orders of a random market, by name."""
    os.environ["KERAS_BACKEND"] = options.backend
    import keras
    import numpy as np
    from lems.data_formater import add_config_to_X, add_config_to_y
    from lems.loss import lem_loss
    from lems.models import LargeExecutionModel

    if options.backend == "torch":
        import torch

        torch.set_num_threads(options.threads or torch.get_num_threads())
    keras.utils.set_random_seed(options.seed)
    rng = np.random.default_rng(options.seed)
    orders, bars = options.batch * options.batches, options.lookback + options.horizon - 1
    features = 0.1 * rng.standard_normal((orders, bars, FEATURES))
    price = np.exp(0.005 * rng.standard_normal((orders, bars)).cumsum(axis=1))
    volume = rng.uniform(0.5, 1.5, (orders, bars)) / options.lookback
    tape = np.stack([volume, price], axis=-1)[:, -options.horizon :]
    market = np.concatenate([features, price[..., None], volume[..., None]], axis=-1).astype(np.float32)
    inputs = [part.astype(np.float32) for part in add_config_to_X(market, 0.0, 1.0)]
    targets = add_config_to_y(tape).astype(np.float32)

    model = LargeExecutionModel(
        lookback=options.lookback,
        n_ahead=options.horizon,
        hidden_size=options.hidden,
        num_embedding=options.embedding,
        num_heads=options.heads,
        fused_mlp_hidden_dim=options.mlp,
    )
    model.compile(optimizer=keras.optimizers.Adam(1e-4), loss=lem_loss)

    def train() -> None:
        model.fit(inputs, targets, batch_size=options.batch, epochs=1, verbose=0)

    def predict() -> None:
        model.predict(inputs, batch_size=options.batch, verbose=0)

    for job in (train, predict):
        job()
    return model.count_params(), {"train": train, "predict": predict}


def say(document: dict[str, Any]) -> None:
    """Print a line of JSON at once."""
    print(json.dumps(document), flush=True)


def main() -> None:
    """Run the driver."""
    options = arguments()
    parameters, jobs = prepare(options)
    orders = options.batch * options.batches

    def rate(job: str) -> float:
        start = time.perf_counter()
        jobs[job]()
        return orders / (time.perf_counter() - start)

    if not options.serve:
        rates = {f"{job}_orders_per_s": [rate(job) for _ in range(options.repeats)] for job in jobs}
        say({**vars(options), "parameters": parameters, **rates})
        return
    say({"parameters": parameters})
    for line in sys.stdin:
        say({"orders_per_s": rate(line.strip())})


if __name__ == "__main__":
    main()
