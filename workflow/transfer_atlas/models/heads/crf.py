"""Linear-chain conditional random field (Lafferty et al. 2001) over the tags of each sequence, exact.

Sums over all paths run in both directions at once, all sequences side by side (`slots`), and give gradients
without a second pass: that of the log-partition is the marginal probability of each tag and of each pair of neighbours.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from transfer_atlas.models.heads.tag_schemes import Impossible
from transfer_atlas.models.sequences import Padding, Sequences
from transfer_atlas.models.slots import Slots, side_by_side

FORBIDDEN = -1.0e4
"""Score of what is impossible. Its exponential is 0; unlike minus infinity it leaves no gradient undefined."""


def _messages(emissions: Tensor, transitions: Tensor, first: Tensor, slots: Slots) -> Tensor:
    """Log of the sums over all paths up to and including each unit, by its tag.

    Args:
        emissions: [T, K].
        transitions: [D, K, K] score of tag (second) after tag (first) in each of D directions of reading.
        first: [D, K] score of the first tag read.
        slots: Order of reading.

    Returns:
        [D, T, K].
    """
    directions = len(transitions)
    read = emissions[slots.tokens[:directions].to(emissions.device)]
    steps = read.split(slots.sizes, dim=1)
    messages = [first[:, None] + steps[0]]
    for step in steps[1:]:
        before = messages[-1][:, : step.shape[1], :, None]
        messages.append(torch.logsumexp(before + transitions[:, None], dim=2) + step)
    of_slots = torch.cat(messages, dim=1)
    places = slots.places()[:directions].to(emissions.device)
    return torch.stack([one.index_select(0, place) for one, place in zip(of_slots, places, strict=True)])


class _LogPartition(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, emissions: Tensor, transitions: Tensor, start: Tensor, end: Tensor, lengths: Tensor, keep: bool
    ) -> Tensor:
        last = (torch.cumsum(lengths, 0) - 1).to(emissions.device)
        directions = 2 if keep else 1
        messages = _messages(
            emissions,
            torch.stack([transitions, transitions.T][:directions]),
            torch.stack([start, end][:directions]),
            side_by_side(lengths),
        )
        log_partition = torch.logsumexp(messages[0][last] + end, dim=1)
        if keep:
            ctx.save_for_backward(emissions, transitions, messages, last)
            ctx.lengths = lengths
        return log_partition

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        emissions, transitions, (onward, homeward), last = ctx.saved_tensors
        lengths = ctx.lengths.to(emissions.device)
        first = last - lengths + 1
        weight = torch.repeat_interleave(gradient, lengths)
        # Both messages of a unit count its emission. Softmax instead of the log-partition: marginals sum to 1 whatever
        # was lost to rounding along a long sequence.
        d_emissions = weight[:, None] * torch.softmax(onward + homeward - emissions, dim=1)
        goes_on = torch.ones(len(emissions), dtype=torch.bool, device=emissions.device)
        goes_on[last] = False
        here = goes_on.nonzero().squeeze(1)
        pairs = onward[here, :, None] + transitions + homeward[here + 1, None, :]
        marginals = torch.softmax(pairs.flatten(1), dim=1)
        d_transitions = (weight[here] @ marginals).view_as(transitions)
        return d_emissions, d_transitions, d_emissions[first].sum(dim=0), d_emissions[last].sum(dim=0), None, None


class LinearChainCrf(nn.Module):
    """Scores of neighbouring tags, of first and of last tags, all 0 before training.

    Emissions are [T, K], those of S sequences one after the other; `lengths` [S] int64 on the CPU, each at least 1.

    Args:
        tags: K.
        impossible: What gets no probability. The log-likelihood of tags that contain it is below `FORBIDDEN` / 2.
    """

    penalty: Tensor

    def __init__(self, tags: int, impossible: Impossible | None = None):
        super().__init__()
        self.transitions = nn.Parameter(torch.zeros(tags, tags))
        self.start = nn.Parameter(torch.zeros(tags))
        self.end = nn.Parameter(torch.zeros(tags))
        penalty = torch.zeros(tags + 2, tags)
        if impossible is not None:
            rows = torch.cat([impossible.transitions, impossible.start[None], impossible.end[None]])
            penalty.masked_fill_(rows, FORBIDDEN)
        # Follows from the tags' names, so it is no part of what is stored.
        self.register_buffer("penalty", penalty, persistent=False)

    def _scores(self) -> tuple[Tensor, Tensor, Tensor]:
        """Transitions [K, K], start [K] and end [K] with the penalties."""
        return self.transitions + self.penalty[:-2], self.start + self.penalty[-2], self.end + self.penalty[-1]

    def log_partition(self, emissions: Tensor, lengths: Tensor) -> Tensor:
        """Log of the sum of exp(score) over all taggings of each sequence, [S]."""
        scores = self._scores()
        keep = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in (emissions, *scores))
        log_partition: Tensor = _LogPartition.apply(emissions, *scores, lengths, keep)
        return log_partition

    def path_score(self, emissions: Tensor, tags: Tensor, lengths: Tensor) -> Tensor:
        """Score of one tagging ([T] int64) of each sequence, [S]."""
        transitions, start, end = self._scores()
        last = torch.cumsum(lengths, 0) - 1
        begins = torch.zeros(len(tags), dtype=torch.bool)
        begins[last - lengths + 1] = True
        begins, last = begins.to(tags.device), last.to(tags.device)
        enters = torch.where(begins, start[tags], transitions[tags.roll(1), tags])
        of_units = emissions.gather(1, tags[:, None]) + enters[:, None]
        return Padding(lengths, tags.device).pad(of_units).sum(dim=(1, 2)) + end[tags[last]]

    def log_likelihood(self, emissions: Tensor, tags: Tensor, lengths: Tensor) -> Tensor:
        """Log-probability of these tags ([T] int64), by sequence: [S]."""
        return self.path_score(emissions, tags, lengths) - self.log_partition(emissions, lengths)

    def loss(self, emissions: Tensor, tags: Tensor, lengths: Tensor) -> Tensor:
        """Negative log-likelihood of these tags ([T] int64) per unit."""
        return -self.log_likelihood(emissions, tags, lengths).sum() / len(tags)

    @torch.no_grad()
    def viterbi(self, emissions: Tensor, lengths: Tensor) -> Tensor:
        """The best tags of each sequence, [T] int64. Of equally good ones the lowest, decided from the last unit on."""
        transitions, start, end = self._scores()
        slots = side_by_side(lengths)
        read = emissions[slots.tokens[0].to(emissions.device)].split(slots.sizes)
        best = [start + read[0]]
        # Of each unit but the first, by its tag: the best tag before it.
        pointers = [torch.empty(0, dtype=torch.int64, device=emissions.device)]
        for here in read[1:]:
            so_far, before = (best[-1][: len(here), :, None] + transitions).max(dim=1)
            best.append(so_far + here)
            pointers.append(before)
        chosen: list[Tensor] = []
        for step in reversed(range(len(best))):
            last = best[step] + end
            if chosen:
                going_on = len(chosen[-1])
                before = pointers[step + 1].gather(1, chosen[-1][:, None]).squeeze(1)
                chosen.append(torch.cat([before, last[going_on:].argmax(dim=1)]))
            else:
                chosen.append(last.argmax(dim=1))
        return torch.cat(chosen[::-1])[slots.places()[0].to(emissions.device)]


class CrfTagger(nn.Module):
    """A tagger whose emissions a CRF scores: `Sequences` -> emissions [T, tags]. Loss and decoding are the CRF's."""

    def __init__(self, tagger: nn.Module, crf: LinearChainCrf):
        super().__init__()
        self.tagger = tagger
        self.crf = crf

    def forward(self, sequences: Sequences) -> Tensor:
        """Score each word's tags."""
        emissions: Tensor = self.tagger(sequences)
        return emissions
