"""ELMo as an encoder: tokenised sentences to the states of its layers, the lowest being the words' own vectors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from transfer_atlas.errors import UserError
from transfer_atlas.models.elmo.bilm import BiLm
from transfer_atlas.models.elmo.characters import BEGIN_ROW, END_ROW, Words
from transfer_atlas.models.elmo.options import Options, read_options
from transfer_atlas.models.elmo.recurrence import State
from transfer_atlas.models.elmo.token_encoder import TokenEncoder
from transfer_atlas.models.elmo.weights import read_parameters
from transfer_atlas.models.slots import Slots, one_after_the_other, side_by_side

OPTIONS, WEIGHTS = "*options.json", "*weights.hdf5"


class Elmo(nn.Module):
    """The whole model; every parameter can be trained.

    Its dropout needs a stream (`dropout.give_stream`) before training, and does nothing in evaluation mode.
    """

    def __init__(self, options: Options, dropout: float = 0.0):
        super().__init__()
        self.options = options
        self.tokens = TokenEncoder(options)
        self.bilm = BiLm(options.lstm, dropout)

    @property
    def hidden_size(self) -> int:
        """Width of a state: both directions."""
        return 2 * self.options.lstm.projection_dim

    def forward(self, words: Words) -> list[Tensor]:
        """Encode each sentence by itself.

        Returns:
            States [T, 2P] of all words, without the sentences' boundaries: first of the words' vectors, twice side by
            side, then of each LSTM layer.
        """
        return self._encode(words, side_by_side, None)[0]

    def go_on(self, words: Words, before: list[State] | None) -> tuple[list[Tensor], list[State] | None]:
        """Encode sentences in their order, each from the state in which the one before it ended, as the original does.

        Args:
            words: The sentences; empty ones leave the state as it is.
            before: The state of each LSTM layer after earlier sentences; None: zeros. No gradient flows into it.

        Returns:
            States as of `forward`, and the state of each LSTM layer after the last sentence.
        """
        return self._encode(words, one_after_the_other, before)

    def _encode(
        self, words: Words, arrange: Callable[[Tensor], Slots], before: list[State] | None
    ) -> tuple[list[Tensor], list[State] | None]:
        weight = next(self.parameters())
        lengths = words.lengths[words.lengths > 0]
        if not len(lengths):
            return [weight.new_zeros(0, self.hidden_size)] * (1 + self.options.lstm.n_layers), before
        rows, inside = _with_boundaries(words.rows, lengths)
        # Autocast would leave the words' vectors in bfloat16.
        tokens = self.tokens(words.characters.to(weight.device)).to(weight.dtype)[rows.to(weight.device)]
        layers, after = self.bilm(tokens, arrange(lengths + 2), before)
        inside = inside.to(weight.device)
        return [layer[inside] for layer in (torch.cat([tokens, tokens], dim=-1), *layers)], after


def _with_boundaries(rows: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Put begin and end around sentences: the rows of all N tokens, and where among them ([T]) the words lie."""
    ends = torch.cumsum(lengths + 2, 0)
    bounded = torch.empty(int(ends[-1]), dtype=torch.int64)
    is_word = torch.ones(len(bounded), dtype=torch.bool)
    for boundary, positions in ((BEGIN_ROW, ends - lengths - 2), (END_ROW, ends - 1)):
        bounded[positions] = boundary
        is_word[positions] = False
    bounded[is_word] = rows
    return bounded, is_word.nonzero()[:, 0]


def is_elmo(folder: Path) -> bool:
    """Whether a folder holds a model in ELMo's format."""
    return any(folder.glob(WEIGHTS))


def _only(folder: Path, pattern: str) -> Path:
    found = sorted(folder.glob(pattern))
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise UserError(f"{folder}: should hold one file {pattern}, but has {names}")
    return found[0]


def load_elmo(folder: Path, dropout: float = 0.0) -> Elmo:
    """Load `*options.json` and `*weights.hdf5` from `folder`, float32 on the CPU, in evaluation mode.

    Args:
        folder: Holds both files once.
        dropout: Of the inputs of the LSTM layers, for fine-tuning.

    Raises:
        UserError: A file is missing, cannot be read or does not fit the other.
    """
    options = read_options(_only(folder, OPTIONS))
    parameters = read_parameters(_only(folder, WEIGHTS), options)
    # On `meta` nothing is drawn from the global generator, and no memory is taken twice.
    with torch.device("meta"):
        model = Elmo(options, dropout)
    model.load_state_dict(parameters, assign=True)
    return model.eval()
