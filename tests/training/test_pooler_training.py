"""Fine-tuning through BERT's pretrained pooler, as transformers' BertForSequenceClassification does."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification

from transfer_atlas.models.dropout import give_stream
from transfer_atlas.models.encoder import Pretrained, load_pretrained
from transfer_atlas.settings import Engine, Surgery
from transfer_atlas.training import fit_and_score
from transfer_atlas.training.head_choice import head_for
from transfer_atlas.training.starts import TransformerStarts

CPU = torch.device("cpu")
POOLER = ("head.pooler.dense.weight", "head.pooler.dense.bias")
CLOSE = {"rtol": 1e-5, "atol": 1e-5}


@pytest.fixture(scope="module")
def with_pooler(make_encoder: Callable[..., Path]) -> Pretrained:
    return load_pretrained(make_encoder(), with_pooler=True)


@pytest.fixture
def initial(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Tensor]]:
    """Fills with each run's weights before its first update."""
    states: list[dict[str, Tensor]] = []
    fit = fit_and_score.fit

    def spy(model: nn.Module, *arguments: Any, **options: Any) -> Any:
        states.append(copy.deepcopy(model.state_dict()))
        return fit(model, *arguments, **options)

    monkeypatch.setattr(fit_and_score, "fit", spy)
    return states


def pretrained_weights(encoder: Pretrained) -> dict[str, Tensor]:
    """Of the pooler, under the names that they have in a network."""
    saved = load_file(encoder.folder / "model.safetensors")
    return {name: saved[name.removeprefix("head.")] for name in POOLER}


def assert_pooler_is(state: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    for name in POOLER:
        assert torch.equal(state[name], expected[name]), name


@pytest.mark.parametrize("kind", ["sequence_classification", "pair_classification", "pair_regression"])
@pytest.mark.parametrize(
    ("architecture", "sizes"), [("bert", {}), ("albert", {"embedding_size": 24})], ids=["bert", "albert"]
)
def test_one_step_equals_the_stock_classifier(
    architecture: str,
    sizes: dict[str, int],
    kind: str,
    make_encoder: Callable[..., Path],
    task_data: Callable,
    recipe: Callable,
) -> None:
    """Scores, loss and the gradients of all weights."""
    folder = make_encoder(architecture, **sizes)
    encoder = load_pretrained(folder, with_pooler=True)
    data = task_data(kind, encoder=encoder)
    rows = np.arange(5)
    begun = TransformerStarts(encoder, data, Engine(vocabulary="full")).begin(None, rows, recipe(), CPU, "float32")
    init = torch.Generator().manual_seed(1)
    head: Any = head_for(recipe(pooling="pooler"), data, 1, encoder.hidden_size, init, begun.pooler)
    network = begun.network(head).train()
    give_stream(network, torch.Generator().manual_seed(1))
    batch, targets = begun.train.batch(torch.arange(5), CPU), begun.train.targets_of(torch.arange(5), CPU)
    outputs = network(batch)
    loss = network.loss(outputs, targets, batch)
    loss.backward()

    settings: dict[str, Any] = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    settings |= {"classifier_dropout_prob" if architecture == "albert" else "classifier_dropout": 0.0}
    stock = AutoModelForSequenceClassification.from_pretrained(
        folder, num_labels=outputs.shape[1], dtype=torch.float32, **settings
    ).train()
    stock.classifier.load_state_dict(head.output.state_dict())
    part = data.splits["train"].take(rows)
    inputs = encoder.tokenizer(
        part.texts, part.pairs, padding=True, truncation=True, max_length=data.task.max_length, return_tensors="pt"
    )
    expected = stock(**inputs, labels=targets)
    expected.loss.backward()

    torch.testing.assert_close(outputs, expected.logits, **CLOSE)
    torch.testing.assert_close(loss, expected.loss, **CLOSE)
    found = {name.removeprefix("encoder."): value.grad for name, value in network.named_parameters()}
    for name, parameter in stock.named_parameters():
        name = name.removeprefix(f"{architecture}.").replace("classifier.", "head.output.")
        if name.startswith("pooler."):
            name = f"head.pooler.dense.{name.rsplit('.', 1)[1]}"
        gradient = found.pop(name)
        torch.testing.assert_close(gradient, parameter.grad, **CLOSE, msg=name)
    assert not found


def test_it_is_trained_and_kept_with_the_weights(
    with_pooler: Pretrained, task_data: Callable, recipe: Callable, tune: Callable
) -> None:
    before = pretrained_weights(with_pooler)
    weights = tune(task_data(), recipe(drop=0.1, pooling="pooler"), encoder=with_pooler).weights
    for name in POOLER:
        assert not torch.equal(weights[name], before[name]), name
    # The files stay as they are, and so does what later runs start from.
    assert with_pooler.pooler is not None
    assert_pooler_is({f"head.pooler.{k}": v for k, v in with_pooler.pooler.state_dict().items()}, before)


def test_it_learns_at_the_rate_of_the_head(
    with_pooler: Pretrained, task_data: Callable, recipe: Callable, tune: Callable
) -> None:
    chosen = recipe(pooling="pooler", learning_rate=1e-12, head_learning_rate=1e-2, layer_decay=0.5)
    weights = tune(task_data(), chosen, encoder=with_pooler).weights
    for name, value in pretrained_weights(with_pooler).items():
        assert float((weights[name] - value).abs().max()) > 1e-3, name
    for name, value in with_pooler.encoder.state_dict().items():
        torch.testing.assert_close(weights[f"encoder.{name}"], value, rtol=0, atol=1e-9, msg=name)


@pytest.mark.parametrize("kind", ["progressive", "permute"])
def test_surgery_leaves_it_alone(
    kind: Any,
    with_pooler: Pretrained,
    task_data: Callable,
    recipe: Callable,
    tune: Callable,
    initial: list[dict[str, Tensor]],
) -> None:
    surgery = Surgery(kind=kind, permutations=[3]) if kind == "permute" else Surgery(kind=kind)
    depth = 3 if kind == "permute" else 0
    tune(task_data(), recipe(pooling="pooler"), encoder=with_pooler, surgery=surgery, depth=depth)
    assert_pooler_is(initial[0], pretrained_weights(with_pooler))


def test_other_poolings_have_none(task_data: Callable, recipe: Callable, tune: Callable) -> None:
    for pooling in ("mean", "first"):
        assert not any("pooler" in name for name in tune(task_data(), recipe(pooling=pooling)).weights)


def test_a_run_starts_from_the_pooler_of_the_one_before(
    with_pooler: Pretrained,
    task_data: Callable,
    recipe: Callable,
    tune: Callable,
    initial: list[dict[str, Tensor]],
    tmp_path: Path,
) -> None:
    """From the pretrained one where that had another pooling."""
    first, target = task_data("pair_classification", classes=2), task_data()
    before = {
        "pooler": tune(first, recipe(pooling="pooler"), encoder=with_pooler).weights,
        "first": tune(first, recipe(pooling="first")).weights,
    }
    for pooling, weights in before.items():
        save_file(weights, tmp_path / f"{pooling}.safetensors")
    initial.clear()
    for pooling in ("pooler", "first"):
        tune(target, recipe(pooling="pooler"), encoder=with_pooler, start=tmp_path / f"{pooling}.safetensors")
    assert_pooler_is(initial[0], before["pooler"])
    assert_pooler_is(initial[1], pretrained_weights(with_pooler))


def test_it_resumes_bit_by_bit(
    with_pooler: Pretrained, task_data: Callable, recipe: Callable, tune: Callable, assert_resumes: Callable
) -> None:
    chosen = recipe(drop=0.2, pooling="pooler", select="best", weight_decay=5.0)
    assert_resumes(partial(tune, task_data(), chosen, encoder=with_pooler))
