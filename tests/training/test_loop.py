from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR
from transformers import AutoModel, get_constant_schedule_with_warmup, get_linear_schedule_with_warmup

from transfer_atlas.layout import Layout
from transfer_atlas.models.encoder import Pretrained, depths
from transfer_atlas.models.encoding import encoding_of
from transfer_atlas.models.heads.linear import LinearHead
from transfer_atlas.models.heads.pooled import PooledHead
from transfer_atlas.models.network import Network
from transfer_atlas.models.trainable import Trainable
from transfer_atlas.settings import Engine, Recipe
from transfer_atlas.streams import stream_seed
from transfer_atlas.tasks.examples import Examples
from transfer_atlas.tasks.subsets import nested_subset
from transfer_atlas.training.loop import fit, predict
from transfer_atlas.training.optimiser import clip, new_optimiser
from transfer_atlas.training.task_data import TaskData
from transfer_atlas.training.unit_examples import UnitExamples, tokenised_units

CPU = torch.device("cpu")
SEED = 4


def padded_scores(model: nn.Module, head: nn.Linear, pretrained: Pretrained, inputs: Any, pooling: str) -> Tensor:
    states, mask = model(**inputs).last_hidden_state, inputs["attention_mask"][:, :, None]
    pooled = states[:, 0] if pooling == "first" else (states * mask).sum(1) / mask.sum(1)
    return head(pooled)


def plain_loop(
    folder: Path, pretrained: Pretrained, data: TaskData, recipe: Recipe
) -> tuple[list[float], dict[str, Tensor], np.ndarray]:
    """Fine-tuning as any tutorial writes it: transformers' own model, padding, AdamW and a scheduler.

    Returns losses, final weights and scores of the validation split.
    """
    model = AutoModel.from_pretrained(folder, attn_implementation="eager", dtype=torch.float32).eval()
    model.pooler = None
    regression = data.task.type == "pair_regression"
    init = torch.Generator().manual_seed(stream_seed(SEED, "init"))
    head = LinearHead(32, len(data.names or ["score"]), 0.0, init).output
    rows = nested_subset(len(data.splits["train"]), "all", SEED)
    train = data.splits["train"].take(rows)
    targets = torch.from_numpy(train.labels)
    mean, deviation = 0.0, 1.0
    if regression:
        mean, deviation = float(targets.mean()), float(targets.std(correction=0))
        targets = ((targets - mean) / deviation).float()

    # From the head down to the embeddings.
    parts: list[nn.Module] = [head, *reversed(model.encoder.layer), model.embeddings]
    everything = [p for part in parts for p in part.parameters()]
    rates = [recipe.learning_rate * recipe.layer_decay**below for below in range(len(parts) - 1)]
    groups = [
        {
            "params": [p for p in part.parameters() if (p.ndim > 1) == decays],
            "lr": rate,
            "weight_decay": recipe.weight_decay if decays else 0.0,
        }
        for part, rate in zip(parts, [recipe.head_learning_rate or recipe.learning_rate, *rates], strict=True)
        for decays in (True, False)
    ]
    optimiser = torch.optim.AdamW(groups, eps=recipe.adam_epsilon, foreach=False)
    epochs = recipe.epochs
    while epochs * -(-len(train) // recipe.batch_size) < recipe.min_steps:
        epochs += 1
    total = epochs * -(-len(train) // recipe.batch_size)
    warmup = int(recipe.warmup * total)
    if recipe.schedule == "linear":
        scheduler = get_linear_schedule_with_warmup(optimiser, warmup, total)
    elif recipe.schedule == "constant":
        scheduler = get_constant_schedule_with_warmup(optimiser, warmup)
    else:
        slope = [*np.linspace(0, 1, warmup, endpoint=False), *np.linspace(1, 0, total - warmup, endpoint=False), 0.0]
        scheduler = LambdaLR(optimiser, lambda step: float(1 + 31 * slope[step]) / 32)

    def inputs(texts: list[str], pairs: list[str] | None) -> Any:
        return pretrained.tokenizer(
            texts, pairs, padding=True, truncation=True, max_length=data.task.max_length, return_tensors="pt"
        )

    losses = []
    order = torch.Generator().manual_seed(stream_seed(SEED, "order"))
    for epoch in range(epochs):
        trained = len(parts) if recipe.unfreeze_epochs is None else 1 + epoch // recipe.unfreeze_epochs
        frozen = [p for part in parts[trained:] for p in part.parameters()]
        for batch in torch.randperm(len(train), generator=order).split(recipe.batch_size):
            part = train.take(batch.numpy())
            scores = padded_scores(model, head, pretrained, inputs(part.texts, part.pairs), recipe.pooling)
            if regression:
                loss = (scores[:, 0] - targets[batch]).square().mean()
            else:
                loss = nn.functional.cross_entropy(scores, targets[batch])
            for parameter in everything:
                parameter.grad = None
            loss.backward()
            for parameter in frozen:
                parameter.grad = None
            if recipe.clip is not None:
                norm = sum(float(p.grad.double().square().sum()) for p in everything if p.grad is not None) ** 0.5
                for parameter in everything:
                    if parameter.grad is not None and norm > recipe.clip:
                        parameter.grad *= recipe.clip / norm
            optimiser.step()
            scheduler.step()
            losses.append(float(loss.detach()))
    with torch.no_grad():
        validation = data.splits["validation"]
        batch = inputs(validation.texts, validation.pairs)
        outputs = padded_scores(model, head, pretrained, batch, recipe.pooling) * deviation + mean
    weights = {f"encoder.{name}": value for name, value in model.state_dict().items()}
    weights |= {f"head.output.{name}": value for name, value in head.state_dict().items()}
    return losses, weights, outputs.numpy()


VARIANTS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "plain": ("bert", "sequence_classification", {"clip": None}),
    "clipped a little": ("bert", "sequence_classification", {"clip": 1.0}),
    "clipped much": ("bert", "sequence_classification", {"clip": 0.01}),
    "decayed": ("bert", "sequence_classification", {"weight_decay": 20.0}),
    "faster head": ("bert", "sequence_classification", {"head_learning_rate": 1e-2, "weight_decay": 5.0}),
    "constant rate": ("bert", "sequence_classification", {"schedule": "constant", "warmup": 0.4}),
    "slower layers": ("bert", "sequence_classification", {"layer_decay": 0.5, "weight_decay": 20.0, "clip": 0.5}),
    "slanted triangle": ("bert", "sequence_classification", {"schedule": "slanted_triangular", "warmup": 0.3}),
    "unfreezing": ("bert", "sequence_classification", {"unfreeze_epochs": 1, "epochs": 6, "weight_decay": 20.0}),
    "slow unfreezing": ("roberta", "pair_regression", {"unfreeze_epochs": 2, "epochs": 5, "weight_decay": 20.0}),
    "as Howard and Ruder": (
        "bert",
        "sequence_classification",
        {"schedule": "slanted_triangular", "unfreeze_epochs": 1, "epochs": 6, "layer_decay": 0.4, "clip": 0.05},
    ),
    "first token": ("bert", "sequence_classification", {"pooling": "first"}),
    "more epochs": ("bert", "sequence_classification", {"min_steps": 11}),
    "pairs": ("bert", "pair_classification", {}),
    "scores": ("bert", "pair_regression", {}),
    "roberta": ("roberta", "pair_classification", {}),
}


@pytest.mark.parametrize(("kind", "task", "changes"), VARIANTS.values(), ids=VARIANTS.keys())
def test_equals_a_plain_padded_loop(
    kind: str,
    task: str,
    changes: dict[str, Any],
    make_encoder: Callable[..., Path],
    load: Callable[..., Pretrained],
    task_data: Callable[..., TaskData],
    recipe: Callable[..., Recipe],
    tune: Callable,
    watch: Callable,
) -> None:
    """Losses, all weights (of unused words too) and predictions, to rounding."""
    pretrained = load(kind)
    data = task_data(task, pretrained)
    # A large epsilon, so that rounding of vanishing gradients is not blown up to the size of the learning rate.
    chosen = recipe(**{"learning_rate": 3e-3, "adam_epsilon": 1e-3, **changes})
    seen = watch()

    found = tune(data, chosen, encoder=pretrained, seed=SEED, observer=seen)
    losses, weights, outputs = plain_loop(make_encoder(kind), pretrained, data, chosen)

    assert found.fitted.steps == seen.total == len(losses)
    assert seen.losses == pytest.approx(losses, rel=1e-4)
    assert abs(losses[0] - losses[-1]) > 0.01
    # Where scores are learnt, their scale is kept with the weights.
    assert found.weights.keys() - {"target_scaling"} == weights.keys()
    for name, weight in weights.items():
        torch.testing.assert_close(found.weights[name], weight, rtol=1e-4, atol=2e-6, msg=name)
    np.testing.assert_allclose(found.splits["validation"].outputs, outputs, rtol=1e-3, atol=1e-4)


# --- order -------------------------------------------------------------------------------------------------


def training_batches(monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """Fills with the rows of each batch that is trained on."""
    seen: list[list[int]] = []
    batch = UnitExamples.batch

    def spy(self: UnitExamples, rows: Tensor, device: torch.device) -> Any:
        if torch.is_grad_enabled():
            seen.append(rows.tolist())
        return batch(self, rows, device)

    monkeypatch.setattr(UnitExamples, "batch", spy)
    return seen


def test_every_epoch_sees_every_example_once(
    task_data: Callable, recipe: Callable, tune: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = training_batches(monkeypatch)
    tune(task_data(), recipe())
    assert [len(batch) for batch in seen] == [5, 5, 2] * 3
    epochs = [[row for batch in seen[i : i + 3] for row in batch] for i in (0, 3, 6)]
    assert all(sorted(epoch) == list(range(12)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3


def test_the_order_depends_on_the_seed_alone(
    task_data: Callable, recipe: Callable, tune: Callable, load: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = training_batches(monkeypatch)

    def batches(data: TaskData, chosen: Recipe, **options: Any) -> list[set[int]]:
        seen.clear()
        tune(data, chosen, **options)
        return [set(batch) for batch in seen]

    plain = batches(task_data(), recipe())
    order = torch.Generator().manual_seed(stream_seed(1, "order"))
    expected = [set(part.tolist()) for _ in range(3) for part in torch.randperm(12, generator=order).split(5)]
    assert plain == expected
    assert batches(task_data(), recipe(learning_rate=1e-4, drop=0.3, pooling="first")) == plain
    assert batches(task_data("pair_regression"), recipe()) == plain
    roberta = load("roberta")
    assert batches(task_data(encoder=roberta), recipe(), encoder=roberta) == plain
    assert batches(task_data(), recipe(), seed=2) != plain


# --- the loop by itself, with a head on features -----------------------------------------------------------


@dataclass(frozen=True)
class FeatureExamples:
    """Vectors as examples: states [N, H], targets [N], lengths [N]."""

    states: Tensor
    targets: Tensor
    lengths: Tensor

    def __len__(self) -> int:
        return len(self.states)

    def sizes(self) -> Tensor:
        return self.lengths

    def units(self, rows: Tensor) -> Tensor:
        return torch.ones_like(rows)

    def batch(self, rows: Tensor, device: torch.device) -> Tensor:
        return self.states[rows].to(device)

    def targets_of(self, rows: Tensor, device: torch.device) -> Tensor:
        return self.targets[rows].to(device)


class Scorer(LinearHead, Trainable):
    """A head without an encoder below."""


def features(n: int = 12, seed: int = 0) -> FeatureExamples:
    random = torch.Generator().manual_seed(seed)
    return FeatureExamples(
        torch.randn(n, 8, generator=random),
        torch.randint(3, (n,), generator=random),
        torch.randint(3, 9, (n,), generator=random),
    )


def head(dropout: float = 0.0) -> Scorer:
    return Scorer(8, 3, dropout, torch.Generator().manual_seed(1))


@dataclass(frozen=True)
class WordExamples:
    """Sentences of words: states [N words, H] and targets [N words], sentence after sentence; lengths [N]."""

    states: Tensor
    targets: Tensor
    lengths: Tensor

    def __len__(self) -> int:
        return len(self.lengths)

    def sizes(self) -> Tensor:
        return self.lengths

    def units(self, rows: Tensor) -> Tensor:
        return self.lengths[rows]

    def _words(self, rows: Tensor) -> list[int]:
        starts = (torch.cumsum(self.lengths, 0) - self.lengths).tolist()
        return [word for row in rows.tolist() for word in range(starts[row], starts[row] + int(self.lengths[row]))]

    def batch(self, rows: Tensor, device: torch.device) -> Tensor:
        return self.states[self._words(rows)].to(device)

    def targets_of(self, rows: Tensor, device: torch.device) -> Tensor:
        return self.targets[self._words(rows)].to(device)


def words(n: int, seed: int = 0) -> WordExamples:
    random = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, 7, (n,), generator=random)
    states = torch.randn(int(lengths.sum()), 8, generator=random)
    return WordExamples(states, states[:, :3].argmax(1), lengths)


class Tagger(Scorer):
    """Its prediction for a word is the class's number."""

    def decode(self, outputs: Tensor, batch: Tensor) -> Tensor:
        assert outputs.shape == (len(batch), 3)
        return outputs.argmax(1, keepdim=True).float()


def test_words_are_trained_and_predicted_in_their_order(recipe: Callable, watch: Callable) -> None:
    """More than one batch of evaluation; sentences of different lengths; each word has a label of its own."""
    model = Tagger(8, 3, 0.0, torch.Generator().manual_seed(1))
    examples, seen = words(150), watch()
    chosen = recipe(learning_rate=0.05, epochs=20, batch_size=16)
    fit(model, examples, chosen, 1, device=CPU, precision="float32", observer=seen)
    assert seen.losses[-1] < 0.4 < seen.losses[0]
    found = predict(model, examples, CPU, "float32")
    assert found.shape == (len(examples.states), 1)
    with torch.no_grad():
        assert np.array_equal(found[:, 0], model(examples.states).argmax(1).numpy())
    assert float((torch.from_numpy(found[:, 0]) == examples.targets).float().mean()) > 0.95


def test_the_model_has_its_own_loss(recipe: Callable, watch: Callable) -> None:
    """It sees outputs, targets and the batch that they are of."""

    class Shifted(Scorer):
        def loss(self, outputs: Tensor, targets: Tensor, batch: Tensor) -> Tensor:
            assert len(outputs) == len(targets) == len(batch)
            return super().loss(outputs, targets, batch) + 5.0

    plain, shifted = watch(), watch()
    fit(head(), features(), recipe(), 1, device=CPU, precision="float32", observer=plain)
    model = Shifted(8, 3, 0.0, torch.Generator().manual_seed(1))
    fit(model, features(), recipe(), 1, device=CPU, precision="float32", observer=shifted)
    assert shifted.losses == pytest.approx([loss + 5.0 for loss in plain.losses])


def test_the_first_of_the_best_epochs_is_chosen(recipe: Callable, watch: Callable) -> None:
    scores = iter([0.3, 0.9, 0.9, 0.5])
    states: list[dict[str, Tensor]] = []
    model = head()

    def validate(steps: int) -> float:
        assert steps == 3 * (len(states) + 1)
        states.append(copy.deepcopy(model.state_dict()))
        return next(scores)

    fitted = fit(
        model,
        features(),
        recipe(epochs=4, learning_rate=0.1, select="best"),
        1,
        device=CPU,
        precision="float32",
        observer=watch(),
        validate=validate,
    )
    assert fitted.chosen_step == 6
    assert fitted.steps == 12
    assert fitted.best_weights is not None
    assert all(torch.equal(fitted.best_weights[name], states[1][name]) for name in states[1])
    assert not torch.equal(states[1]["output.weight"], states[2]["output.weight"])
    assert torch.equal(model.output.weight, states[3]["output.weight"])


def test_the_last_weights_need_no_validation(recipe: Callable, watch: Callable) -> None:
    seen = watch()
    examples = features()
    fitted = fit(head(), examples, recipe(), 1, device=CPU, precision="float32", observer=seen)
    assert fitted.best_weights is None
    assert fitted.chosen_step == fitted.steps == seen.total == 9
    assert fitted.tokens == seen.tokens[-1] == 3 * int(examples.lengths.sum())
    assert seen.tokens == sorted(seen.tokens)
    assert fitted.seconds > 0


def test_the_model_trains_in_training_mode_after_each_validation(recipe: Callable, watch: Callable) -> None:
    model, modes = head(0.5), []
    forward = model.forward

    def spy(pooled: Tensor) -> Tensor:
        modes.append((model.training, torch.is_grad_enabled()))
        return forward(pooled)

    model.forward = spy  # type: ignore[method-assign]

    def validate(steps: int) -> float:
        predict(model, features(), CPU, "float32")
        return 0.0

    fit(
        model,
        features(),
        recipe(select="best"),
        1,
        device=CPU,
        precision="float32",
        observer=watch(),
        validate=validate,
    )
    assert modes == ([(True, True)] * 3 + [(False, False)]) * 3


def test_frozen_weights_stay(recipe: Callable, watch: Callable) -> None:
    model = head()
    model.output.bias.requires_grad_(False)
    before = copy.deepcopy(model.state_dict())
    fit(model, features(), recipe(learning_rate=0.1), 1, device=CPU, precision="float32", observer=watch())
    assert torch.equal(model.output.bias, before["output.bias"])
    assert not torch.equal(model.output.weight, before["output.weight"])


def test_the_learning_rate_of_the_first_update_is_zero_with_warm_up(recipe: Callable, watch: Callable) -> None:
    model = head()
    before = copy.deepcopy(model.state_dict())
    states = []

    class Seen(watch):  # type: ignore[misc,valid-type]
        def step(self, *arguments: Any) -> None:
            states.append(copy.deepcopy(model.state_dict()))

    fit(model, features(), recipe(warmup=0.3), 1, device=CPU, precision="float32", observer=Seen())
    assert torch.equal(states[0]["output.weight"], before["output.weight"])
    assert not torch.equal(states[1]["output.weight"], before["output.weight"])


# --- clipping ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.01, 0.5, 1.0, 1.5], ids=["much", "a little", "at the threshold", "below it"])
def test_clipping_inside_the_optimiser_is_clipping_before_it(share: float, recipe: Callable) -> None:
    """Several updates of growing gradients with a large epsilon: a single update of Adam hides their scale."""
    chosen = recipe(learning_rate=0.1, adam_epsilon=0.1, weight_decay=0.1)
    ours, theirs = head(), head()
    optimisers = [new_optimiser(model, chosen) for model in (ours, theirs)]
    random = torch.Generator().manual_seed(3)
    start = ours.output.weight.detach().clone()
    for step in range(1, 6):
        drawn = [step * torch.randn(p.shape, generator=random) for p in ours.parameters()]
        largest = share * float(nn.utils.get_total_norm(drawn))
        for model in (ours, theirs):
            for parameter, gradient in zip(model.parameters(), drawn, strict=True):
                parameter.grad = gradient.clone()
        clip(optimisers[0], largest)
        nn.utils.clip_grad_norm_(theirs.parameters(), largest)
        for optimiser in optimisers:
            optimiser.step()
    for found, expected in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)
    assert not torch.allclose(ours.output.weight, start, atol=1e-3)


# --- predictions -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arrangement", ["random", "longest first", "equal"])
def test_predictions_keep_the_examples_order(
    arrangement: str, pretrained: Pretrained, sentences: Callable[..., list[str]]
) -> None:
    """More than one batch of evaluation; each score must be that of its text alone."""
    texts = sentences(70, longest=9, shortest=9 if arrangement == "equal" else 1)
    if arrangement == "longest first":
        texts.sort(key=len, reverse=True)
    init = torch.Generator().manual_seed(1)
    settings = {"layers": 1, "hidden": None, "dropout": 0.5, "pooling": "mean", "sequences": 1, "spans": 0}
    scorer, encoder = PooledHead(32, 3, generator=init, **settings), pretrained.encoder
    model = Network(encoder, scorer, False, encoding_of(encoder, Engine()), depths(encoder))
    split = Examples([str(row) for row in range(70)], texts, None, np.zeros(70, dtype=np.int64))
    examples = tokenised_units(pretrained.tokenizer, split, Layout("tokens", False, None, None), 16, 0)

    found = predict(model.train(), examples, CPU, "float32")

    assert found.shape == (70, 3)
    assert found.dtype == np.float32
    with torch.no_grad():
        alone = torch.cat([model(examples.batch(torch.tensor([row]), CPU)) for row in range(70)])
    np.testing.assert_allclose(found, alone.numpy(), rtol=1e-4, atol=1e-5)
    assert len(np.unique(found[:, 0].round(4))) > 60
