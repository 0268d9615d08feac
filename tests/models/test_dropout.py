from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from transfer_atlas.models.dropout import StreamDropout, give_stream, keep_mask, replace_dropout
from transfer_atlas.models.encoder import Pretrained
from transfer_atlas.models.heads.linear import LinearHead

Load = Callable[..., Pretrained]


def stream(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("p", [0.05, 0.1, 0.5, 0.9])
def test_keep_rate(p: float) -> None:
    n = 400_000
    kept = float(keep_mask(torch.Size([n]), p, stream()).double().mean())
    # Five standard errors.
    assert abs(kept - (1 - p)) < 5 * (p * (1 - p) / n) ** 0.5


@pytest.mark.parametrize(
    ("p", "kept"),
    [
        (0.0, True),
        (1e-6, True),
        (1 - 1e-5, False),
        (1 - 1e-6, False),
    ],
)
def test_extreme_probabilities_are_rounded(p: float, kept: bool) -> None:
    mask = keep_mask(torch.Size([10_000]), p, stream())
    assert mask.double().mean() == pytest.approx(float(kept), abs=1e-3)


def test_neighbouring_elements_are_independent() -> None:
    """One random word decides several elements: no two of them may be decided together."""
    mask = keep_mask(torch.Size([200_000]), 0.5, stream()).double() - 0.5
    for distance in range(1, 9):
        correlation = float((mask[:-distance] * mask[distance:]).mean()) / 0.25
        assert abs(correlation) < 0.015, distance


@pytest.mark.parametrize("shape", [(1,), (3,), (5, 7), (2, 3, 4, 5)])
def test_shape_of_masks(shape: tuple[int, ...]) -> None:
    assert keep_mask(torch.Size(shape), 0.5, stream()).shape == shape


def test_scaling_keeps_the_expectation() -> None:
    dropout = StreamDropout(0.25)
    give_stream(dropout, stream())
    dropped = dropout(torch.full((100_000,), 3.0))
    assert dropped.unique().tolist() == pytest.approx([0.0, 4.0])
    assert float(dropped.mean()) == pytest.approx(3.0, abs=0.03)


def test_gradient_flows_through_kept_elements_only() -> None:
    dropout, values = StreamDropout(0.5), torch.ones(1000, requires_grad=True)
    give_stream(dropout, stream())
    dropped = dropout(values)
    dropped.sum().backward()
    assert torch.equal(values.grad, dropped.detach())


def test_same_stream_same_masks() -> None:
    dropout, values = StreamDropout(0.5), torch.ones(1000)
    masks = []
    for seed in (1, 1, 2):
        give_stream(dropout, stream(seed))
        masks.append((dropout(values), dropout(values)))
    assert all(torch.equal(a, b) for a, b in zip(masks[0], masks[1], strict=True))
    assert not torch.equal(masks[0][0], masks[0][1])
    assert not torch.equal(masks[0][0], masks[2][0])


def test_nothing_from_the_global_generator() -> None:
    dropout = StreamDropout(0.5)
    give_stream(dropout, stream())
    before = torch.get_rng_state()
    dropout(torch.ones(1000))
    assert torch.equal(torch.get_rng_state(), before)


def test_inactive_in_evaluation_and_at_probability_zero() -> None:
    values = torch.ones(10)
    assert StreamDropout(0.5).eval()(values) is values
    assert StreamDropout(0.0).train()(values) is values


def test_training_without_a_stream_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="give_stream"):
        StreamDropout(0.5).train()(torch.ones(10))


def test_no_torch_dropout_in_a_loaded_encoder(load: Load) -> None:
    for kind in ("bert", "roberta"):
        encoder = load(kind, hidden_dropout_prob=0.2, attention_probs_dropout_prob=0.3).encoder
        assert not [module for module in encoder.modules() if isinstance(module, nn.Dropout)]
        probabilities = [module.p for module in encoder.modules() if isinstance(module, StreamDropout)]
        # One behind the embeddings; attention weights, attention output and output in each layer.
        assert sorted(probabilities) == [0.2] * 7 + [0.3] * 3


def test_replaced_probability_holds_everywhere(load: Load) -> None:
    encoder = load("bert", hidden_dropout_prob=0.2, attention_probs_dropout_prob=0.3).encoder
    replace_dropout(encoder, 0.05)
    assert {module.p for module in encoder.modules() if isinstance(module, StreamDropout)} == {0.05}


def test_evaluation_of_an_encoder_drops_nothing(load: Load) -> None:
    encoder = load(hidden_dropout_prob=0.5, attention_probs_dropout_prob=0.5).encoder
    dropouts = [module for module in encoder.modules() if isinstance(module, StreamDropout)]
    encoder.train()
    assert all(module.training for module in dropouts)
    encoder.eval()
    values = torch.ones(4)
    assert all(module(values) is values for module in dropouts)


def test_stream_reaches_encoder_and_head(load: Load) -> None:
    model = nn.ModuleDict({"encoder": load().encoder, "head": LinearHead(32, 2, 0.1, stream())})
    given = stream()
    give_stream(model, given)
    assert all(module.generator is given for module in model.modules() if isinstance(module, StreamDropout))
