"""(c) The share of this machine's matrix rate that training sustains on real tokens, overheads included.

The arithmetic that has to be done: 12 H^2 weights a layer, 2 operations each forward, 4 backward. Attention's products,
embeddings, the optimiser and everything else count as time and not as arithmetic. The matrix rate is measured before
and after training, on the same core.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks import figures
from benchmarks.figures import Figure
from benchmarks.finetune import BATCH_SIZE, EPOCHS, LEARNING_RATE, MAX_LENGTH, RECIPE
from benchmarks.process import cores, run
from benchmarks.sentences import Sentences
from benchmarks.studies import Study, configuration, recipe
from transfer_atlas.analysis.intervals import Estimate, estimate

TARGET = 0.6
TRAINING, EVALUATION = 6, 2
"""Operations for each weight and token: forward and backward, and forward alone."""


@dataclass(frozen=True)
class Shape:
    """An encoder's size."""

    layers: int
    hidden: int

    @staticmethod
    def of(model: Path) -> Shape:
        """From the model's own config."""
        config = json.loads((model / "config.json").read_text(encoding="utf-8"))
        return Shape(int(config["num_hidden_layers"]), int(config["hidden_size"]))

    @property
    def weights(self) -> int:
        """Weights of the linear maps of all layers."""
        return self.layers * 12 * self.hidden**2


def evaluated_tokens(model: Path, sentences: Sentences) -> int:
    """Real tokens of the scored texts, special ones included."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(MAX_LENGTH)
    return sum(len(encoding.ids) for encoding in tokenizer.encode_batch([text for text, _ in sentences.test]))


def training_rates(shape: Shape, runs: pd.DataFrame) -> list[float]:
    """FLOP/s of the training phase of each run, a row with its `tokens` and `seconds`."""
    return [
        TRAINING * shape.weights * float(tokens) / float(seconds)
        for tokens, seconds in zip(runs["tokens"], runs["seconds"], strict=True)
    ]


def whole_rate(shape: Shape, runs: pd.DataFrame, evaluated: int, seconds: float) -> float:
    """FLOP/s of training and evaluation of all runs, which took so many seconds and scored so many tokens a run."""
    operations = TRAINING * float(runs["tokens"].sum()) + EVALUATION * evaluated * len(runs)
    return shape.weights * operations / seconds


def measure(model: Path, sentences: Sentences, folder: Path, seeds: list[int]) -> dict[str, Any]:
    """Train one cell on one core and compare its rate with that of matrix products."""
    data, core, shape = folder / "data", cores()[0], Shape.of(model)
    sentences.write(data)
    recipes = {RECIPE: recipe(LEARNING_RATE, EPOCHS, BATCH_SIZE)}
    study = Study.make(folder / "study", configuration(model, shape.layers, data, recipes, seeds, MAX_LENGTH))
    study.prepare()

    def gemm(precision: str) -> list[float]:
        command = [sys.executable, "-m", "benchmarks.gemm", precision]
        rates: list[float] = json.loads(run(command, pinned_to=[core]).output)
        return rates

    products = {precision: gemm(precision) for precision in ("bfloat16", "float32")}
    whole = study.train(RECIPE, core).core_seconds
    start = study.train(RECIPE, core).core_seconds
    runs = study.runs().drop_duplicates("seed")
    (precision,) = set(runs["precision"])
    products[precision] += gemm(precision)

    possible = estimate(products[precision]).mean
    rates = training_rates(shape, runs)
    with_evaluation = whole_rate(shape, runs, evaluated_tokens(model, sentences), whole - start)
    share = estimate([rate / possible for rate in rates])
    return {
        "data": sentences.name,
        "precision": precision,
        "gemm_flops": products,
        "training_flops": rates,
        "figures": [
            figures.of(share, "training on real tokens / matrix rate", "", target=TARGET, at_least=True),
            Figure("training and evaluation / matrix rate", with_evaluation / possible, "", 1),
            figures.of(_giga(rates), "training", "GFLOP/s"),
            *(figures.of(_giga(rate), f"1024x384x1536 in {name}", "GFLOP/s") for name, rate in products.items()),
        ],
    }


def _giga(rates: list[float]) -> Estimate:
    return estimate([rate / 1e9 for rate in rates])
