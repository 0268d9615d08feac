"""What the runs of a study say about a paper: who plays its models and tasks, and how two sides compare.

Scores are in points (times 100), as papers print them. A side of a comparison is a model with a condition on the
recipe: `finetune`, say, or `extract` with a certain head. Where several recipes meet the condition, the side is the
recipe with the best mean main metric on validation over its seeds; test scores choose nothing. A comparison is made at
the largest train size that both sides have, in the main metric of the task, on the test split, paired by seed, with
untouched models (no intermediate task, no surgery).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from transfer_atlas.analysis import intervals
from transfer_atlas.analysis.intervals import Estimate
from transfer_atlas.settings import PAIR_TYPES, Model, Recipe, Task

POINTS = 100.0

Condition = Callable[[Recipe], bool]
BySeed = Mapping[int, float]


def finetune(recipe: Recipe) -> bool:
    """Whether everything is trained."""
    return recipe.method == "finetune"


def extract(recipe: Recipe) -> bool:
    """Whether the encoder is frozen."""
    return recipe.method == "extract"


@dataclass(frozen=True)
class Scores:
    """Main metric in points by seed."""

    validation: BySeed
    test: BySeed

    @property
    def rank(self) -> float:
        """Mean on validation; an undefined one ranks last."""
        mean = intervals.estimate(list(self.validation.values())).mean
        return -math.inf if math.isnan(mean) else mean


@dataclass(frozen=True)
class Arm:
    """One side of a comparison: the recipe chosen on validation, and its test scores by seed."""

    model: str
    task: str
    recipe: str
    n_train: int
    test: BySeed


@dataclass(frozen=True)
class Contrast:
    """Left minus right on one task."""

    left: Arm
    right: Arm

    @property
    def task(self) -> str:
        """The task's entry."""
        return self.left.task

    @property
    def n_train(self) -> int:
        """Train examples of both sides."""
        return self.left.n_train

    @property
    def by_seed(self) -> dict[int, float]:
        """The difference at each seed that both sides have, in points."""
        return {
            seed: self.left.test[seed] - self.right.test[seed] for seed in self.left.test if seed in self.right.test
        }

    @property
    def estimate(self) -> Estimate:
        """Its mean over seeds with interval."""
        return intervals.estimate(list(self.by_seed.values()))


def in_points(found: Estimate) -> Estimate:
    """An estimate in natural units times 100."""
    return Estimate(found.mean * POINTS, found.sd * POINTS, found.n, found.low * POINTS, found.high * POINTS)


def mean_by_seed(sides: Sequence[BySeed]) -> dict[int, float]:
    """The mean over several tasks at each seed that all of them have."""
    common = set.intersection(*(set(side) for side in sides)) if sides else set()
    return {seed: sum(side[seed] for side in sides) / len(sides) for seed in sorted(common)}


@dataclass(frozen=True)
class Evidence:
    """The scores of a study and the entries of its configuration that say what they are scores of."""

    models: Mapping[str, Model]
    tasks: Mapping[str, Task]
    recipes: Mapping[str, Recipe]
    scores: Mapping[tuple[str, str], Mapping[int, Mapping[str, Scores]]]
    """By (model, task), number of train examples and recipe."""

    @staticmethod
    def of(
        runs: pd.DataFrame, models: Mapping[str, Model], tasks: Mapping[str, Task], recipes: Mapping[str, Recipe]
    ) -> Evidence:
        """Take it from the long table of `analysis.runs`."""
        untouched = runs[(runs["intermediate"] == "none") & (runs["surgery"] == "none")]
        columns = ("model", "task", "n_train", "recipe", "split", "metric", "seed", "value")
        values: dict[tuple[str, str], dict[int, dict[str, Scores]]] = {}
        for model, task, n_train, recipe, split, metric, seed, value in zip(
            *(untouched[name].tolist() for name in columns), strict=True
        ):
            if metric == tasks[task].main_metric:
                sizes = values.setdefault((model, task), {})
                scores = sizes.setdefault(n_train, {}).setdefault(recipe, Scores({}, {}))
                # Size 2000 and all of 2000 examples are the same runs: the second writes the same value again.
                (scores.test if split == "test" else scores.validation)[seed] = value * POINTS  # type: ignore[index]
        return Evidence(models, tasks, recipes, values)

    def models_run(self) -> list[str]:
        """Models with runs, in the order of the configuration."""
        return [name for name in self.models if any(model == name for model, _ in self.scores)]

    def tasks_run(self, model: str) -> list[str]:
        """Tasks that the model was run on, in the order of the configuration."""
        return [name for name in self.tasks if (model, name) in self.scores]

    def is_pair(self, task: str) -> bool:
        """Whether its examples are pairs of texts."""
        return self.tasks[task].type in PAIR_TYPES

    def arm(self, model: str, task: str, condition: Condition, n_train: int | None = None) -> Arm | None:
        """The recipe that speaks for a condition at `n_train` examples (the most it was run with, if left out)."""
        sizes = self.sizes(model, task, condition)
        if n_train is None:
            n_train = max(sizes, default=None)
        if n_train is None or n_train not in sizes:
            return None
        meeting = {
            name: scores for name, scores in self.scores[model, task][n_train].items() if self._meets(name, condition)
        }
        best = max(sorted(meeting), key=lambda name: meeting[name].rank)
        return Arm(model, task, best, n_train, meeting[best].test)

    def contrast(self, task: str, left: tuple[str, Condition], right: tuple[str, Condition]) -> Contrast | None:
        """Left minus right (each a model and a condition) on a task, or None where no size has both."""
        common = set(self.sizes(left[0], task, left[1])) & set(self.sizes(right[0], task, right[1]))
        if not common:
            return None
        arms = [self.arm(model, task, condition, max(common)) for model, condition in (left, right)]
        assert arms[0] is not None and arms[1] is not None
        return Contrast(arms[0], arms[1])

    def contrasts(self, paper_name: str, left: tuple[str, Condition], right: tuple[str, Condition]) -> list[Contrast]:
        """Left minus right on the paper's task of this name: on its own data if they were run, else on stand-ins."""
        named = [name for name, task in self.tasks.items() if task.paper_name == paper_name]
        made = [contrast for name in named if (contrast := self.contrast(name, left, right)) is not None]
        own = [contrast for contrast in made if not self.tasks[contrast.task].stand_in]
        return own or made

    def stand_ins(self, models: Sequence[str], tasks: Sequence[str]) -> list[str]:
        """`entry for the paper's name`, for each entry that only stands in."""
        entries = [(name, self.models[name]) for name in models] + [(name, self.tasks[name]) for name in tasks]
        return [f"{name} for {entry.paper_name}" for name, entry in entries if entry.paper_name and entry.stand_in]

    def _meets(self, recipe: str, condition: Condition) -> bool:
        return condition(self.recipes[recipe])

    def sizes(self, model: str, task: str, condition: Condition) -> list[int]:
        """The train sizes (examples) at which some recipe meets the condition."""
        sizes = self.scores.get((model, task), {})
        return [n for n, recipes in sizes.items() if any(self._meets(name, condition) for name in recipes)]
