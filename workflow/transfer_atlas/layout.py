"""What a head reads of an encoder: which inputs a text or pair becomes, and which states are handed on.

Follows from the task's type, the model's kind and the recipe alone, so planning and training agree on it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from transfer_atlas.settings import PAIR_TYPES, POOLED_HEADS, WORD_TYPES, Model, Pooling, Recipe, Task

# Heads that let the two texts of a pair attend to each other.
_ATTENDING_HEADS = ("esim", "bi_attention")
_POOLINGS: tuple[Pooling, ...] = get_args(Pooling)

Units = Literal["tokens", "segments", "words", "classification"]


@dataclass(frozen=True)
class Layout:
    """How examples are laid out for a head.

    Attributes:
        units: What has a state: every token, the tokens of each text of a jointly encoded pair, words, or of each input
            its classification token alone.
        separate: Whether the two texts of a pair are inputs of their own.
        pieces: How a word's state comes from its pieces (`first` or `mean`); None where units are not words.
        pooled: How stored states are pooled to one vector of a text; None where heads read all units.
    """

    units: Units
    separate: bool
    pieces: str | None
    pooled: Pooling | None

    @property
    def sequences(self) -> int:
        """Sequences of units that an example has."""
        return 2 if self.separate or self.units == "segments" else 1

    @property
    def name(self) -> str:
        """Name of the folder of stored representations."""
        parts = [self.pooled or self.units, self.pieces, "separate" if self.separate else None]
        return ".".join(part for part in parts if part)

    @staticmethod
    def parse(name: str) -> Layout:
        """The layout whose stored representations lie in the folder `name`."""
        first, *rest = name.split(".")
        separate = rest[-1:] == ["separate"]
        if first == "words":
            return Layout("words", separate, rest[0], None)
        pooled = next((pooling for pooling in _POOLINGS if pooling == first), None)
        units: Units = "tokens"
        if first == "segments":
            units = "segments"
        elif first in ("classification", "cls"):
            units = "classification"
        return Layout(units, separate, None, pooled)


def layout_of(task: Task, model: Model, recipe: Recipe) -> Layout:
    """The layout of a task for a recipe's head on a model."""
    if task.type in WORD_TYPES:
        # ELMo reads whole words.
        return Layout("words", False, "first" if model.kind == "elmo" else recipe.pieces, None)
    separate = task.type in PAIR_TYPES and (recipe.pairs == "separate" or model.kind == "elmo")
    stored_pooled = recipe.method == "extract" and recipe.head in POOLED_HEADS
    units: Units = "tokens"
    if recipe.pooling == "cls":
        units = "classification"
    elif task.type in PAIR_TYPES and recipe.head in _ATTENDING_HEADS and not separate:
        units = "segments"
    return Layout(units, separate, None, recipe.pooling if stored_pooled else None)
