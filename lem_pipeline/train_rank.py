r"""One model trained by several machines: each runs this under `torchrun`, with the number of ranks of the universe.

    torchrun --nnodes 2 --nproc-per-node 1 --node-rank 0 --master-addr HOST --master-port 29500 \
        -m lem_pipeline.train_rank NAME DATE

Every rank reads the window from the lake. Rank 0 does it within a Dagster run, and alone writes the model.
"""

from __future__ import annotations

import os
import sys

from dotenv import load_dotenv

from lem.errors import LemError, TrainingError
from lem.lineage.stages import MODEL
from lem.training.nightly import help_to_train
from lem.training.ranks import started_by_torchrun
from lem_pipeline.planning.days import day
from resources.opening import open_lake, universe_named


def main(name: str, date: str) -> None:
    """Train the model of a universe that may trade on a date, as the rank that the environment says.

    Raises:
        TrainingError: `torchrun` has not started this.
        LemError: the training failed.
    """
    if not started_by_torchrun():
        raise TrainingError(f"{__name__}: not started by torchrun; allowed: torchrun ... -m lem_pipeline.train_rank")
    universe, when = universe_named(name), day(date)
    if os.environ["RANK"] != "0":
        help_to_train(open_lake(), universe, when)
        return
    from lem_pipeline.build import build
    from lem_pipeline.planning.steps import step_on
    from lem_pipeline.running.home import instance
    from lem_pipeline.running.launch import run_step

    run_step(build([universe]), instance(), universe, step_on(MODEL, when))


if __name__ == "__main__":
    load_dotenv(".env")
    try:
        main(*sys.argv[1:])
    except LemError as failure:
        sys.exit(f"error: {failure}")
