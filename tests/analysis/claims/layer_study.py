"""A made-up study of layers in which all that Tamkin et al. claim holds; tests change what they are about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from transfer_atlas.analysis.evidence import Evidence, Scores
from transfer_atlas.analysis.layer_evidence import LayerEvidence, Place
from transfer_atlas.settings import Model, Recipe, Surgery, Task

SEEDS = (1, 2, 3, 4, 5)
MODEL = "encoder"
# Deviations of five seeds with mean 0, in another order at each depth: differences scatter too.
DEVIATIONS = (-0.2, -0.1, 0.0, 0.1, 0.2)

AUTHORS = Surgery(kind="progressive", init="authors_code", biases="keep", layer_norm="reset")
SURGERIES = {
    "authors": AUTHORS,
    "intended": AUTHORS.model_copy(update={"init": "truncated_normal"}),
    "norms": AUTHORS.model_copy(update={"layer_norm": "keep"}),
    "fast": AUTHORS.model_copy(update={"rate_factor": 5.0}),
    "block": AUTHORS.model_copy(update={"kind": "block", "width": 3}),
    "preserve": AUTHORS.model_copy(update={"kind": "preserve", "width": 3}),
    "permute": Surgery(kind="permute", permutations=10),
}
RECIPES = {
    "tune": Recipe(method="finetune", learning_rate=1e-3),
    "probe": Recipe(method="extract", learning_rate=1e-3, layer="each"),
}
PLAYED = {"sst": ("SST-2", None), "qnli": ("QNLI", None), "cola": ("CoLA", "matthews")}
MAJORITY = {
    "sst": {"test": {"good": 509, "bad": 491}},
    "qnli": {"test": {"yes": 505, "no": 495}},
    "cola": {"test": {"good": 700, "bad": 300}},
}

PROGRESSIVE = {
    ("sst", 500): [50.9, 50.9, 50.9, 51, 52.5, 62, 74.8, 77, 79.1, 81, 83, 85, 85.8],
    ("sst", 5_000): [79.6, 79.8, 80.3, 81, 82.8, 84, 86.1, 88, 89, 89.5, 89.9, 90.1, 90.3],
    ("sst", 50_000): [81, 83, 85, 87, 88.5, 89, 90.4, 91, 91.5, 91.7, 92, 92.2, 92.4],
    ("qnli", 500): [50.5, 50.5, 50.5, 51, 60, 68, 72, 74, 76, 76.5, 76.8, 76.9, 77],
    ("qnli", 5_000): [59.6, 66, 74, 78.3, 80, 80.8, 81.7, 82, 82.4, 83, 83.5, 84, 84.2],
    ("qnli", 50_000): [60, 70, 80, 82, 84, 85, 86, 87, 88, 89, 90, 90.7, 91.3],
    ("cola", 500): [0, 0, 1, 2, 3, 8, 18, 24, 28, 31, 33, 34, 35],
    ("cola", 5_000): [9, 11, 13, 18, 25, 30, 36.4, 45, 50.8, 52, 52.5, 53, 53.3],
    ("cola", 8_551): [10, 12, 14, 20, 31, 36, 41, 50, 57, 58, 58.8, 59, 59.3],
}
WHOLE = {"sst": 67_000, "qnli": 105_000, "cola": 8_551}
BLOCKS = {
    "sst": [87, 86, 85, 80, 82, 85, 87, 88, 89, 89.6],
    "qnli": [70, 74, 78, 80, 81, 82, 82.5, 83, 83.5, 84],
    "cola": [45, 40, 38, 35, 36, 40, 45, 48, 50, 52],
}
ORDERS = {
    task: [60.0 + factor * p % 11 for p in range(1, 11)] for task, factor in (("sst", 1), ("qnli", 3), ("cola", 7))
}
# The best permutation of CoLA is far below its full encoder too.
ORDERS["cola"] = [score - 50 for score in ORDERS["cola"]]

Runs = dict[int, dict[int, float]]
"""Score (points) by seed by depth."""


def runs(means: Mapping[int, float] | list[float], scale: float = 1.0, first: int = 0) -> Runs:
    """Five seeds around each mean; a list is counted from the depth `first`."""
    by_depth = dict(enumerate(means, first)) if isinstance(means, list) else means
    return {
        depth: {seed: mean + scale * DEVIATIONS[(i * (1 + depth % 4) + 3 * depth) % 5] for i, seed in enumerate(SEEDS)}
        for depth, mean in by_depth.items()
    }


def task(name: str, stand_in: bool = False) -> Task:
    paper_name, metric = PLAYED[name]
    return Task(
        type="sequence_classification",
        files={"train": "t.csv"},
        paper_name=paper_name,
        stand_in=stand_in,
        metric=metric,
    )


@dataclass
class Study:
    """What was run; `known()` is what claims are judged on."""

    curves: dict[tuple[str, int, str], Runs] = field(default_factory=dict)
    """By task, train size and surgery."""
    full: dict[tuple[str, int], dict[int, float]] = field(default_factory=dict)
    probes: dict[str, Runs] = field(default_factory=dict)
    model: Model = field(default_factory=lambda: Model(artifact="a", layers=12, paper_name="BERT-base"))
    tasks: dict[str, Task] = field(default_factory=lambda: {name: task(name) for name in PLAYED})
    surgeries: dict[str, Surgery] = field(default_factory=lambda: dict(SURGERIES))
    validation: dict[tuple[str, str], dict[int, float]] = field(default_factory=dict)
    """Means on validation by task, surgery (or "probes") and depth, where they are not those on test."""
    counts: Mapping = field(default_factory=lambda: MAJORITY)

    def known(self) -> LayerEvidence:
        untouched: dict = {}
        for (name, n_train), scores in self.full.items():
            untouched.setdefault((MODEL, name), {})[n_train] = {"tune": Scores(scores, scores)}
        evidence = Evidence({MODEL: self.model}, self.tasks, RECIPES, untouched, self.counts)
        operated: dict = {}
        for (name, n_train, surgery), by_depth in self.curves.items():
            place = Place(MODEL, name, "tune", n_train)
            operated.setdefault(place, {})[surgery] = self._scores(name, surgery, by_depth)
        probed = {
            Place(MODEL, name, "probe", WHOLE[name]): self._scores(name, "probes", by_layer)
            for name, by_layer in self.probes.items()
        }
        all_of = {(MODEL, name): WHOLE[name] for name in self.tasks if name in WHOLE}
        return LayerEvidence(evidence, self.surgeries, operated, probed, all_of)

    def only(self, *surgeries: str) -> Study:
        """Leave out all other surgeries; untouched encoders and probes stay."""
        self.curves = {where: runs for where, runs in self.curves.items() if where[2] in surgeries}
        return self

    def _scores(self, name: str, surgery: str, by_depth: Runs) -> dict[int, Scores]:
        chosen = self.validation.get((name, surgery), {})
        return {
            depth: Scores({1: chosen[depth]} if depth in chosen else by_seed, by_seed)
            for depth, by_seed in by_depth.items()
        }


def paper() -> Study:
    """Everything was run, and comes out as the paper has it; both initialisations alike."""
    study = Study()
    for (name, n_train), means in PROGRESSIVE.items():
        scale = 3.5 if n_train == 500 else 1.0
        by_depth = runs(means, scale)
        if n_train == 500:
            # At the level of a constant answer nothing scatters.
            by_depth |= runs(means[:3])
        study.full[name, n_train] = by_depth.pop(12)
        for surgery, shift in (("authors", 0.0), ("intended", -0.2)):
            study.curves[name, n_train, surgery] = runs_shifted(by_depth, shift)
        if n_train == 5_000:
            study.curves[name, n_train, "norms"] = runs_shifted(by_depth, 0.7)
            study.curves[name, n_train, "fast"] = runs({depth: means[depth] - 3 for depth in by_depth}, 4.0)
            study.curves[name, n_train, "block"] = runs(BLOCKS[name], first=1)
            study.curves[name, n_train, "preserve"] = runs([40 + 10 * (name == "cola") * -3.0] * 10, first=1)
            study.curves[name, n_train, "permute"] = runs(ORDERS[name], first=1)
        if n_train == 500:
            constant = {"sst": 50.9, "qnli": 50.5, "cola": 0.0}[name]
            study.probes[name] = runs([constant + (mean - constant) / 2 for mean in means])
    return study


def runs_shifted(by_depth: Runs, shift: float) -> Runs:
    """The same runs, all by so many points better; the difference scatters a little."""
    return {
        depth: {seed: score + shift + 0.05 * (seed - 3) for seed, score in by_seed.items()}
        for depth, by_seed in by_depth.items()
    }
