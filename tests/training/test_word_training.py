"""Tasks on words, fine-tuned and on stored states: learnt, selected, and every word counted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from word_toys import FEW, SIZES, TAGS, assert_learnt, examples_of, toy

from transfer_atlas.layout import Layout
from transfer_atlas.models.encoder import Pretrained
from transfer_atlas.models.heads.crf import CrfTagger, LinearChainCrf
from transfer_atlas.models.network import HeadNetwork
from transfer_atlas.models.sequences import Sequences
from transfer_atlas.settings import Recipe, Task
from transfer_atlas.training.labelling_scores import CUT
from transfer_atlas.training.outcome import scored
from transfer_atlas.training.results import write_predictions


@pytest.mark.parametrize(
    ("name", "head", "pieces"),
    [("parity", "linear", "first"), ("marked", "crf", "mean"), ("marked", "bilstm_crf", "first")],
)
def test_labelling_by_fine_tuning(
    name: str, head: str, pieces: str, pretrained: Pretrained, recipe: Callable[..., Recipe], tune: Callable
) -> None:
    data = toy(name, pretrained, Layout("words", False, pieces, None))
    settings = {"head": head, "hidden": 16, "learning_rate": 3e-3, "head_learning_rate": 0.02, "batch_size": 16}
    assert_learnt(tune(data, recipe(drop=0.1, epochs=10, **settings)), data)


@pytest.mark.parametrize(
    ("name", "head", "layer"),
    [
        ("parity", "linear", 0),
        ("marked", "crf", "last"),
        ("marked", "bilstm_crf", "last"),
        ("parity", "bilstm", "last"),
    ],
)
def test_labelling_by_extraction(
    name: str,
    head: str,
    layer: Any,
    pretrained: Pretrained,
    recipe: Callable[..., Recipe],
    state_data: Callable,
    tune_sequence_head: Callable,
) -> None:
    data = toy(name, pretrained)
    settings = {"method": "extract", "head": head, "layer": layer, "hidden": 16, "learning_rate": 0.02}
    trained = tune_sequence_head(state_data(data), recipe(epochs=20, batch_size=16, **settings))
    assert_learnt(trained, data)


def test_a_crf_knows_what_a_word_alone_does_not_tell(
    pretrained: Pretrained, recipe: Callable[..., Recipe], state_data: Callable, tune_sequence_head: Callable
) -> None:
    """On the embeddings a linear head cannot find the second words of spans."""
    data = toy("marked", pretrained)
    settings = {"method": "extract", "layer": 0, "learning_rate": 0.02, "epochs": 15, "batch_size": 16}
    trained = tune_sequence_head(state_data(data), recipe(head="linear", **settings))
    assert trained.splits["test"].scores["span_f1"] < 0.6


@pytest.mark.parametrize("method", ["finetune", "extract"])
def test_marked_words(
    method: str,
    pretrained: Pretrained,
    recipe: Callable[..., Recipe],
    tune: Callable,
    state_data: Callable,
    tune_sequence_head: Callable,
) -> None:
    data = toy("arcs", pretrained, sizes={**SIZES, "train": 192})
    if method == "finetune":
        trained = tune(data, recipe(drop=0.1, learning_rate=3e-3, head_learning_rate=0.02, epochs=10, batch_size=16))
    else:
        chosen = recipe(method="extract", layer=0, learning_rate=0.03, epochs=30, batch_size=16)
        trained = tune_sequence_head(state_data(data), chosen)
    assert_learnt(trained, data)


def test_the_best_epoch_is_chosen(pretrained: Pretrained, recipe: Callable[..., Recipe], tune: Callable) -> None:
    """With constant rates a training of e epochs is the beginning of a longer one."""
    data = toy("marked", pretrained, sizes={**FEW, "train": 40})
    settings = {"head": "crf", "learning_rate": 0.01, "schedule": "constant", "warmup": 0.0, "weight_decay": 0.5}
    epochs = [tune(data, recipe(epochs=e, **settings)) for e in range(1, 5)]
    scores = [trained.splits["validation"].scores["span_f1"] for trained in epochs]
    best = int(np.argmax(scores))
    chosen = tune(data, recipe(epochs=4, select="best", **settings))
    assert chosen.fitted.chosen_step == epochs[best].fitted.steps
    assert scores[best] > min(scores)
    for split in ("validation", "test"):
        assert np.array_equal(chosen.splits[split].outputs, epochs[best].splits[split].outputs)
    for name, weight in (epochs[best].weights or {}).items():
        assert torch.equal(weight, (chosen.weights or {})[name]), name


@pytest.mark.parametrize("method", ["finetune", "extract"])
def test_every_word_has_a_row_and_cut_ones_no_class(
    method: str,
    pretrained: Pretrained,
    recipe: Callable[..., Recipe],
    tune: Callable,
    state_data: Callable,
    tune_sequence_head: Callable,
    tmp_path: Path,
) -> None:
    """[CLS], [SEP] and four words fit."""
    data = toy("parity", pretrained, max_length=6)
    settings = {"learning_rate": 0.01, "epochs": 12, "batch_size": 16}
    if method == "finetune":
        trained = tune(data, recipe(**settings))
    else:
        trained = tune_sequence_head(
            state_data(data), recipe(method="extract", layer=0, **settings, head_learning_rate=0.05)
        )
    for split, examples in data.splits.items():
        assert trained.truncated[split] == sum(len(words) > 4 for words in examples.words or [])
    assert trained.n_train == SIZES["train"]

    write_predictions(tmp_path / "predictions.parquet", trained.splits)
    table = pq.read_table(tmp_path / "predictions.parquet").to_pandas()
    assert table.columns.tolist() == ["split", "id", "label", "output_0"]
    for split in ("validation", "test"):
        rows, examples = table[table["split"] == split], data.splits[split]
        assert examples.words is not None
        places = [(row, k) for row, words in enumerate(examples.words, 1) for k in range(1, len(words) + 1)]
        assert rows["id"].tolist() == [f"t:{row}.{k}" for row, k in places]
        assert rows["label"].tolist() == examples.labels.tolist()
        cut = np.array([k > 4 for _, k in places])
        assert 0.1 < cut.mean() < 0.9
        assert (rows["output_0"][cut] == CUT).all()
        right = rows["output_0"] == rows["label"]
        assert right[~cut].mean() > 0.95
        assert trained.splits[split].scores["accuracy"] == pytest.approx(right.mean())


def test_words_without_a_class_are_wrong() -> None:
    """A training that diverged predicts nothing."""
    task = Task.model_validate({"type": "token_labelling", "files": {"train": "train"}, "tags": "bio"})
    examples = examples_of([["w1", "w2"], ["w3"]], [1, 2, 0])
    found = scored(task, TAGS, examples, np.array([[1], [2], [np.nan]], dtype=np.float32))
    assert found.scores["accuracy"] == pytest.approx(2 / 3)
    assert np.isnan(found.outputs[2, 0])


@pytest.mark.parametrize("crf", [False, True])
def test_words_of_a_diverged_training_get_no_class(crf: bool) -> None:
    head: torch.nn.Module = torch.nn.Identity()
    network = HeadNetwork(CrfTagger(head, LinearChainCrf(3)) if crf else head, labelling=True)
    emissions = torch.tensor([[0.0, 1.0, 0.0], [torch.nan, 0.0, 0.0], [3.0, 1.0, 2.0]])
    batch = Sequences(torch.zeros(1, 3, 1), torch.tensor([2, 1]))
    found = network.decode(emissions, batch)[:, 0]
    assert found.isnan().tolist() == [False, True, False]
    assert found[2] == 0.0
