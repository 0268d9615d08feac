"""What the runs of a study say about intermediate tasks: with against without, by pair of tasks, train size and seed.

Scores are in points (times 100), of fine-tuned whole encoders on test. Both sides of a comparison choose among the
recipes that both were run with: each is the one with the best mean main metric on validation over its seeds. Of several
intermediate trainings before one seed of the target, that seed's score is the mean. Runs on no example of the target
are no side.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import pandas as pd

from transfer_atlas.analysis.evidence import Arm, Contrast, Evidence, Scores, finetune
from transfer_atlas.analysis.runs import KEY
from transfer_atlas.analysis.transfer import arms
from transfer_atlas.analysis.transfer.pairs import Pairs, Setting
from transfer_atlas.plan import NONE, control_of
from transfer_atlas.settings import Intermediate

Sizes = Mapping[int, Mapping[str, Scores]]
"""By number of train examples and recipe."""


@dataclass(frozen=True)
class Gain:
    """What an intermediate task before a target changes, for one model."""

    model: str
    intermediate: str
    """The entry."""
    before: str
    """Its task; of a chain the last."""
    task: str
    """The target."""
    family: str
    """The target's."""
    setting: Setting
    by_size: Mapping[int, Contrast]
    """With minus what it is compared with, by number of train examples of the target, the fewest first."""
    shared_training: bool = False
    """Whether all seeds of the target start from the same intermediate trainings, whose luck then is in no interval."""

    @property
    def largest(self) -> Contrast:
        """The comparison with the most train examples."""
        return self.by_size[max(self.by_size)]


@dataclass(frozen=True)
class TransferEvidence:
    """The scores of a study by what was trained before the target."""

    evidence: Evidence
    """Of the same runs: encoders trained on the target alone, entries, constant answers."""
    pairs: Pairs
    prepared: Mapping[str, Mapping[tuple[str, str], Sizes]]
    """By intermediate entry, or the `control_of` one, and (model, task)."""

    @staticmethod
    def of(runs: pd.DataFrame, evidence: Evidence, intermediates: Mapping[str, Intermediate]) -> TransferEvidence:
        """Take it from the long table of `analysis.runs`, and `evidence` that was taken from it too."""
        prepared = runs[~arms.direct(runs) & ~arms.zero_shot(runs)]
        entries = (evidence.models, evidence.tasks, evidence.recipes, evidence.label_counts)
        return TransferEvidence(
            evidence,
            Pairs(evidence.tasks, intermediates),
            {
                str(name): Evidence.of(_mean_of_starts(rows).assign(intermediate=NONE), *entries).scores
                for name, rows in prepared.groupby("intermediate")
            },
        )

    def gains(self, controlled: bool = False) -> list[Gain]:
        """What each intermediate task changes wherever both sides were run, in the order of the configuration.

        Args:
            controlled: compare with as many updates on the target alone, instead of with the target's recipe as it is.
        """
        entries = self.evidence
        found = []
        for intermediate, entry in self.pairs.intermediates.items():
            after = self.prepared.get(intermediate, {})
            other = self.prepared.get(control_of(intermediate), {}) if controlled else entries.scores
            for model, task in [(model, task) for model in entries.models for task in entries.tasks]:
                contrasts = self._contrasts(model, task, after.get((model, task), {}), other.get((model, task), {}))
                if contrasts:
                    kind = (self.pairs.family(task), self.pairs.setting(intermediate, task))
                    seeds = max(len(contrast.left.test) for contrast in contrasts.values())
                    shared = seeds > 1 and entry.seed != "paired"
                    found.append(Gain(model, intermediate, entry.task, task, *kind, contrasts, shared))
        return found

    def _contrasts(self, model: str, task: str, left: Sizes, right: Sizes) -> dict[int, Contrast]:
        """Left minus right at each size, where both were run with a fine-tuning recipe and a seed in common."""
        recipes = self.evidence.recipes
        found: dict[int, Contrast] = {}
        for n_train in sorted(set(left) & set(right)):
            both = [name for name in sorted(set(left[n_train]) & set(right[n_train])) if finetune(recipes[name])]
            if both:
                sides = [self._arm(model, task, n_train, both, scores[n_train]) for scores in (left, right)]
                contrast = Contrast(*sides)
                if contrast.by_seed:
                    found[n_train] = contrast
        return found

    def _arm(self, model: str, task: str, n_train: int, recipes: Sequence[str], scores: Mapping[str, Scores]) -> Arm:
        best = max(recipes, key=lambda name: scores[name].rank)
        return Arm(model, task, best, n_train, scores[best].test, self.evidence.constant(task))


def _mean_of_starts(runs: pd.DataFrame) -> pd.DataFrame:
    """The rows with one for all intermediate trainings before a seed: their mean, undefined where one of them is."""
    place = [name for name in KEY if name != "intermediate_seed"]
    return runs.groupby(place, dropna=False, sort=False)["value"].agg(fmean).reset_index()
