"""A made-up study of intermediate tasks in which all that is claimed of them holds; tests change what they are about.

Three families, each with an intermediate task and two targets, one in another domain and one in another language; three
models of the paper's; five seeds; two train sizes.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from transfer_atlas.analysis.evidence import Evidence, Scores
from transfer_atlas.analysis.transfer.pairs import Pairs
from transfer_atlas.analysis.transfer_evidence import TransferEvidence
from transfer_atlas.plan import control_of
from transfer_atlas.settings import Intermediate, Model, Recipe, Task

SEEDS = (1, 2, 3, 4, 5)
SMALL, LARGE = 100, 1600
WITHOUT = 80.0
# Deviations with mean 0 of five seeds; each cell has them in another order.
DEVIATIONS = (-0.2, -0.1, 0.0, 0.1, 0.2)
FAMILIES = {"text": "text classification", "opinion": "sentiment analysis", "likeness": "sentence similarity"}
RECIPES = {
    "tune": Recipe(method="finetune", learning_rate=1e-3),
    "tune_long": Recipe(method="finetune", learning_rate=1e-3, epochs=9),
    "freeze": Recipe(method="extract", learning_rate=1e-3),
}
# With minus without at the largest size, by target.
GAINS = {
    **{"text_other": 1.5, "text_de": -3.0},
    **{"opinion_other": -1.0, "opinion_de": -4.0},
    **{"likeness_other": -1.2, "likeness_de": -5.0},
}
Place = tuple[str, str, str]  # model, value of the column intermediate, task


def model(paper_name: str | None, stand_in: bool = True) -> Model:
    return Model(artifact="a", layers=2, paper_name=paper_name, stand_in=stand_in)


def tasks() -> dict[str, Task]:
    found = {}
    for short, family in FAMILIES.items():
        for name, domain, language in (("base", "films", "en"), ("other", "books", "en"), ("de", "films", "de")):
            kind = "sequence_classification" if short != "likeness" else "pair_regression"
            extra = {"score_range": [0.0, 5.0]} if short == "likeness" else {}
            found[f"{short}_{name}"] = Task(
                type=kind, files={"train": "t.csv"}, family=family, domain=domain, language=language, **extra
            )
    return found


def around(mean: float, turn: int = 0) -> dict[int, float]:
    """Five seeds around a mean."""
    return {seed: mean + DEVIATIONS[(i + turn) % 5] for i, seed in enumerate(SEEDS)}


@dataclass
class Study:
    """What was run; `known()` is what claims are judged on."""

    scores: dict[Place, dict[int, dict[str, dict[int, float]]]] = field(default_factory=dict)
    """By place, train size, recipe and seed."""
    models: dict[str, Model] = field(
        default_factory=lambda: {"bert": model("BERT-base"), "roberta": model("RoBERTa"), "xlnet": model("XLNet")}
    )
    tasks: dict[str, Task] = field(default_factory=tasks)
    intermediates: dict[str, Intermediate] = field(
        default_factory=lambda: {
            f"{short}_first": Intermediate(task=f"{short}_base", recipe="tune") for short in FAMILIES
        }
    )
    validation: dict[tuple[str, str], float] = field(default_factory=dict)
    """Mean on validation by (value of the column intermediate, recipe), where it is not that on test."""
    counts: dict = field(default_factory=dict)

    def put(self, place: Place, score: float | dict[int, float], n_train: int = LARGE, recipe: str = "tune") -> None:
        turn = sum(map(ord, "".join(place))) + n_train
        by_seed = score if isinstance(score, dict) else around(score, turn)
        self.scores.setdefault(place, {}).setdefault(n_train, {})[recipe] = by_seed

    def gain(self, task: str, points: float, n_train: int = LARGE, models: tuple[str, ...] | None = None) -> None:
        """Another gain of the family's intermediate task before a target."""
        for name in models or tuple(self.models):
            self.put((name, f"{task.split('_')[0]}_first", task), WITHOUT + points, n_train)

    def control(self, task: str, beyond: float) -> None:
        """As many updates on the target, from which the intermediate task differs by so many points."""
        first = f"{task.split('_')[0]}_first"
        for name in self.models:
            self.put((name, control_of(first), task), WITHOUT + GAINS[task] - beyond)

    def known(self) -> TransferEvidence:
        scored: dict[str, dict] = {}
        for (name, before, task), by_size in self.scores.items():
            scored.setdefault(before, {})[name, task] = {
                n_train: {
                    recipe: Scores(
                        dict.fromkeys(by_seed, self.validation[before, recipe])
                        if (before, recipe) in self.validation
                        else by_seed,
                        by_seed,
                    )
                    for recipe, by_seed in recipes.items()
                }
                for n_train, recipes in by_size.items()
            }
        evidence = Evidence(self.models, self.tasks, RECIPES, scored.pop("none", {}), self.counts)
        return TransferEvidence(evidence, Pairs(self.tasks, self.intermediates), scored)


def paper() -> Study:
    """Everything was run, and comes out as the paper has it."""
    study = Study()
    for task, points in GAINS.items():
        for n_train, more in ((SMALL, 2.0), (LARGE, 0.0)):
            for name in study.models:
                study.put((name, "none", task), WITHOUT, n_train)
            study.gain(task, points + more, n_train)
    return study
