"""What holds for every head that the factory makes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from transfer_atlas.models.dropout import give_stream
from transfer_atlas.models.heads.build import new_head
from transfer_atlas.models.heads.crf import CrfTagger
from transfer_atlas.models.sequences import Sequences
from transfer_atlas.settings import HEADS_BY_TYPE

WIDTH, OUTPUTS = 6, 5
TAGS = ["O", "B-X", "I-X", "B-Y", "I-Y"]
# What an example is to the head: unit, sequences and spans of an example.
KINDS_OF_EXAMPLE: dict[str, dict[str, Any]] = {
    "text": {"unit": "example", "sequences_per_example": 1, "spans_per_example": 0},
    "pair": {"unit": "example", "sequences_per_example": 2, "spans_per_example": 0},
    "span": {"unit": "example", "sequences_per_example": 1, "spans_per_example": 2},
    "word": {"unit": "word", "sequences_per_example": 1, "spans_per_example": 0},
}
TYPES = {
    "text": "sequence_classification",
    "pair": "pair_classification",
    "span": "span_pair_classification",
    "word": "token_labelling",
}
HEADS = [(kind, example) for example, task in TYPES.items() for kind in HEADS_BY_TYPE[task]]


def stream(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def made(kind: str, example: str, *, layers: int = 1, seed: int = 1, dropout: float = 0.2, **changes: Any) -> nn.Module:
    settings: dict[str, Any] = {
        "layers": layers,
        "features": WIDTH,
        "outputs": OUTPUTS,
        "hidden": 4,
        "head_layers": 2,
        "dropout": dropout,
        "pooling": "mean",
        "tag_names": TAGS if example == "word" else None,
        "generator": stream(seed),
        **KINDS_OF_EXAMPLE[example],
    }
    return new_head(kind, **{**settings, **changes})


def drawn(example: str, lengths: list[int], layers: int = 1, seed: int = 2) -> Sequences:
    states = torch.randn(layers, sum(lengths), WIDTH, generator=stream(seed))
    spans = None
    if example == "span":
        spans = torch.tensor([[[0, 1], [length // 2, length]] for length in lengths])
        spans[0, 1] = -1
    return Sequences(states, torch.tensor(lengths), spans)


def part(sequences: Sequences, which: slice) -> Sequences:
    """Some neighbouring sequences alone."""
    units = [0, *torch.cumsum(sequences.lengths, 0).tolist()]
    begin, end, _ = which.indices(len(sequences.lengths))
    spans = None if sequences.spans is None else sequences.spans[which]
    return Sequences(sequences.states[:, units[begin] : units[end]], sequences.lengths[which], spans)


def larger(head: nn.Module) -> nn.Module:
    """Weights so large that no part of a head is lost beside another."""
    with torch.no_grad():
        for seed, parameter in enumerate(head.parameters()):
            parameter.normal_(0.0, 0.4, generator=stream(seed))
    return head


@pytest.mark.parametrize(("kind", "example"), HEADS)
@pytest.mark.parametrize("layers", [1, 3])
def test_a_score_does_not_depend_on_what_else_is_in_the_batch(kind: str, example: str, layers: int) -> None:
    head = larger(made(kind, example, layers=layers)).eval()
    lengths = [3, 9, 1, 4, 12, 2]
    sequences = drawn(example, lengths, layers)
    whole = head(sequences)
    assert whole.shape == (sum(lengths) if example == "word" else 3 if example == "pair" else 6, OUTPUTS)
    each = 2 if example == "pair" else 1
    alone = torch.cat([head(part(sequences, slice(k, k + each))) for k in range(0, 6, each)])
    torch.testing.assert_close(whole, alone, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("kind", "example"), HEADS)
@pytest.mark.parametrize("layers", [1, 3])
def test_gradient_reaches_every_parameter_and_every_state(kind: str, example: str, layers: int) -> None:
    head = larger(made(kind, example, layers=layers, dropout=0.0))
    sequences = drawn(example, [3, 9, 2, 4], layers)
    sequences.states.requires_grad_()
    outputs = head(sequences)
    loss = outputs.square().sum()
    if isinstance(head, CrfTagger):
        tags = torch.randint(0, 2, (len(outputs),), generator=stream(3))
        loss = head.crf.loss(outputs, tags, sequences.lengths)
    loss.backward()
    for name, parameter in head.named_parameters():
        assert parameter.grad is not None and parameter.grad.any(), name
    assert sequences.states.grad is not None
    if example != "span":  # Of a text only marked words are read.
        assert sequences.states.grad.abs().sum(dim=(0, 2)).gt(0).all()


@pytest.mark.parametrize(("kind", "example"), HEADS)
def test_weights_come_from_the_generator_alone(kind: str, example: str) -> None:
    before = torch.random.get_rng_state()
    first, again, other = (made(kind, example, layers=3, seed=seed).state_dict() for seed in (1, 1, 2))
    head = made(kind, example, layers=3)
    give_stream(head, stream(4))
    sequences = drawn(example, [3, 9, 2, 4], 3)
    assert torch.equal(torch.random.get_rng_state(), before)
    outputs = [head(sequences)]
    give_stream(head, stream(4))
    outputs.append(head(sequences))
    assert torch.equal(*outputs)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(first[name], again[name]) for name in first)
    drawn_ones = [name for name in first if first[name].unique().numel() > 4]
    assert drawn_ones
    assert not any(torch.equal(first[name], other[name]) for name in drawn_ones)


@pytest.mark.parametrize(("kind", "example"), HEADS)
def test_dropout_stands_in_every_head(kind: str, example: str) -> None:
    head = made(kind, example)
    with pytest.raises(RuntimeError, match="no random stream"):
        head(drawn(example, [3, 9, 2, 4]))


@pytest.mark.parametrize(("kind", "example"), HEADS)
def test_a_head_learns_a_few_examples_by_heart(kind: str, example: str) -> None:
    head = made(kind, example, layers=2, dropout=0.0, hidden=16)
    sequences = drawn(example, [4, 6, 5, 3, 7, 4, 6, 2], 2)
    count = 4 if example == "pair" else int(sequences.lengths.sum()) if example == "word" else 8
    # Only O, B-X and B-Y, which may stand in any order.
    targets = torch.randint(0, 3, (count,), generator=stream(5))
    targets = torch.tensor([0, 1, 3])[targets]
    optimiser = torch.optim.Adam(head.parameters(), lr=0.03)

    def decoded(outputs: Tensor) -> Tensor:
        if isinstance(head, CrfTagger):
            return head.crf.viterbi(outputs, sequences.lengths)
        return outputs.argmax(1)

    for _ in range(300):
        outputs = head(sequences)
        if isinstance(head, CrfTagger):
            loss = head.crf.loss(outputs, targets, sequences.lengths)
        else:
            loss = nn.functional.cross_entropy(outputs, targets)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if loss.item() < 0.05:
            break
    hits = (decoded(head(sequences)) == targets).float().mean().item()
    # Six numbers a word are too few for a linear map.
    least = 0.5 if example == "word" and kind not in ("bilstm", "bilstm_crf") else 1.0
    assert hits >= least


@pytest.mark.parametrize(("kind", "example"), [(kind, example) for kind, example in HEADS if example == "pair"])
def test_both_texts_of_a_pair_are_treated_alike(kind: str, example: str) -> None:
    """A text beside itself gives what is symmetric: exchanged texts swap halves of what the output map reads."""
    head = larger(made(kind, example)).eval()
    sequences = drawn(example, [3, 5, 5, 3])
    first = sequences.states[0, :8]
    swapped = torch.cat([first[3:], first[:3]])
    states = torch.cat([first, swapped])[None]
    outputs = head(Sequences(states, sequences.lengths))
    assert not torch.allclose(outputs[0], outputs[1], atol=1e-3)
    maps = {"bcn": "maxout.0.maps", "esim": "hidden"}.get(kind, "output")
    weight = head.get_submodule(maps).weight
    with torch.no_grad():
        if kind in ("bcn", "esim", "bi_attention"):
            halves = weight.chunk(2, dim=1)
            weight.copy_(torch.cat([halves[0], halves[0]], dim=1))
        else:
            first_map = (head.hidden or head.output).weight
            quarters = first_map.chunk(4, dim=1)
            first_map.copy_(torch.cat([quarters[0], quarters[0], *quarters[2:]], dim=1))
    outputs = head(Sequences(states, sequences.lengths))
    torch.testing.assert_close(outputs[0], outputs[1], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "example"),
    [("esim", "text"), ("bi_attention", "text"), ("bcn", "span"), ("crf", "text"), ("bilstm", "pair"), ("bcn", "word")],
)
def test_heads_refuse_examples_that_they_cannot_read(kind: str, example: str) -> None:
    with pytest.raises(ValueError, match=kind):
        made(kind, example)


def test_tags_without_a_scheme_are_not_ruled_out() -> None:
    free, bound = made("crf", "word", tag_names=None), made("crf", "word")
    assert not free.crf.penalty.any()
    assert bound.crf.penalty.any()
