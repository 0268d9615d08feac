"""Depths of parameters, their learning rates, and which of them an epoch trains."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from transfer_atlas.models.encoder import SUPPORTED, Pretrained, depths, transformer_layers
from transfer_atlas.models.encoding import Encoding, FusedEncoding, LibraryEncoding, encoding_of
from transfer_atlas.models.heads.linear import LinearHead
from transfer_atlas.models.packing import PackedBatch
from transfer_atlas.models.trainable import Trainable
from transfer_atlas.settings import Engine
from transfer_atlas.training.optimiser import Unfreezing, new_optimiser
from transfer_atlas.training.token_examples import tokenise

CPU = torch.device("cpu")
LAYERS = 3
# XLNet's mask is its pretraining's alone; no state depends on it.
IDLE = {"encoder.mask_emb"}


class Scorer(Trainable):
    """The mean state of a batch's tokens, scored: encoder and head without anything between."""

    def __init__(self, encoder: nn.Module, encoding: Encoding):
        super().__init__()
        self.head = LinearHead(32, 3, 0.0, torch.Generator().manual_seed(1))
        self.encoder = encoder
        self.encoding = encoding
        self._depths = {f"encoder.{name}": depth for name, depth in depths(encoder).items()}

    def depth_of(self, name: str) -> int | None:
        return self._depths.get(name)

    def forward(self, batch: PackedBatch) -> Tensor:
        return self.head(self.encoding(batch)[-1].float().mean(0, keepdim=True))


def scorer(pretrained: Pretrained) -> Scorer:
    return Scorer(pretrained.encoder, encoding_of(pretrained.encoder, Engine()))


def batch_of(pretrained: Pretrained, texts: list[str]) -> PackedBatch:
    labels = np.zeros(len(texts), dtype=np.int64)
    examples = tokenise(pretrained.tokenizer, texts, None, labels, 16, pretrained.position_offset)
    return examples.batch(torch.arange(len(texts)), CPU)


# What shares weights is used at several depths (tests/models/test_albert.py).
@pytest.mark.parametrize("kind", [kind for kind in SUPPORTED if kind != "albert"])
def test_depths_are_the_layers_that_use_the_parameters(kind: str, load: Callable, sentences: Callable) -> None:
    pretrained = load(kind)
    model, batch = scorer(pretrained).train(False), batch_of(pretrained, sentences(3))
    named = dict(model.named_parameters())

    def reached(layer: int) -> set[str]:
        """Parameters that the states of a layer are computed with."""
        states = model.encoding(batch)[layer]
        gradients = torch.autograd.grad(states.sum(), list(named.values()), allow_unused=True)
        return {name for name, gradient in zip(named, gradients, strict=True) if gradient is not None}

    used = [reached(layer) for layer in range(LAYERS + 1)]
    numbers: dict[int | None, list[str]] = {}
    for name in named:
        numbers.setdefault(model.depth_of(name), []).append(name)
    assert numbers.keys() == {None, *range(LAYERS + 1)}
    assert numbers[None] == ["head.output.weight", "head.output.bias"]
    assert used[0] <= set(numbers[0])
    for depth in range(1, LAYERS + 1):
        own = set(numbers[depth])
        assert own == used[depth] - used[depth - 1] - set(numbers[0])
        assert len(own) == len(list(transformer_layers(pretrained.encoder)[0].parameters()))
    assert set(numbers[0]) - IDLE <= used[LAYERS]


@pytest.mark.parametrize("kind", ["bert", "xlnet", "distilbert", "mpnet"])
def test_every_parameter_is_in_one_group_with_its_rate(kind: str, load: Callable, recipe: Callable) -> None:
    model = scorer(load(kind))
    chosen = recipe(learning_rate=1.0, layer_decay=0.5, head_learning_rate=3.0, weight_decay=0.25)
    groups = new_optimiser(model, chosen).param_groups
    of = {id(parameter): group for group in groups for parameter in group["params"]}
    assert sum(len(group["params"]) for group in groups) == len(of) == len(list(model.parameters()))
    rates = {None: 3.0, 3: 1.0, 2: 0.5, 1: 0.25, 0: 0.125}
    for name, parameter in model.named_parameters():
        group = of[id(parameter)]
        assert group["peak"] == group["lr"] == rates[model.depth_of(name)], name
        assert group["weight_decay"] == (0.25 if parameter.ndim > 1 else 0.0), name
    assert len(groups) == len({(group["peak"], group["weight_decay"]) for group in groups})


def test_one_rate_makes_two_groups_with_the_head_last(load: Callable, recipe: Callable) -> None:
    """Clipping adds up norms in the order of the groups, so that order is part of a run's bits."""
    model = scorer(load())
    groups = new_optimiser(model, recipe(weight_decay=0.5)).param_groups
    assert [(group["peak"], group["weight_decay"]) for group in groups] == [(1e-3, 0.5), (1e-3, 0.0)]
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    in_order = [[names[id(parameter)] for parameter in group["params"]] for group in groups]
    assert in_order[0][0] == "encoder.embeddings.word_embeddings.weight"
    assert [part[-1] for part in in_order] == ["head.output.weight", "head.output.bias"]


def trained(model: Scorer) -> set[int | None]:
    """Depths of which all parameters require a gradient; none may be divided."""
    found: dict[int | None, set[bool]] = {}
    for name, parameter in model.named_parameters():
        found.setdefault(model.depth_of(name), set()).add(parameter.requires_grad)
    assert all(len(states) == 1 for states in found.values())
    return {depth for depth, states in found.items() if states == {True}}


@pytest.mark.parametrize("kind", ["bert", "xlnet"])
def test_each_epochs_number_says_what_it_trains(kind: str, load: Callable, recipe: Callable) -> None:
    model = scorer(load(kind))
    unfreezing = Unfreezing(model, recipe(unfreeze_epochs=2))
    expected = [{None}, {None}, {None, 3}, {None, 3}, {None, 3, 2}, {None, 3, 2}, {None, 3, 2, 1}, {None, 3, 2, 1}]
    expected += [{None, 3, 2, 1, 0}] * 2
    for epoch in (*range(10), 0, 9, 3):
        unfreezing.begin(epoch)
        assert trained(model) == expected[epoch], epoch


def test_what_is_frozen_for_good_is_never_unfrozen(load: Callable, recipe: Callable) -> None:
    model = scorer(load())
    model.encoder.embeddings.requires_grad_(False)  # type: ignore[union-attr, operator]
    unfreezing = Unfreezing(model, recipe(unfreeze_epochs=1))
    unfreezing.begin(99)
    assert trained(model) == {None, 3, 2, 1}


def test_without_unfreezing_everything_is_trained_from_the_start(load: Callable, recipe: Callable) -> None:
    model = scorer(load())
    Unfreezing(model, recipe()).begin(0)
    assert trained(model) == {None, 3, 2, 1, 0}


@pytest.mark.parametrize("kind", ["bert", "xlnet"])
def test_moments_begin_with_the_first_gradient(
    kind: str, load: Callable, task_data: Callable, recipe: Callable, tune: Callable, watch: Callable
) -> None:
    """What is frozen keeps its bits, whatever the weight decay; bias correction counts a parameter's own updates."""
    pretrained = load(kind)
    model = scorer(pretrained)
    start = {f"encoder.{name}": value.clone() for name, value in pretrained.encoder.named_parameters()}
    seen = []

    class Seen(watch):  # type: ignore[misc,valid-type]
        def step(self, step: int, total: int, loss: Tensor, tokens: int, snapshot: Callable) -> None:
            seen.append({name: value.clone() for name, value in snapshot().tensors.items()})

    chosen = recipe(epochs=6, unfreeze_epochs=1, weight_decay=5.0, warmup=0.0)
    tune(task_data(encoder=pretrained), chosen, encoder=pretrained, observer=Seen())
    assert len(seen) == 18
    for step, tensors in enumerate(seen, start=1):
        for name, _ in model.named_parameters():
            depth = model.depth_of(name)
            before = 0 if depth is None else 3 * (LAYERS + 1 - depth)
            updates = max(0, step - before)
            if updates == 0:
                assert f"adam.step.{name}" not in tensors, name
                if not name.endswith("word_embedding.weight") and "word_embeddings" not in name:
                    assert torch.equal(tensors[f"model.{name}"], start[name]), name
            elif name not in IDLE:
                assert float(tensors[f"adam.step.{name}"]) == updates, name
                assert tensors[f"adam.exp_avg.{name}"].shape == tensors[f"model.{name}"].shape


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("lowest", [0, 1, 2, 3, 4])
def test_our_layers_give_the_gradients_of_the_librarys_when_some_are_frozen(
    lowest: int, precision: str, load: Callable, sentences: Callable
) -> None:
    """Of what is trained, and of nothing else; the same bits as when nothing is frozen."""
    pretrained = load()
    batch = batch_of(pretrained, sentences(12))

    def gradients(encoding: Any, lowest: int) -> dict[str, Tensor]:
        model = Scorer(pretrained.encoder, encoding)
        for name, parameter in model.named_parameters():
            depth = model.depth_of(name)
            parameter.requires_grad_(depth is None or depth >= lowest)
            parameter.grad = None
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bfloat16"):
            outputs = model.train(False)(batch)
        outputs.square().sum().backward()
        found = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
        assert found.keys() == {name for name, p in model.named_parameters() if p.requires_grad}
        return found

    fused = FusedEncoding(pretrained.encoder)
    ours = gradients(fused, lowest)
    everything = gradients(fused, 0)
    for name, gradient in ours.items():
        assert torch.equal(gradient, everything[name]), name
    theirs = gradients(LibraryEncoding(pretrained.encoder), lowest)
    assert ours.keys() == theirs.keys()
    for name, gradient in ours.items():
        if precision == "float32":
            torch.testing.assert_close(gradient, theirs[name], rtol=1e-4, atol=1e-5, msg=name)
        else:
            assert float((gradient - theirs[name]).norm()) <= 0.05 * float(theirs[name].norm()) + 1e-3, name
