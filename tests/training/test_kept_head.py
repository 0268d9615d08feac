"""A training that goes on with the head of the one before it, or only scores that one's model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoModel, AutoTokenizer

from transfer_atlas import updates
from transfer_atlas.layout import Layout
from transfer_atlas.settings import Engine, Task
from transfer_atlas.tasks.examples import Examples
from transfer_atlas.training.starts import TransformerStarts
from transfer_atlas.training.task_data import TaskData

KINDS = ["sequence_classification", "pair_regression"]


@pytest.fixture
def saved(tmp_path: Path) -> Callable[..., Path]:
    """The weights of a finished run, as they lie in the store."""

    def save(trained: Any, name: str = "weights") -> Path:
        path = tmp_path / f"{name}.safetensors"
        save_file(trained.weights, path)
        return path

    return save


@pytest.fixture
def other_texts(splits: Callable, sentences: Callable, pretrained: Any) -> Callable[[TaskData], TaskData]:
    """Another target of the same type: other texts, with the words that training has not seen, and other scores."""

    def of(data: TaskData) -> TaskData:
        def changed(split: str, seed: int) -> Any:
            rows = data.splits[split]
            pairs = None if rows.pairs is None else sentences(len(rows), seed=seed + 1)
            labels = rows.labels[::-1].copy() / (1 if data.names is not None else 2)
            kept = labels.astype(rows.labels.dtype)
            return replace(rows, texts=sentences(len(rows), seed=seed), pairs=pairs, labels=kept)

        parts = {split: changed(split, seed) for split, seed in (("train", 50), ("validation", 60), ("test", 70))}
        return TaskData.of(data.task, data.names, parts, pretrained, data.layout)

    return of


def by_hand(folder: Path, weights: dict[str, Tensor], data: TaskData) -> np.ndarray:
    """What a finished run's model answers on a test split: transformers' encoder, a mean and a linear map."""
    model = AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    parts = {name.removeprefix("encoder."): value for name, value in weights.items() if name.startswith("encoder.")}
    missing, unexpected = model.load_state_dict(parts, strict=False)
    assert (set(missing), unexpected) == ({"pooler.dense.weight", "pooler.dense.bias"}, [])
    test = data.splits["test"]
    texts = [test.texts] if test.pairs is None else [test.texts, test.pairs]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    inputs = tokenizer(*texts, truncation=True, max_length=data.task.max_length, padding=True, return_tensors="pt")
    with torch.no_grad():
        mask = inputs["attention_mask"][..., None].float()
        pooled = (model(**inputs).last_hidden_state * mask).sum(1) / mask.sum(1)
        outputs: Tensor = pooled @ weights["head.output.weight"].T + weights["head.output.bias"]
    return outputs.numpy()


@pytest.mark.parametrize("kind", KINDS)
def test_without_training_the_model_before_answers(
    kind: str,
    make_encoder: Callable,
    task_data: Callable,
    other_texts: Callable,
    recipe: Callable,
    tune: Callable,
    saved: Callable,
) -> None:
    data = task_data(kind)
    # Decay reaches the embeddings of words that were not trained on, too.
    before = tune(data, recipe(weight_decay=0.5, learning_rate=1e-2))
    target = other_texts(data)
    scored = tune(target, recipe(), size=0, start=saved(before), keep_head=True, seed=9)
    expected = by_hand(make_encoder(), before.weights, target)
    if kind == "pair_regression":
        mean, deviation = data.splits["train"].labels.mean(), data.splits["train"].labels.std()
        expected = expected * deviation + mean
        assert np.abs(target.splits["train"].labels.mean() - mean) > 0.5
    np.testing.assert_allclose(scored.splits["test"].outputs, expected, rtol=1e-4, atol=2e-5)
    assert (scored.n_train, scored.fitted.steps, scored.fitted.tokens) == (0, 0, 0)
    # On its own task it is the model that was trained there, to the bit; weights that are kept are those that came.
    again = tune(data, recipe(), size=0, start=saved(before), keep_head=True)
    for split in ("validation", "test"):
        assert np.array_equal(again.splits[split].outputs, before.splits[split].outputs)
    assert again.weights.keys() == before.weights.keys()
    assert all(torch.equal(again.weights[name], weight) for name, weight in before.weights.items())


@pytest.mark.parametrize(
    "changes", [{"frozen_layers": 1}, {"unfreeze_epochs": 1}, {"layer_decay": 0.5}, {"select": "best"}, {"drop": 0.5}]
)
def test_without_training_no_setting_of_training_matters(
    changes: dict[str, Any],
    task_data: Callable,
    recipe: Callable,
    tune: Callable,
    saved: Callable,
    assert_same_bits: Callable,
) -> None:
    data = task_data()
    start = saved(tune(data, recipe()))
    plain, other = (
        tune(data, chosen, size=0, start=start, keep_head=True, seed=seed)
        for chosen, seed in ((recipe(), 1), (recipe(**changes), 2))
    )
    assert_same_bits(plain, other)


@pytest.mark.parametrize("kind", ["roberta", "xlnet", "distilbert"])
@pytest.mark.parametrize("engine", [Engine(), Engine(vocabulary="full", batching="padded")], ids=["fast", "plain"])
def test_without_training_on_other_encoders(
    kind: str,
    engine: Engine,
    load: Callable,
    task_data: Callable,
    recipe: Callable,
    tune: Callable,
    saved: Callable,
) -> None:
    encoder = load(kind)
    data = task_data(encoder=encoder)
    before = tune(data, recipe(), encoder=encoder, engine=engine)
    again = tune(data, recipe(), encoder=encoder, engine=engine, size=0, start=saved(before), keep_head=True)
    assert np.array_equal(again.splits["test"].outputs, before.splits["test"].outputs)


def test_training_goes_on_with_head_and_encoder(
    task_data: Callable, recipe: Callable, tune: Callable, saved: Callable, initial: list[dict[str, Tensor]]
) -> None:
    data = task_data()
    before = tune(data, recipe())
    start = saved(before)
    for keep_head in (False, True):
        tune(data, recipe(), start=start, keep_head=keep_head, seed=2)
    fresh, dropped, kept = initial
    head = [name for name in fresh if name.startswith("head.")]
    assert head
    assert all(torch.equal(kept[name], before.weights[name]) for name in head)
    assert not torch.equal(dropped["head.output.weight"], before.weights["head.output.weight"])
    assert not torch.equal(dropped["head.output.weight"], fresh["head.output.weight"])
    # The encoder is the one before in both.
    layer = "encoder.encoder.layer.0.output.dense.weight"
    assert torch.equal(dropped[layer], before.weights[layer])
    assert torch.equal(kept[layer], before.weights[layer])


def test_a_regression_head_goes_on_with_its_scale(
    task_data: Callable, other_texts: Callable, recipe: Callable, tune: Callable, saved: Callable
) -> None:
    data = task_data("pair_regression")
    labels = torch.from_numpy(data.splits["train"].labels.astype(np.float32)).double()
    before = tune(data, recipe())
    own = before.weights["target_scaling"]
    assert torch.allclose(own, torch.stack([labels.mean(), labels.std(correction=0)]), rtol=1e-6)
    assert load_file(saved(before))["target_scaling"].tolist() == own.tolist()
    target = other_texts(data)
    kept, dropped = (tune(target, recipe(), start=saved(before), keep_head=keep) for keep in (True, False))
    assert torch.equal(kept.weights["target_scaling"], own)
    assert dropped.weights["target_scaling"][0] < own[0] - 0.5
    # At a rate of next to nothing it answers as before; on the target's scale it would not.
    still = tune(target, recipe(learning_rate=1e-12, weight_decay=0.0), start=saved(before), keep_head=True)
    as_it_is = tune(target, recipe(), size=0, start=saved(before), keep_head=True)
    np.testing.assert_allclose(still.splits["test"].outputs, as_it_is.splits["test"].outputs, atol=1e-5)


def test_classes_have_no_scale(task_data: Callable, recipe: Callable, tune: Callable) -> None:
    assert "target_scaling" not in tune(task_data(), recipe()).weights


def test_a_kept_head_survives_a_chain(
    task_data: Callable, recipe: Callable, tune: Callable, saved: Callable, initial: list[dict[str, Tensor]]
) -> None:
    data = task_data("pair_regression")
    first = tune(data, recipe())
    second = tune(data, recipe(), start=saved(first, "first"), keep_head=True)
    third = tune(data, recipe(), start=saved(second, "second"), keep_head=True)
    assert torch.equal(initial[2]["head.output.weight"], second.weights["head.output.weight"])
    assert torch.equal(third.weights["target_scaling"], first.weights["target_scaling"])


@pytest.mark.parametrize("changes", [{}, {"min_steps": 14}, {"select": "best"}], ids=lambda value: str(value))
def test_more_updates_are_a_longer_training(
    changes: dict[str, Any], task_data: Callable, recipe: Callable, tune: Callable, assert_same_bits: Callable
) -> None:
    """As the recipe with so many steps, schedule included."""
    data, chosen = task_data(), recipe(weight_decay=0.1, **changes)
    plain = updates.total_steps(12, chosen)
    longer = tune(data, chosen, more_updates=7)
    assert plain + 7 <= longer.fitted.steps < plain + 7 + 3
    assert_same_bits(longer, tune(data, chosen.model_copy(update={"min_steps": plain + 7})))
    assert_same_bits(tune(data, chosen, more_updates=0), tune(data, chosen))


def test_elmo_without_training(tune_elmo: Callable, elmo: Any, recipe: Callable, saved: Callable) -> None:
    task = Task.model_validate({"type": "sequence_classification", "files": {"train": "train.csv"}, "max_length": 16})
    texts = [f"word{k} and word{k % 3}" for k in range(12)]
    parts = {
        split: Examples([f"{split}:{k}" for k in range(n)], texts[:n], None, np.arange(n, dtype=np.int64) % 2)
        for split, n in (("train", 12), ("validation", 6), ("test", 5))
    }
    data = TaskData.of(task, ["a", "b"], parts, elmo, Layout("tokens", False, None, None))
    before = tune_elmo(data, recipe())
    again = tune_elmo(data, recipe(), size=0, start=saved(before), keep_head=True)
    assert np.array_equal(again.splits["test"].outputs, before.splits["test"].outputs)


def test_frozen_states_of_another_run_are_not_read(
    task_data: Callable, recipe: Callable, tune: Callable, saved: Callable, pretrained: Any
) -> None:
    """Untrained and trained runs of one job share what it loaded."""
    data = task_data()
    start = saved(tune(data, recipe()))
    starts = TransformerStarts(pretrained, data, Engine())
    chosen = recipe(frozen_layers=1)
    first = tune(data, chosen, start=start, starts=starts)
    between = tune(data, chosen, start=start, starts=starts, size=0, keep_head=True)
    again = tune(data, chosen, start=start, starts=starts)
    assert np.array_equal(first.splits["test"].outputs, again.splits["test"].outputs)
    alone = tune(data, chosen, start=start, size=0, keep_head=True)
    assert np.array_equal(between.splits["test"].outputs, alone.splits["test"].outputs)
