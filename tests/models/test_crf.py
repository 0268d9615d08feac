"""The CRF against sums and maxima over all paths, in float64."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from transfer_atlas.models.heads.crf import LinearChainCrf
from transfer_atlas.models.heads.tag_schemes import Impossible, impossible

EXACT = {"rtol": 0.0, "atol": 1e-10}


def stream(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def drawn(tags: int, ruled_out: Impossible | None = None) -> LinearChainCrf:
    crf = LinearChainCrf(tags, ruled_out).double()
    with torch.no_grad():
        for seed, parameter in enumerate(crf.parameters()):
            parameter.normal_(generator=stream(seed))
    return crf


def some_impossible(tags: int) -> Impossible:
    """A third of the transitions, and tag 0 as the first and the last; a tag may follow itself."""
    transitions = torch.rand(tags, tags, generator=stream(9)) < 0.35
    transitions.fill_diagonal_(False)
    lowest = torch.arange(tags) == 0
    return Impossible(transitions, lowest, lowest)


def paths(crf: LinearChainCrf, emissions: Tensor, ruled_out: Impossible | None) -> dict[tuple[int, ...], Tensor]:
    """Score of every possible path of one sequence."""
    scores = {}
    for path in itertools.product(range(emissions.shape[1]), repeat=len(emissions)):
        steps = list(itertools.pairwise(path))
        if ruled_out is not None and (
            ruled_out.start[path[0]]
            or ruled_out.end[path[-1]]
            or any(ruled_out.transitions[before, after] for before, after in steps)
        ):
            continue
        score = crf.start[path[0]] + crf.end[path[-1]]
        score = score + sum(emissions[step, tag] for step, tag in enumerate(path))
        for before, after in steps:
            score = score + crf.transitions[before, after]
        scores[path] = score
    return scores


CASES = [
    (tags, lengths, ruled)
    for tags, lengths in [(2, [3, 1, 5]), (3, [5, 2]), (3, [1, 1]), (4, [1, 4, 4, 2])]
    for ruled in (0, 1)
]


@pytest.mark.parametrize(("tags", "lengths", "ruled"), CASES)
def test_log_partition_and_its_gradients_are_those_of_all_paths(tags: int, lengths: list[int], ruled: int) -> None:
    """Gradients in emissions are the marginals; sequences weigh differently, so that none is taken for another."""
    ruled_out = some_impossible(tags) if ruled else None
    crf = drawn(tags, ruled_out)
    emissions = (3 * torch.randn(sum(lengths), tags, dtype=torch.float64, generator=stream(5))).requires_grad_()
    weights = torch.arange(1, len(lengths) + 1, dtype=torch.float64)
    inputs = [emissions, *crf.parameters()]
    found = crf.log_partition(emissions, torch.tensor(lengths))
    gradients = torch.autograd.grad((weights * found).sum(), inputs)
    expected = torch.stack(
        [torch.logsumexp(torch.stack(list(paths(crf, one, ruled_out).values())), 0) for one in emissions.split(lengths)]
    )
    torch.testing.assert_close(found, expected, **EXACT)
    # Sequences of one word have no transitions, so no gradient there.
    of_all = torch.autograd.grad((weights * expected).sum(), inputs, materialize_grads=True)
    for gradient, of_paths in zip(gradients, of_all, strict=True):
        torch.testing.assert_close(gradient, of_paths, **EXACT)


@pytest.mark.parametrize(("tags", "lengths", "ruled"), CASES)
def test_likelihoods_of_all_paths_sum_to_one(tags: int, lengths: list[int], ruled: int) -> None:
    ruled_out = some_impossible(tags) if ruled else None
    crf = drawn(tags, ruled_out)
    for one in torch.randn(sum(lengths), tags, dtype=torch.float64, generator=stream(5)).split(lengths):
        possible = torch.tensor(list(paths(crf, one, ruled_out)))
        total = crf.log_likelihood(
            one.repeat(len(possible), 1), possible.flatten(), torch.full((len(possible),), len(one))
        )
        torch.testing.assert_close(torch.logsumexp(total, 0), torch.zeros((), dtype=torch.float64), **EXACT)


@pytest.mark.parametrize(("tags", "lengths", "ruled"), CASES)
def test_viterbi_finds_the_best_path(tags: int, lengths: list[int], ruled: int) -> None:
    ruled_out = some_impossible(tags) if ruled else None
    crf = drawn(tags, ruled_out)
    emissions = torch.randn(sum(lengths), tags, dtype=torch.float64, generator=stream(5))
    best = []
    for one in emissions.split(lengths):
        scores = paths(crf, one, ruled_out)
        best += max(scores, key=lambda path: scores[path].item())
    assert crf.viterbi(emissions, torch.tensor(lengths)).tolist() == best


def test_ties_go_to_the_lowest_tag_from_the_last_word_on() -> None:
    """Small whole numbers are added exactly, so equal scores are equal."""
    lengths = [4, 2, 5, 1, 3, 5, 4]
    crf = LinearChainCrf(3)
    with torch.no_grad():
        crf.transitions.copy_(torch.randint(0, 2, (3, 3), generator=stream(2)))
    emissions = torch.randint(0, 2, (sum(lengths), 3), generator=stream(3)).float()
    best, ties = [], 0
    for one in emissions.split(lengths):
        scores = {path: score.item() for path, score in paths(crf, one, None).items()}
        winners = [path for path, score in scores.items() if score == max(scores.values())]
        ties += len(winners) > 1
        best += min(winners, key=lambda path: path[::-1])
    assert ties > 3
    assert crf.viterbi(emissions, torch.tensor(lengths)).tolist() == best


def test_gradient_of_the_likelihood_is_observed_minus_expected() -> None:
    crf = drawn(3, some_impossible(3))
    lengths = torch.tensor([3, 1, 4])
    emissions = torch.randn(8, 3, dtype=torch.float64, generator=stream(5)).requires_grad_()
    # What the mask leaves possible, so that no loss is dominated by a penalty.
    tags = crf.viterbi(emissions, lengths)
    inputs = (emissions, *crf.parameters())

    def likelihood(emissions: Tensor, transitions: Tensor, start: Tensor, end: Tensor) -> Tensor:
        values = {"transitions": transitions, "start": start, "end": end}
        return torch.func.functional_call(_Likelihood(crf), {f"crf.{k}": v for k, v in values.items()}, (emissions,))

    class _Likelihood(torch.nn.Module):
        def __init__(self, crf: LinearChainCrf):
            super().__init__()
            self.crf = crf

        def forward(self, emissions: Tensor) -> Tensor:
            return self.crf.log_likelihood(emissions, tags, lengths)

    assert torch.autograd.gradcheck(likelihood, inputs)


def test_extreme_scores_stay_finite() -> None:
    """What is impossible may lie behind the best words; nothing becomes NaN in float32."""
    names = ["O", "I-X", "B-X", "I-Y"]  # No B-Y: I-Y can never begin.
    crf = LinearChainCrf(4, impossible(names))
    emissions = (200 * torch.randn(9, 4, generator=stream(4))).requires_grad_()
    lengths = torch.tensor([4, 5])
    log_partition = crf.log_partition(emissions, lengths)
    log_partition.sum().backward()
    assert log_partition.isfinite().all()
    assert emissions.grad is not None and emissions.grad.isfinite().all()
    torch.testing.assert_close(emissions.grad.sum(1), torch.ones(9))
    assert not emissions.grad[:, 3].any()


def test_the_loss_is_per_word() -> None:
    crf = drawn(3)
    lengths, tags = torch.tensor([3, 1, 4]), torch.tensor([0, 2, 1, 1, 0, 0, 2, 2])
    emissions = torch.randn(8, 3, dtype=torch.float64, generator=stream(5))
    expected = -crf.log_likelihood(emissions, tags, lengths).sum() / 8
    torch.testing.assert_close(crf.loss(emissions, tags, lengths), expected, **EXACT)


def follows(names: list[str]) -> dict[str, set[str]]:
    ruled_out = impossible(names)
    table = torch.cat([ruled_out.transitions, ruled_out.start[None]])
    keys = [*names, "start"]
    return {
        key: {name for name, no in zip(names, row, strict=True) if not no} for key, row in zip(keys, table, strict=True)
    }


def test_bio_lets_a_span_go_on_with_its_own_kind() -> None:
    names = ["O", "B-X", "I-X", "B-Y", "I-Y"]
    free = {"O", "B-X", "B-Y"}
    assert follows(names) == {
        "O": free,
        "start": free,
        "B-X": free | {"I-X"},
        "I-X": free | {"I-X"},
        "B-Y": free | {"I-Y"},
        "I-Y": free | {"I-Y"},
    }
    assert not impossible(names).end.any()


def test_bioes_closes_what_it_opens() -> None:
    names = ["O", "B-X", "I-X", "E-X", "S-X", "S-Y"]
    free = {"O", "B-X", "S-X", "S-Y"}
    assert follows(names) == {
        "O": free,
        "start": free,
        "B-X": {"I-X", "E-X"},
        "I-X": {"I-X", "E-X"},
        "E-X": free,
        "S-X": free,
        "S-Y": free,
    }


def test_a_sentence_cut_within_a_span_is_possible() -> None:
    """What was too long for the model ends where it was cut, and its tags must not have probability 0."""
    names = ["O", "B-X", "I-X", "E-X", "S-X"]
    crf = LinearChainCrf(5, impossible(names))
    assert crf.loss(torch.zeros(2, 5), torch.tensor([1, 2]), torch.tensor([2])).item() < 3.0


@pytest.mark.parametrize("name", ["NOUN", "B-", "X-PER", ""])
def test_other_tags_have_no_scheme(name: str) -> None:
    with pytest.raises(ValueError, match="no tag of BIO"):
        impossible(["O", name])


def test_viterbi_keeps_to_the_scheme() -> None:
    names = ["O", "B-X", "I-X", "E-X", "S-X"]
    crf = LinearChainCrf(5, impossible(names))
    lengths = torch.randint(1, 9, (200,), generator=stream(6))
    emissions = 5 * torch.randn(int(lengths.sum()), 5, generator=stream(7))
    allowed = follows(names)
    for tags in crf.viterbi(emissions, lengths).split(lengths.tolist()):
        spelled = ["start", *(names[tag] for tag in tags)]
        assert all(after in allowed[before] for before, after in itertools.pairwise(spelled))
