"""Which tags of a BIO or BIOES scheme may follow which."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Impossible:
    """What no sequence of K tags may contain, as bool.

    Attributes:
        transitions: [K, K] tag (column) after tag (row).
        start: [K] first tags.
        end: [K] last tags. None are in these schemes: a sentence that was too long may have been cut within a span.
    """

    transitions: Tensor
    start: Tensor
    end: Tensor


def _split(name: str) -> tuple[str, str]:
    prefix, _, kind = name.partition("-")
    if name != "O" and (prefix not in ("B", "I", "E", "S") or not kind):
        raise ValueError(f"{name!r} is no tag of BIO or BIOES")
    return prefix, kind


def impossible(names: Sequence[str]) -> Impossible:
    """What the scheme of these tags rules out: BIOES where a tag begins with `E-` or `S-`, else BIO.

    BIO: `I-X` follows `B-X` or `I-X`. BIOES: `B-X` and `I-X` are followed by `I-X` or `E-X`, which follow nothing else.

    Raises:
        ValueError: for a name that is no tag of either scheme.
    """
    tags = [_split(name) for name in names]
    must_end = any(prefix in ("E", "S") for prefix, _ in tags)

    def allowed(before: tuple[str, str], after: tuple[str, str]) -> bool:
        is_open = before[0] in ("B", "I")
        continues = after[0] in ("I", "E")
        if continues:
            return is_open and before[1] == after[1]
        return not (is_open and must_end)

    outside = ("O", "")
    return Impossible(
        torch.tensor([[not allowed(before, after) for after in tags] for before in tags]),
        torch.tensor([not allowed(outside, tag) for tag in tags]),
        torch.zeros(len(tags), dtype=torch.bool),
    )
