"""From characters to a vector of a word that knows no context: convolutions, max pooling, highways, projection."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from transfer_atlas.models.elmo.characters import N_CHARACTERS, PADDING
from transfer_atlas.models.elmo.options import Options

# Words that are convolved at once, longest first: more would pad short words to the length of long ones.
WORDS_AT_ONCE = 256


class Highway(nn.Module):
    """A gate between a layer and its input (Srivastava et al. 2015). Shapes: [V, F] to [V, F]."""

    def __init__(self, size: int):
        super().__init__()
        self.carry = nn.Linear(size, size)
        self.transform = nn.Linear(size, size)

    def forward(self, states: Tensor) -> Tensor:
        """gate * relu(transform) + (1 - gate) * states; the gate that bilm-tf calls carry carries the new values."""
        return torch.lerp(states, torch.relu(self.transform(states)), torch.sigmoid(self.carry(states)))


class TokenEncoder(nn.Module):
    """Words' characters [V, L] to their vectors [V, P]."""

    def __init__(self, options: Options):
        super().__init__()
        cnn, out = options.char_cnn, options.lstm.projection_dim
        self.embedding = nn.Embedding(N_CHARACTERS, cnn.embedding.dim)
        # A convolution is a product with windows: on a GPU, torch's own would round to ten bits (TF32).
        self.filters = nn.ModuleList(nn.Linear(width * cnn.embedding.dim, n) for width, n in cnn.filters)
        self.activation = torch.relu if cnn.activation == "relu" else torch.tanh
        self.highways = nn.Sequential(*(Highway(cnn.n_filters) for _ in range(cnn.n_highway)))
        self.projection = nn.Identity() if cnn.n_filters == out else nn.Linear(cnn.n_filters, out)
        self.widest = max(width for width, _ in cnn.filters)

    def _convolved(self, characters: Tensor) -> Tensor:
        """[V, F] highest value of each filter over a word, padding included, as the original has it."""
        embedded = self.embedding(characters).flatten(1)
        dim = self.embedding.embedding_dim
        windows = (embedded.unfold(1, filters.in_features, dim) for filters in self.filters)
        highest = [filters(window).amax(dim=1) for filters, window in zip(self.filters, windows, strict=True)]
        return self.activation(torch.cat(highest, dim=-1))

    def forward(self, characters: Tensor) -> Tensor:
        """See the class."""
        sizes = (characters != PADDING).sum(dim=-1)
        by_length = torch.argsort(sizes, descending=True, stable=True)
        parts = []
        for rows in by_length.split(WORDS_AT_ONCE):
            # All windows that lie in the padding see the same, so one of each width is enough.
            end = int(sizes[rows[0]]) + self.widest
            parts.append(self._convolved(characters[rows, :end]))
        vectors: Tensor = self.projection(self.highways(torch.cat(parts)))
        return vectors[torch.argsort(by_length)]
