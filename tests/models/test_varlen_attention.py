"""The variable-length kernel takes the place of padded blocks; where there is no GPU, a plain sum stands for it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from transfer_atlas.models import packed_attention, varlen_attention
from transfer_atlas.models.packing import Packing

HEADS, SIZE = 3, 8
LENGTHS = [3, 5, 1, 30, 2]


def text_by_text(
    query: Tensor, key: Tensor, value: Tensor, begins: Tensor, others: Tensor, most: int, most_keys: int, **options: Any
) -> Tensor:
    """What the kernel promises (torch.nn.attention.varlen), one text after another."""
    assert torch.equal(begins, others)
    assert most == most_keys == max(LENGTHS)
    assert options["num_splits"] == 1
    texts = []
    for begin, end in zip(begins.tolist(), begins.tolist()[1:], strict=False):
        q, k, v = (part[begin:end].transpose(0, 1) for part in (query, key, value))
        texts.append((torch.softmax(q @ k.transpose(1, 2) * options["scale"], -1) @ v).transpose(0, 1))
    return torch.cat(texts)


def both(qkv: Tensor, packing: Packing, gradient: Tensor) -> tuple[Tensor, Tensor]:
    """Contexts and gradients of queries, keys and values."""
    context, saved = packed_attention.attend(qkv, packing, HEADS, 0.3, None)
    return context, packed_attention.attend_backward(gradient, saved, packing, HEADS, 0.3)


def test_gives_what_padded_blocks_give(monkeypatch: pytest.MonkeyPatch) -> None:
    packing = Packing(torch.tensor(LENGTHS), torch.device("cpu"))
    rows = packing.tokens + packing.filler
    assert packing.filler > 0
    draw = torch.Generator().manual_seed(0)
    qkv = torch.randn(rows, 3 * HEADS * SIZE, generator=draw, dtype=torch.float64)
    gradient = torch.randn(rows, HEADS * SIZE, generator=draw, dtype=torch.float64)
    expected = both(qkv, packing, gradient)

    called = []
    monkeypatch.setattr(varlen_attention, "is_possible", lambda qkv, size: called.append(size) or True)
    monkeypatch.setattr(varlen_attention, "varlen_attn", text_by_text)
    with torch.no_grad():
        found = both(qkv, packing, gradient)

    assert called == [SIZE]
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-11)
        assert not ours[packing.tokens :].any()


def test_is_not_taken_on_a_processor() -> None:
    assert not varlen_attention.is_possible(torch.zeros(4, 24, dtype=torch.bfloat16), 8)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_kernel_itself() -> None:
    device = torch.device("cuda")
    packing = Packing(torch.tensor(LENGTHS), device)
    draw = torch.Generator(device).manual_seed(0)
    rows, width = packing.tokens + packing.filler, HEADS * 32
    qkv = torch.randn(rows, 3 * width, generator=draw, device=device)
    gradient = torch.randn(rows, width, generator=draw, device=device)
    expected = both(qkv, packing, gradient)
    if not varlen_attention.is_possible(qkv.bfloat16(), 32):
        pytest.skip("needs an Ampere GPU or later")

    found = both(qkv.bfloat16(), packing, gradient.bfloat16())

    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours.float(), theirs, rtol=5e-2, atol=5e-2)
