"""Each benchmark runs at a tiny size and gives the figures it promises. Nothing here says how fast anything is."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from benchmarks import finetune, gemm_fraction, planning
from benchmarks.memory import made_up
from benchmarks.process import run
from benchmarks.random_encoder import vocabulary

WORDS = 50
TINY = {
    "vocab_size": 1000,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 140,
}


@pytest.fixture(scope="module")
def xlmr(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("random") / "encoder"
    shape = [f"{name}={value}" for name, value in TINY.items()]
    run([sys.executable, "-m", "benchmarks.random_encoder", str(folder), str(WORDS), *shape])
    return folder


def test_words_of_the_random_encoder_span_its_vocabulary() -> None:
    ids = vocabulary(WORDS, 1000)
    assert len(set(ids.values())) == len(ids)
    assert (ids["w0"], ids[f"w{WORDS - 1}"]) == (4, 999)


def test_trainer_trains_and_says_what_it_cost(make_encoder: Callable[..., Path], tmp_path: Path) -> None:
    pytest.importorskip("accelerate")
    made_up(8, 6).write(tmp_path)
    model = make_encoder("bert", max_position_embeddings=140)
    system, versions = finetune.trainer("best", model, tmp_path, [1])
    assert 0 < system.training_core_seconds[0] < system.core_seconds[0]
    assert system.accuracies.keys() == {1}
    assert versions.keys() == {"transformers", "accelerate", "torch"}


def test_ours_trains_anew_at_every_repeat(xlmr: Path, tmp_path: Path) -> None:
    made_up(8, 6).write(tmp_path / "data")
    system = finetune.ours(tmp_path / "study", xlmr, tmp_path / "data", [1, 2], repeats=2)
    assert (len(system.core_seconds), len(system.training_core_seconds)) == (2, 2)
    assert max(system.training_core_seconds) < max(system.core_seconds)
    assert system.accuracies.keys() == {1, 2}


def test_arithmetic_is_that_of_the_linear_maps_on_real_tokens(xlmr: Path) -> None:
    shape = gemm_fraction.Shape.of(xlmr)
    assert shape.weights == 2 * 12 * 32**2
    runs = pd.DataFrame({"tokens": [100, 100], "seconds": [2.0, 4.0]})
    assert gemm_fraction.training_rates(shape, runs) == [6 * shape.weights * 50, 6 * shape.weights * 25]
    # Evaluation takes a third of the operations of training.
    assert gemm_fraction.whole_rate(shape, runs, evaluated=300, seconds=10.0) == 6 * shape.weights * 40


def test_matrix_rate_is_measured_in_the_precision_that_is_asked_for() -> None:
    assert all(rate > 0 for rate in json.loads(run([sys.executable, "-m", "benchmarks.gemm", "float32"]).output))


def test_scored_tokens_are_counted_with_the_special_ones(xlmr: Path) -> None:
    texts = made_up(1, 5)
    words = sum(len(text.split()) for text, _ in texts.test)
    assert gemm_fraction.evaluated_tokens(xlmr, texts) == words + 2 * 5


def test_planning_is_timed_before_and_after(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "MODELS", 1)
    monkeypatch.setattr(planning, "TASKS", 1)
    study = planning.prepared(tmp_path, runs=25)
    assert "Nothing to be done" not in study.snakemake("--dry-run").errors
    assert "25 to train, 0 in the store" in planning.check(study).output
    planning.finish(study)
    assert "Nothing to be done" in study.snakemake().errors
    assert "0 to train, 25 in the store" in planning.check(study).output
    # With the settings that made each file, so that a changed setting would be seen.
    records = [path for path in (study.folder / ".snakemake" / "metadata").rglob("*") if path.is_file()]
    rules = {json.loads(path.read_text(encoding="utf-8"))["rule"] for path in records}
    assert rules >= {"finetune", "extract_features", "aggregate", "plot"}
