from __future__ import annotations

import pytest
import torch

from transfer_atlas.models.heads.linear import LinearHead
from transfer_atlas.models.heads.scalar_mix import ScalarMixMLP


def stream(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_linear_head_is_a_linear_map_of_the_pooled_states() -> None:
    head = LinearHead(32, 3, 0.1, stream()).eval()
    pooled = torch.randn(5, 32, generator=stream(2))
    torch.testing.assert_close(head(pooled), pooled @ head.output.weight.T + head.output.bias)


def test_linear_head_starts_like_bert() -> None:
    head = LinearHead(1024, 64, 0.1, stream())
    assert head.output.weight.std().item() == pytest.approx(0.02, rel=0.02)
    assert head.output.weight.mean().item() == pytest.approx(0.0, abs=5 * 0.02 / 256)
    assert not head.output.bias.any()


def test_scalar_mix_is_equation_1_of_peters_et_al() -> None:
    """gamma * sum_j softmax(w)_j h_j, then a hidden layer with ReLU."""
    head = ScalarMixMLP(8, 3, 6, 2, 0.1, stream()).eval()
    states = torch.randn(5, 4, 8, generator=stream(2))
    with torch.no_grad():
        head.mix.copy_(torch.tensor([0.3, -1.0, 2.0, 0.0]))
        head.gamma.fill_(1.7)
        head.hidden.bias.normal_(generator=stream(3))
        head.output.bias.normal_(generator=stream(4))
        weights = head.mix.exp() / head.mix.exp().sum()
        mixed = torch.zeros(5, 8)
        for layer in range(4):
            mixed += 1.7 * weights[layer] * states[:, layer]
        hidden = (mixed @ head.hidden.weight.T + head.hidden.bias).clamp(min=0)
        expected = hidden @ head.output.weight.T + head.output.bias
    torch.testing.assert_close(head(states), expected, rtol=1e-5, atol=1e-6)


def test_scalar_mix_starts_at_the_mean_of_all_layers() -> None:
    head = ScalarMixMLP(8, 3, 6, 2, 0.0, stream()).eval()
    states = torch.randn(5, 4, 8, generator=stream(2))
    mean = states.mean(1, keepdim=True).expand(-1, 4, -1)
    torch.testing.assert_close(head(states), head(mean), rtol=1e-5, atol=1e-6)


def test_scalar_mix_learns_its_weights() -> None:
    head = ScalarMixMLP(8, 3, 6, 2, 0.0, stream())
    head(torch.randn(5, 4, 8, generator=stream(2))).square().sum().backward()
    assert head.mix.grad.abs().min() > 0
    assert head.gamma.grad != 0


def test_hidden_layer_starts_like_he_et_al() -> None:
    head = ScalarMixMLP(512, 3, 256, 2, 0.1, stream())
    assert head.hidden.weight.std().item() == pytest.approx((2 / 512) ** 0.5, rel=0.02)
    assert not head.hidden.bias.any()


@pytest.mark.parametrize("kind", ["linear", "scalar_mix"])
def test_initial_weights_come_from_the_stream_alone(kind: str) -> None:
    def state(seed: int, global_seed: int) -> dict[str, torch.Tensor]:
        torch.manual_seed(global_seed)
        head = LinearHead(8, 2, 0.1, stream(seed)) if kind == "linear" else ScalarMixMLP(8, 3, 6, 2, 0.1, stream(seed))
        return head.state_dict()

    with torch.random.fork_rng(devices=[]):
        first, again, other = state(1, 0), state(1, 99), state(2, 0)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["output.weight"], other["output.weight"])
