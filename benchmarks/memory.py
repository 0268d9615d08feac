"""(f) Peak resident memory of a training process, from its start: imports and loading included.

MiniLM-L6 as in (a), several seeds in one process; and an encoder of XLM-R-base's shape, most of which is embeddings,
on 500 examples of a made-up task whose tokens lie all over its vocabulary.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure
from benchmarks.finetune import BATCH_SIZE, EPOCHS, LEARNING_RATE, MAX_LENGTH, RECIPE
from benchmarks.process import cores, run
from benchmarks.sentences import Sentences
from benchmarks.studies import Study, configuration, layers_of, recipe

MINILM_GB, XLMR_GB = 1.2, 2.5
WORDS, SHORTEST, LONGEST = 4000, 5, 30


def made_up(n_train: int, n_test: int) -> Sentences:
    """Texts of random words; the class is whether the first is even."""
    draw = random.Random(0)

    def rows(n: int) -> list[tuple[str, int]]:
        texts = [[draw.randrange(WORDS) for _ in range(draw.randint(SHORTEST, LONGEST))] for _ in range(n)]
        return [(" ".join(f"w{word}" for word in text), text[0] % 2) for text in texts]

    return Sentences("made-up words", rows(n_train), rows(n_test))


def peak(model: Path, sentences: Sentences, folder: Path, seeds: list[int], epochs: int) -> float:
    """Peak of the process that trains these seeds, 10^9 bytes."""
    data = folder / "data"
    sentences.write(data)
    recipes = {RECIPE: recipe(LEARNING_RATE, epochs, BATCH_SIZE)}
    study = Study.make(folder / "study", configuration(model, layers_of(model), data, recipes, seeds, MAX_LENGTH))
    study.prepare()
    return study.train(RECIPE, cores()[0]).peak_gb


def measure(
    model: Path, sentences: Sentences, folder: Path, seeds: list[int], large: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Peaks of both.

    Args:
        large: Settings of the large model's config, `name=value`, laid over XLM-R-base's.
    """
    like_xlmr = folder / "like_xlmr"
    run([sys.executable, "-m", "benchmarks.random_encoder", str(like_xlmr), str(WORDS), *large])
    peaks = {
        "minilm": peak(model, sentences, folder / "minilm", seeds, EPOCHS),
        "xlmr": peak(like_xlmr, made_up(500, 100), folder / "xlmr", seeds[:1], 1),
    }
    return {
        "peaks_gb": peaks,
        "figures": [
            _bounded("MiniLM-L6, batches of 32", peaks["minilm"], MINILM_GB),
            _bounded("XLM-R-base's shape, 500 examples", peaks["xlmr"], XLMR_GB),
        ],
    }


def _bounded(what: str, value: float, bound: float) -> Figure:
    return Figure(f"peak memory, {what}", value, "GB", 1, target=bound, at_least=False)
