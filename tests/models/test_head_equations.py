"""BCN, ESIM and bi-attention against their papers' equations, written out for one example at a time."""

from __future__ import annotations

import torch
from torch import Tensor

from transfer_atlas.models.heads.bcn import PIECES, Bcn, Maxout
from transfer_atlas.models.heads.bi_attention import BiAttentionHead
from transfer_atlas.models.heads.esim import Esim
from transfer_atlas.models.heads.lstm import BiLstm
from transfer_atlas.models.sequences import Padding, Sequences

LENGTHS = [3, 5, 4, 1, 2, 6]


def stream(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def drawn() -> Sequences:
    return Sequences(torch.randn(1, sum(LENGTHS), 6, generator=stream(2)), torch.tensor(LENGTHS))


def larger(head: torch.nn.Module) -> None:
    """Weights so large that attention is far from uniform and no part is lost beside another; biases that are not 0."""
    with torch.no_grad():
        for seed, parameter in enumerate(head.parameters()):
            parameter.normal_(0.0, 0.5, generator=stream(seed))


def read(lstm: BiLstm, units: Tensor) -> Tensor:
    """One sequence [n, H] through a biLSTM, [n, 2 hidden]."""
    return lstm(units[None], Padding(torch.tensor([len(units)]), units.device))[0]


def texts(sequences: Sequences) -> list[Tensor]:
    return list(sequences.states[0].split(LENGTHS))


def maxout(layer: Maxout, values: Tensor) -> Tensor:
    pieces = [layer.maps.weight[k::PIECES] @ values + layer.maps.bias[k::PIECES] for k in range(PIECES)]
    return torch.stack(pieces).max(dim=0).values


def test_esim_is_equations_1_to_20_of_chen_et_al() -> None:
    head = Esim(6, 3, layers=1, hidden=4, dropout=0.5, generator=stream()).eval()
    larger(head)
    sequences = drawn()
    expected = []
    units = texts(sequences)
    for a, b in zip(units[0::2], units[1::2], strict=True):
        a_bar, b_bar = read(head.encoder, a), read(head.encoder, b)  # 1, 2
        e = a_bar @ b_bar.T  # 11
        a_tilde = torch.softmax(e, dim=1) @ b_bar  # 12
        b_tilde = torch.softmax(e, dim=0).T @ a_bar  # 13
        m_a = torch.cat([a_bar, a_tilde, a_bar - a_tilde, a_bar * a_tilde], dim=1)  # 14
        m_b = torch.cat([b_bar, b_tilde, b_bar - b_tilde, b_bar * b_tilde], dim=1)  # 15
        v_a = read(head.composition, torch.relu(head.projection(m_a)))  # 16
        v_b = read(head.composition, torch.relu(head.projection(m_b)))  # 17
        v = torch.cat([v_a.mean(0), v_a.max(0).values, v_b.mean(0), v_b.max(0).values])  # 18 to 20
        expected.append(head.output(torch.tanh(head.hidden(v))))
    torch.testing.assert_close(head(sequences), torch.stack(expected), rtol=1e-4, atol=1e-5)


def integrated(head: Bcn, x: Tensor, y: Tensor) -> Tensor:
    """Pooled x given y: section 4 of McCann et al., where A's columns are normalised before they are transposed."""
    x, y = (read(head.encoder, torch.relu(head.entry(units))) for units in (x, y))
    affinity = x @ y.T
    context = torch.softmax(affinity.T, dim=0).T @ y
    joined = read(head.integrator, torch.cat([x, x - context, x * context], dim=1))
    weights = torch.softmax(joined @ head.attention, dim=0)
    return torch.cat([joined.max(0).values, joined.mean(0), joined.min(0).values, weights @ joined])


def scored(head: Bcn, pooled: Tensor) -> Tensor:
    for layer in head.maxout:
        pooled = maxout(layer, pooled)
    return head.output(pooled)


def test_bcn_is_section_4_of_mccann_et_al_for_one_text() -> None:
    head = Bcn(6, 3, layers=1, hidden=4, dropout=0.5, sequences=1, generator=stream()).eval()
    larger(head)
    sequences = drawn()
    expected = torch.stack([scored(head, integrated(head, x, x)) for x in texts(sequences)])
    torch.testing.assert_close(head(sequences), expected, rtol=1e-4, atol=1e-4)


def test_bcn_is_section_4_of_mccann_et_al_for_two_texts() -> None:
    head = Bcn(6, 3, layers=1, hidden=4, dropout=0.5, sequences=2, generator=stream()).eval()
    larger(head)
    sequences = drawn()
    units = texts(sequences)
    expected = [
        scored(head, torch.cat([integrated(head, x, y), integrated(head, y, x)]))
        for x, y in zip(units[0::2], units[1::2], strict=True)
    ]
    torch.testing.assert_close(head(sequences), torch.stack(expected), rtol=1e-4, atol=1e-4)


def test_bi_attention_compares_each_unit_with_what_the_other_text_gives() -> None:
    head = BiAttentionHead(6, 3, layers=1, dropout=0.5, generator=stream()).eval()
    assert [name for name, _ in head.named_parameters()] == ["output.weight", "output.bias"]
    sequences = drawn()

    def compared(x: Tensor, y: Tensor) -> Tensor:
        taken = torch.softmax(x @ y.T, dim=1) @ y
        enhanced = torch.cat([x, taken, x - taken, x * taken], dim=1)
        return torch.cat([enhanced.max(0).values, enhanced.mean(0)])

    units = texts(sequences)
    expected = [
        head.output(torch.cat([compared(x, y), compared(y, x)])) for x, y in zip(units[0::2], units[1::2], strict=True)
    ]
    torch.testing.assert_close(head(sequences), torch.stack(expected), rtol=1e-5, atol=1e-6)
