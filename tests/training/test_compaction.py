"""Training without the words that no example uses gives the weights that training with all of them gives."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from transfer_atlas.models.dropout import give_stream, replace_dropout
from transfer_atlas.models.encoder import Pretrained, depths
from transfer_atlas.models.encoding import encoding_of
from transfer_atlas.models.heads.pooled import PooledHead
from transfer_atlas.models.network import Network
from transfer_atlas.settings import Engine, Recipe
from transfer_atlas.streams import stream_seed
from transfer_atlas.tasks.subsets import nested_subset
from transfer_atlas.training import schedule
from transfer_atlas.training.loop import predict
from transfer_atlas.training.starts import TransformerStarts
from transfer_atlas.training.task_data import TaskData
from transfer_atlas.training.unit_examples import UnitExamples

CPU = torch.device("cpu")
SEED = 3
WORDS = "encoder.embeddings.word_embeddings.weight"


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """Fills with the rows of each batch that is trained on, in their order."""
    seen: list[Tensor] = []
    batch = UnitExamples.batch

    def spy(self: UnitExamples, rows: Tensor, device: torch.device) -> Any:
        if torch.is_grad_enabled():
            seen.append(rows)
        return batch(self, rows, device)

    monkeypatch.setattr(UnitExamples, "batch", spy)
    return seen


def whole_network(encoder: nn.Module, pooling: str = "mean", dropout: float = 0.0, seed: int = 1) -> Network:
    """Encoder and linear head, with the whole embedding matrix."""
    init = torch.Generator().manual_seed(seed)
    settings = {"layers": 1, "hidden": None, "dropout": dropout, "pooling": pooling, "sequences": 1, "spans": 0}
    head = PooledHead(32, 3, generator=init, **settings)
    return Network(encoder, head, False, encoding_of(encoder, Engine()), depths(encoder))


def uncompacted(
    pretrained: Pretrained, data: TaskData, recipe: Recipe, batches: list[Tensor]
) -> tuple[list[float], dict[str, Tensor], np.ndarray, Tensor]:
    """The same batches through the whole embedding matrix: losses, weights, validation scores, ids in use."""
    train = data.units["train"].take(nested_subset(len(data.splits["train"]), "all", SEED))
    encoder = copy.deepcopy(pretrained.encoder)
    if recipe.dropout is not None:
        replace_dropout(encoder, recipe.dropout)
    model = whole_network(encoder, recipe.pooling, recipe.head_dropout, stream_seed(SEED, "init")).train()
    give_stream(model, torch.Generator().manual_seed(stream_seed(SEED, "dropout")))
    matrices = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    others = [parameter for parameter in model.parameters() if parameter.ndim < 2]
    optimiser = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": recipe.weight_decay}, {"params": others, "weight_decay": 0.0}],
        eps=recipe.adam_epsilon,
        fused=True,
    )
    losses = []
    for step, rows in enumerate(batches):
        rate = recipe.learning_rate * schedule.factor(step, len(batches), recipe.warmup, recipe.schedule)
        for group in optimiser.param_groups:
            group["lr"] = rate
        loss = nn.functional.cross_entropy(model(train.batch(rows, CPU)), train.targets_of(rows, CPU))
        optimiser.zero_grad()
        loss.backward()
        if recipe.clip is not None:
            nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
        optimiser.step()
        losses.append(loss.item())
    model.eval()
    validation = data.units["validation"]
    with torch.no_grad():
        scores = [model(validation.batch(torch.tensor([row]), CPU)) for row in range(len(validation))]
    return losses, model.state_dict(), torch.cat(scores).numpy(), train.tokens.vocabulary()


@pytest.mark.parametrize("dropout", [0.0, 0.2])
@pytest.mark.parametrize("clip", [None, 0.5])
@pytest.mark.parametrize("decay", [0.0, 30.0])
def test_same_losses_weights_and_predictions(
    decay: float,
    clip: float | None,
    dropout: float,
    pretrained: Pretrained,
    task_data: Callable,
    recipe: Callable,
    tune: Callable,
    watch: Callable,
    batches: list[Tensor],
) -> None:
    """Bit-identical without clipping; with it, the gradient's norm is summed in another order.

    Weight decay of unused rows is applied at once, not step by step: equal to 1e-6.
    """
    # A large epsilon, so that rounding of vanishing gradients is not blown up to the size of the learning rate.
    settings = {"weight_decay": decay, "clip": clip, "drop": dropout, "adam_epsilon": 1e-4}
    data, chosen = task_data(), recipe(**settings)
    seen = watch()

    found = tune(data, chosen, seed=SEED, observer=seen)
    losses, weights, scores, used = uncompacted(pretrained, data, chosen, batches[:])

    unused = torch.ones(len(weights[WORDS]), dtype=torch.bool)
    unused[used] = False
    assert 30 < int(unused.sum()) < 80
    assert found.weights.keys() == weights.keys()
    if clip is None:
        assert seen.losses == losses
        for name, weight in weights.items():
            rows = ~unused if name == WORDS else ...
            assert torch.equal(found.weights[name][rows], weight[rows]), name
    else:
        assert seen.losses == pytest.approx(losses, rel=1e-4)
        for name, weight in weights.items():
            # One update moves a weight by at most about the learning rate.
            torch.testing.assert_close(found.weights[name], weight, rtol=1e-3, atol=1e-5, msg=name)
    if decay == 0.0:
        assert torch.equal(found.weights[WORDS][unused], pretrained.encoder.get_input_embeddings().weight[unused])
    else:
        torch.testing.assert_close(found.weights[WORDS][unused], weights[WORDS][unused], rtol=1e-6, atol=1e-9)
        before = pretrained.encoder.get_input_embeddings().weight.detach()[unused]
        assert float((found.weights[WORDS][unused] / before).max()) < 0.95
    # Validation has words that training has not.
    assert unused[data.units["validation"].tokens.input_ids].any()
    np.testing.assert_allclose(found.splits["validation"].outputs, scores, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("epochs", [4, 7])
def test_with_unfreezing_and_layer_decay(
    epochs: int, pretrained: Pretrained, task_data: Callable, recipe: Callable, tune: Callable, watch: Callable
) -> None:
    """Unused rows decay at the embeddings' rate, from the fifth epoch on: the head and three layers come before."""
    data, full = task_data(), Engine(vocabulary="full")
    chosen = recipe(
        drop=0.2,
        clip=None,
        weight_decay=100.0,
        learning_rate=3e-3,
        epochs=epochs,
        unfreeze_epochs=1,
        layer_decay=0.8,
        schedule="slanted_triangular",
    )
    ours, theirs = watch(), watch()
    found, expected = tune(data, chosen, observer=ours), tune(data, chosen, observer=theirs, engine=full)
    assert ours.losses == theirs.losses
    unused = torch.ones(len(expected.weights[WORDS]), dtype=torch.bool)
    unused[data.units["train"].tokens.vocabulary()] = False
    for name, weight in expected.weights.items():
        rows = ~unused if name == WORDS else ...
        assert torch.equal(found.weights[name][rows], weight[rows]), name
    torch.testing.assert_close(found.weights[WORDS][unused], expected.weights[WORDS][unused], rtol=1e-6, atol=1e-9)
    before = pretrained.encoder.get_input_embeddings().weight.detach()[unused]
    shrunk = float((found.weights[WORDS][unused] / before).max())
    assert shrunk == 1.0 if epochs == 4 else shrunk < 0.8
    np.testing.assert_allclose(found.splits["test"].outputs, expected.splits["test"].outputs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("select", ["last", "best"])
def test_scores_are_those_of_the_whole_vocabulary(
    select: str, pretrained: Pretrained, task_data: Callable, recipe: Callable, tune: Callable
) -> None:
    """Evaluation holds the words of its own texts only; the kept weights hold all of them. Bit by bit."""
    data, chosen = task_data(), recipe(weight_decay=30.0, select=select, learning_rate=3e-3)
    trained = tune(data, chosen)

    whole = whole_network(copy.deepcopy(pretrained.encoder))
    starts = TransformerStarts(pretrained, data, Engine())
    whole.load_state_dict(trained.weights)
    for split, scored in trained.splits.items():
        texts = data.units[split]
        assert len(starts.evaluation_vocabulary) < len(trained.weights[WORDS])
        assert int(starts.evaluation[split].tokens.input_ids.max()) < len(starts.evaluation_vocabulary)
        assert np.array_equal(scored.outputs, predict(whole, texts, CPU, "float32"))


def test_only_used_rows_are_trained(task_data: Callable, recipe: Callable, tune: Callable, watch: Callable) -> None:
    """What the optimiser holds is a fraction of the vocabulary."""
    rows = []

    class Seen(watch):  # type: ignore[misc,valid-type]
        def step(self, step: int, total: int, loss: Tensor, tokens: int, snapshot: Callable) -> None:
            tensors = snapshot().tensors
            rows.append((len(tensors[f"model.{WORDS}"]), len(tensors[f"adam.exp_avg.{WORDS}"])))

    data = task_data()
    tune(data, recipe(), observer=Seen())
    used = len(data.units["train"].tokens.vocabulary())
    assert set(rows) == {(used, used)}
    assert used < 60


def test_a_text_that_spells_the_padding_token(
    pretrained: Pretrained, task_data: Callable, recipe: Callable, tune: Callable, batches: list[Tensor]
) -> None:
    """Padding's row gets no gradient from torch's embedding, not even where a text holds `[PAD]`."""
    plain = task_data()
    train = plain.splits["train"]
    spelt = replace(train, texts=[f"{train.texts[0]} [PAD]", *train.texts[1:]])
    data = TaskData.of(plain.task, plain.names, {**plain.splits, "train": spelt}, pretrained, plain.layout)
    assert 0 in data.units["train"].tokens.vocabulary()
    chosen = recipe(clip=None)

    found = tune(data, chosen, seed=SEED)

    _, weights, _, _ = uncompacted(pretrained, data, chosen, batches[:])
    assert torch.equal(found.weights[WORDS], weights[WORDS])


def test_a_run_leaves_the_pretrained_vocabulary(
    pretrained: Pretrained, task_data: Callable, recipe: Callable, tune: Callable
) -> None:
    before = {name: value.clone() for name, value in pretrained.encoder.state_dict().items()}
    tune(task_data(), recipe(weight_decay=1.0))
    after = pretrained.encoder.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
