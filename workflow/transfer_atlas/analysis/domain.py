"""How far the groups (genres) of a task are from a reference corpus, against the gain of fine-tuning there.

Peters et al. (2019), section 5: Jensen-Shannon divergence of term distributions (Ruder & Plank 2017) against
fine-tuning minus extraction. With few groups a correlation says little: five of them need |r| of about 0.9 for p under
0.05.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from transfer_atlas.analysis import intervals
from transfer_atlas.analysis.correlations import Correlation
from transfer_atlas.analysis.correlations import correlate as correlation

# Ruder & Plank's number of terms.
VOCABULARY = 10_000
NAN = float("nan")

# Columns of `gains`, after those that tell cells apart.
GAINS = ["finetune", "extract", "group", "jsd", "gain", "gain_sd", "gain_n", "gain_low", "gain_high", "p"]
CORRELATIONS = ["finetune", "extract", "groups", "r", "p"]
_SCORES = ("recipe", "seed", "group", "score")

# Categories of which words are made: letters, the marks that belong to them, and numbers.
_IN_WORDS = ("L", "M", "N")


class _WordCharacters(dict[int, int | str]):
    """Translation table for `str.translate`, filled as characters turn up: all that is in no word becomes a space."""

    def __missing__(self, code: int) -> int | str:
        self[code] = code if unicodedata.category(chr(code)).startswith(_IN_WORDS) else " "
        return self[code]


_WORD_CHARACTERS = _WordCharacters()


def term_counts(texts: Iterable[str]) -> Counter[str]:
    """How often each term occurs: runs of letters, marks and digits, in compatibility form (NFKC) and without case.

    No word is left out as too common. "don't" gives "don" and "t", and the "do n't" of tokenised corpora "do", "n" and
    "t": corpora that are to be compared should be tokenised alike. Scripts without spaces need to be split into words.
    """
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(unicodedata.normalize("NFKC", text).casefold().translate(_WORD_CHARACTERS).split())
    return counts


def divergence(first: Iterable[str], second: Iterable[str]) -> float:
    """Jensen-Shannon divergence of the term distributions of two collections of texts (`divergence_of_counts`)."""
    return divergence_of_counts(term_counts(first), term_counts(second))


def divergence_of_counts(first: Mapping[str, int], second: Mapping[str, int]) -> float:
    """Jensen-Shannon divergence of two term distributions in bits: 0 for equal ones, 1 for those that share no term.

    Only the 10,000 terms that are most frequent in both together count, each with its share among them. NaN where one
    side has none of them.
    """
    together = Counter(first)
    together.update(second)
    # Equally frequent terms in alphabetical order, so that the cut never depends on the order of the texts.
    terms = sorted(together, key=lambda term: (-together[term], term))[:VOCABULARY]
    counts = np.array([[side.get(term, 0) for term in terms] for side in (first, second)], dtype=np.float64)
    totals = counts.sum(axis=1, keepdims=True)
    if not totals.all():
        return NAN
    shares = counts / totals
    mixture = shares.mean(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        terms_of = np.where(shares > 0, shares * np.log2(shares / mixture), 0.0)
    return float(np.clip(terms_of.sum(axis=1).mean(), 0.0, 1.0))


def correlate(divergences: Sequence[float], gains: Sequence[float]) -> Correlation:
    """Pearson's correlation of divergences with gains, one of each a group."""
    return correlation(divergences, gains, "pearson")


def gains(scores: pd.DataFrame, divergences: Mapping[str, float], finetune: str, extract: str) -> pd.DataFrame:
    """Fine-tuning minus extraction in each group, over seeds that both have, beside the group's divergence.

    Args:
        scores: one row a run and group: `recipe`, `seed`, `group`, `score`, and whatever tells cells apart (`model`,
            `task`, `size`, ...).
        divergences: of each group from the reference.
        finetune: the recipe whose scores are to gain.
        extract: the recipe that they are compared with.

    Returns:
        The columns that tell cells apart, then `GAINS`; groups of a cell by divergence. `gain_n` counts seeds.
    """
    keys = [name for name in scores.columns if name not in _SCORES]
    rows: list[dict[str, Any]] = []
    for place, cell in _cells(scores, keys):
        for group in sorted(set(cell["group"]), key=lambda group: (divergences[group], group)):
            sides = [_by_seed(cell, recipe, group) for recipe in (finetune, extract)]
            if not all(sides):
                continue
            found = intervals.paired(*sides)
            values = (finetune, extract, group, divergences[group])
            difference = (found.mean, found.sd, found.n, found.low, found.high, found.p)
            rows.append({**place, **dict(zip(GAINS, (*values, *difference), strict=True))})
    return pd.DataFrame(rows, columns=[*keys, *GAINS])


def correlations(table: pd.DataFrame) -> pd.DataFrame:
    """The correlation of `jsd` with `gain` over the groups of each cell of a table of `gains`; `groups` counts them."""
    keys = [name for name in table.columns if name not in GAINS]
    rows: list[dict[str, Any]] = []
    for place, cell in _cells(table, [*keys, "finetune", "extract"]):
        found = correlate(cell["jsd"].tolist(), cell["gain"].tolist())
        rows.append({**place, "groups": found.n, "r": found.r, "p": found.p})
    return pd.DataFrame(rows, columns=[*keys, *CORRELATIONS])


def _cells(table: pd.DataFrame, keys: Sequence[str]) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    """The rows of each combination of `keys`, in the order in which they first appear."""
    if not keys:
        yield {}, table
        return
    for values, cell in table.groupby(list(keys), sort=False, dropna=False):
        yield dict(zip(keys, values, strict=True)), cell


def _by_seed(cell: pd.DataFrame, recipe: str, group: str) -> dict[int, float]:
    chosen = cell[(cell["recipe"] == recipe) & (cell["group"] == group)]
    return dict(zip(chosen["seed"].tolist(), chosen["score"].tolist(), strict=True))
