"""What a surgery does to which layers, as plain numbers: planning, training and analysis all ask here.

Layers are counted from 1, the lowest, to L; 0 is the embeddings, which no surgery changes. Where a surgery acts is its
*depth* (`settings.Surgery.kind` says what that stands for).
"""

from __future__ import annotations

from dataclasses import dataclass

from transfer_atlas.settings import Surgery


@dataclass(frozen=True)
class Operation:
    """What happens to the layers of an encoder. Surgeries of different kinds may come to the same.

    Attributes:
        redrawn: The layers that are reinitialised, lowest first.
        order: The old layer that comes to each place, lowest place first; empty where all stay in place.
    """

    redrawn: tuple[int, ...] = ()
    order: tuple[int, ...] = ()


def possible_depths(surgery: Surgery, layers: int, shared: bool = False) -> list[int]:
    """Where a surgery can act on an encoder of `layers` layers; nowhere if it does not fit at all.

    Args:
        shared: Whether all layers have the same weights: then all are kept, or all are reinitialised.
    """
    if shared:
        return [0, layers] if surgery.kind == "progressive" else []
    if surgery.kind == "progressive":
        return list(range(layers + 1))
    if surgery.kind == "single":
        return list(range(1, layers + 1))
    if surgery.kind in ("block", "preserve"):
        assert surgery.width is not None, "a block has a width"
        return list(range(1, layers - surgery.width + 2))
    if surgery.kind == "permute":
        return sorted(surgery.permutations or [])
    return []


def operation(surgery: Surgery, depth: int, layers: int) -> Operation:
    """What a surgery at `depth` does to an encoder of `layers` layers.

    Raises:
        ValueError: It cannot act there.
    """
    if depth not in possible_depths(surgery, layers):
        raise ValueError(f"{surgery.kind} surgery cannot act at {depth} of {layers} layers")
    every = in_place(layers)
    if surgery.kind == "permute":
        order = permutation(depth, layers)
        return Operation(order=() if order == every else order)
    if surgery.kind == "progressive":
        return Operation(tuple(range(depth + 1, layers + 1)))
    block = range(depth, depth + (surgery.width or 1))
    return Operation(tuple(layer for layer in every if (layer in block) != (surgery.kind == "preserve")))


def in_place(layers: int) -> tuple[int, ...]:
    """The order that layers have before any permutation, lowest first."""
    return tuple(range(1, layers + 1))


def permutation(number: int, layers: int) -> tuple[int, ...]:
    """The old layer that comes to each place in a permutation by its number, as the paper's authors draw it.

    NumPy promises that this legacy generator never changes.
    """
    from numpy.random import RandomState  # Not needed to plan any other surgery.

    return tuple(int(old) + 1 for old in RandomState(number).permutation(layers))
