"""(b) A grid of 40 runs, end to end: one call of Snakemake on two cores against a shell loop of Trainer at its best.

Four learning rates with ten seeds each on 200 sentences. Ours counts everything from the call to the last figure:
copying the model, preparing the data, training, tables. The loop runs a process for each run, two at a time; a part
of it is measured, spread over the grid, and scaled up, since all its runs do the same work.
"""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

from benchmarks import figures
from benchmarks.finetune import BATCH_SIZE, EPOCHS, MAX_LENGTH, trainer_command
from benchmarks.process import run_side_by_side
from benchmarks.sentences import Sentences
from benchmarks.studies import Study, configuration, layers_of, recipe
from transfer_atlas.analysis.intervals import estimate

LEARNING_RATES = (1e-5, 2e-5, 5e-5, 1e-4)
N_TRAIN = 200
AT_A_TIME = 2
TARGET = 4.0


def measure(
    model: Path, sentences: Sentences, folder: Path, seeds: list[int], loop_runs: int, repeats: int = 1
) -> dict[str, Any]:
    """Run both.

    Args:
        loop_runs: How many runs of the loop are measured.
        repeats: How often our whole study is run.
    """
    data = folder / "data"
    sentences.write(data)
    recipes = {f"rate{k}": recipe(rate, EPOCHS, BATCH_SIZE) for k, rate in enumerate(LEARNING_RATES)}
    config = configuration(model, layers_of(model), data, recipes, seeds, MAX_LENGTH)
    ours = [Study.make(folder / "study", config).snakemake(cores=AT_A_TIME).wall_seconds for _ in range(repeats)]

    runs = [(rate, seed) for seed, rate in product(seeds, LEARNING_RATES)]
    measured = runs[:: max(1, len(runs) // loop_runs)][:loop_runs]
    commands = [trainer_command("best", model, data, seed, rate) for rate, seed in measured]
    loop = [usage.wall_seconds * len(runs) / AT_A_TIME for usage in run_side_by_side(commands, AT_A_TIME)]
    size = f"{len(runs)} runs on {AT_A_TIME} cores"
    ratio = figures.of(
        figures.ratio(loop, ours), f"Trainer best in a loop / ours, {size}", "x", target=TARGET, at_least=True
    )
    return {
        "data": sentences.name,
        "runs": len(runs),
        "ours_seconds": ours,
        "loop_seconds_scaled": loop,
        "figures": [
            ratio,
            figures.of(estimate(ours), f"ours: {size}, end to end", "s"),
            figures.of(estimate(loop), f"loop: {size}, scaled from {len(measured)} runs", "s"),
        ],
    }
