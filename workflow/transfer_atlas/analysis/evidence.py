"""What the runs of a study say about a paper: who plays its models and tasks, and how two sides compare.

Scores are in points (times 100), as papers print them. A side of a comparison is a model with a condition on the
recipe: `finetune`, say, or `extract` with a certain head. Where several recipes meet the condition, the side is the
recipe with the best mean main metric on validation over its seeds; test scores choose nothing. A comparison is made at
the largest train size that both sides have, in the main metric of the task, on the test split, paired by seed, with
untouched models (no intermediate task, no surgery, and read whole: runs that probe layer after layer are no side).

A side's model is a *system*: the paper's own models (`stand_in: false`) of one `paper_name` together, if no two of them
were run on the same of its tasks (BERT-base is uncased for most tasks, cased for NER); else, and for stand-ins, each
model by itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

from transfer_atlas.analysis import intervals
from transfer_atlas.analysis.constant_answers import Counts, constant_score, neither_better
from transfer_atlas.analysis.intervals import Estimate
from transfer_atlas.analysis.transfer import arms
from transfer_atlas.settings import PAIR_TYPES, Model, Recipe, Task

POINTS = 100.0

Condition = Callable[[Recipe], bool]
BySeed = Mapping[int, float]
System = tuple[str, ...]
"""The models that play one of a paper's together; none of them has runs on a task of another. Empty: nobody."""
Side = tuple[System, Condition]


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
    constant: float | None = None
    """What a constant answer scores on the test split, in points; None if unknown."""


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
    def neither_learnt(self) -> bool:
        """Whether no side is better than a constant answer (`analysis.constant_answers`)."""
        return neither_better([self.left.test, self.right.test], self.left.constant)

    @property
    def by_seed(self) -> dict[int, float]:
        """The difference at each seed that both sides have, in points."""
        return intervals.differences(self.left.test, self.right.test)

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
    label_counts: Mapping[str, Mapping[str, Counts]] = field(default_factory=dict)
    """How often each label occurs, by task and split; of tasks without labels, or unknown, nothing."""

    @staticmethod
    def of(
        runs: pd.DataFrame,
        models: Mapping[str, Model],
        tasks: Mapping[str, Task],
        recipes: Mapping[str, Recipe],
        label_counts: Mapping[str, Mapping[str, Counts]],
    ) -> Evidence:
        """Take it from the long table of `analysis.runs` and what the tasks' statistics count."""
        untouched = runs[arms.direct(runs) & (runs["surgery"] == "none") & runs["depth"].isna()]
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
        return Evidence(models, tasks, recipes, values, label_counts)

    def systems(self, others: Collection[str] = ()) -> list[System]:
        """Who plays with whom, of the models with runs and the `others`, in the order of the configuration."""
        run = {model for model, _ in self.scores}
        names = [name for name in self.models if name in run or name in others]
        found: list[System] = []
        for name in names:
            together = tuple(other for other in names if other == name or self._both_own(name, other))
            if not self._apart(together):
                together = (name,)
            if together not in found:
                found.append(together)
        return found

    def paper_name(self, system: System) -> str | None:
        """The paper's model that a system plays."""
        return self.models[system[0]].paper_name if system else None

    def tasks_run(self, system: System) -> list[str]:
        """Tasks that the system was run on, in the order of the configuration."""
        return [name for name in self.tasks if self._member(system, name) is not None]

    def is_pair(self, task: str) -> bool:
        """Whether its examples are pairs of texts."""
        return self.tasks[task].type in PAIR_TYPES

    def constant(self, task: str, split: str = "test") -> float | None:
        """What a constant answer scores in the task's main metric, in points; None if unknown."""
        score = constant_score(self.tasks[task].main_metric, self.label_counts.get(task, {}).get(split))
        return None if score is None else score * POINTS

    def arm(self, system: System, task: str, condition: Condition, n_train: int | None = None) -> Arm | None:
        """The recipe that speaks for a condition at `n_train` examples (the most it was run with, if left out)."""
        sizes = self.sizes(system, task, condition)
        if n_train is None:
            n_train = max(sizes, default=None)
        model = self._member(system, task)
        if model is None or n_train is None or n_train not in sizes:
            return None
        meeting = {
            name: scores for name, scores in self.scores[model, task][n_train].items() if self._meets(name, condition)
        }
        best = max(sorted(meeting), key=lambda name: meeting[name].rank)
        return Arm(model, task, best, n_train, meeting[best].test, self.constant(task))

    def contrast(self, task: str, left: Side, right: Side) -> Contrast | None:
        """Left minus right (each a system and a condition) on a task, or None where no size has both."""
        common = set(self.sizes(left[0], task, left[1])) & set(self.sizes(right[0], task, right[1]))
        if not common:
            return None
        arms = [self.arm(system, task, condition, max(common)) for system, condition in (left, right)]
        assert arms[0] is not None and arms[1] is not None
        return Contrast(arms[0], arms[1])

    def contrasts(self, paper_name: str, left: Side, right: Side) -> list[Contrast]:
        """Left minus right on the paper's task of this name: on its own data if they were run, else on stand-ins."""
        named = [name for name, task in self.tasks.items() if task.paper_name == paper_name]
        made = [contrast for name in named if (contrast := self.contrast(name, left, right)) is not None]
        own = [contrast for contrast in made if not self.tasks[contrast.task].stand_in]
        return own or made

    def stand_ins(self, models: Sequence[str], tasks: Sequence[str]) -> list[str]:
        """`entry for the paper's name`, for each entry that only stands in."""
        entries = [(name, self.models[name]) for name in models] + [(name, self.tasks[name]) for name in tasks]
        return [f"{name} for {entry.paper_name}" for name, entry in entries if entry.paper_name and entry.stand_in]

    def sizes(self, system: System, task: str, condition: Condition) -> list[int]:
        """The train sizes (examples) at which some recipe meets the condition."""
        model = self._member(system, task)
        sizes = {} if model is None else self.scores[model, task]
        return [n for n, recipes in sizes.items() if any(self._meets(name, condition) for name in recipes)]

    def _meets(self, recipe: str, condition: Condition) -> bool:
        return condition(self.recipes[recipe])

    def _member(self, system: System, task: str) -> str | None:
        """The system's model that was run on a task."""
        return next((model for model in system if (model, task) in self.scores), None)

    def _both_own(self, *models: str) -> bool:
        """Whether these are the paper's own models under one of its names."""
        entries = [self.models[model] for model in models]
        return not any(entry.stand_in for entry in entries) and len({entry.paper_name for entry in entries}) == 1

    def _apart(self, models: Sequence[str]) -> bool:
        """Whether no two of the models were run on the same of the paper's tasks."""
        covered = [{self.tasks[task].paper_name or task for name, task in self.scores if name == m} for m in models]
        return len(set.union(*covered)) == sum(map(len, covered))
