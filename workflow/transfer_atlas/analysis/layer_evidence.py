"""What the runs of a study say about layers: scores by where a surgery acts, or by which layer a probe reads.

Scores are in points (times 100), by seed. A *place* is a model, task, fine-tuning recipe and train size; where several
recipes were run there, the first in the configuration speaks. The untouched encoder is the depth L of every progressive
surgery: whichever of the two was run stands for both. Validation scores are there to choose by (the block that probes
best, say), so that what is shown of the chosen was not chosen for its luck.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

import pandas as pd

from transfer_atlas.analysis.evidence import POINTS, Arm, Evidence, Scores
from transfer_atlas.settings import Surgery

PROGRESSIVE = "progressive"
NO_SURGERY = "none"


@dataclass(frozen=True)
class Place:
    """Where curves are compared: everything but the surgery is the same."""

    model: str
    task: str
    recipe: str
    n_train: int


@dataclass(frozen=True)
class Curve:
    """Scores of one surgery, or of probes, by depth."""

    place: Place
    by_depth: Mapping[int, Scores]
    constant: float | None
    """What a constant answer scores on test, in points; None if unknown."""

    @property
    def depths(self) -> list[int]:
        """Depths that were run, lowest first."""
        return sorted(self.by_depth)

    def arm(self, depth: int) -> Arm | None:
        """The test scores at a depth as one side of a comparison; None where it was not run."""
        return self.average([depth]) if depth in self.by_depth else None

    def by_seed(self, depths: Collection[int]) -> dict[int, list[float]]:
        """Test scores at these depths, in their order, of each seed that was run at all of them."""
        tests = [self.by_depth[depth].test for depth in depths]
        common = set.intersection(*(set(test) for test in tests)) if tests else set()
        return {seed: [test[seed] for test in tests] for seed in sorted(common)}

    def average(self, depths: Collection[int]) -> Arm:
        """The mean over these depths as one side of a comparison."""
        means = {seed: fmean(scores) for seed, scores in self.by_seed(depths).items()}
        place = self.place
        return Arm(place.model, place.task, place.recipe, place.n_train, means, self.constant)


@dataclass(frozen=True)
class LayerEvidence:
    """Scores by depth, and the configuration's entries that say what they are scores of."""

    evidence: Evidence
    """Of the same runs: untouched encoders, entries, constant answers."""
    surgeries: Mapping[str, Surgery]
    operated: Mapping[Place, Mapping[str, Mapping[int, Scores]]]
    """By place, surgery and depth; fine-tuning only."""
    probed: Mapping[Place, Mapping[int, Scores]]
    """By place and layer that a linear head reads from the frozen encoder (0 is the embeddings)."""
    all_of: Mapping[tuple[str, str], int]
    """Examples of the whole train set, by model and task, where runs used it."""

    @staticmethod
    def of(runs: pd.DataFrame, evidence: Evidence, surgeries: Mapping[str, Surgery]) -> LayerEvidence:
        """Take it from the long table of `analysis.runs`; runs after an intermediate task are left out."""
        direct = runs[(runs["intermediate"] == "none") & ((runs["surgery"] != NO_SURGERY) | runs["depth"].notna())]
        operated: dict[Place, dict[str, dict[int, Scores]]] = {}
        probed: dict[Place, dict[int, Scores]] = {}
        all_of: dict[tuple[str, str], int] = {}
        columns = ("model", "task", "recipe", "n_train", "surgery", "depth", "size", "split", "metric", "seed", "value")
        for model, task, recipe, n_train, surgery, depth, size, split, metric, seed, value in zip(
            *(direct[name].tolist() for name in columns), strict=True
        ):
            if metric != evidence.tasks[task].main_metric:
                continue
            place = Place(model, task, recipe, n_train)
            if surgery == NO_SURGERY:
                by_depth = probed.setdefault(place, {})
            else:
                by_depth = operated.setdefault(place, {}).setdefault(surgery, {})
            scores = by_depth.setdefault(depth, Scores({}, {}))
            # Size 2000 and all of 2000 examples are the same runs: the second writes the same value again.
            (scores.test if split == "test" else scores.validation)[seed] = value * POINTS  # type: ignore[index]
            if size == "all":
                all_of[model, task] = n_train
        return LayerEvidence(evidence, surgeries, operated, probed, all_of)

    def shared_by(self, *surgeries: str) -> LayerEvidence:
        """These surgeries alone, at the places, depths and seeds that all of them were run at."""
        operated: dict[Place, Mapping[str, Mapping[int, Scores]]] = {}
        for place, by_surgery in self.operated.items():
            if set(surgeries) <= by_surgery.keys():
                curves = [self.curve(place, surgery).by_depth for surgery in surgeries]
                operated[place] = dict(zip(surgeries, _shared(curves), strict=True))
        return replace(self, operated=operated)

    def models(self, paper_name: str) -> list[str]:
        """Models that play the paper's and have runs of surgeries or probes, in the order of the configuration."""
        run = {place.model for place in (*self.operated, *self.probed)}
        return [name for name, entry in self.evidence.models.items() if name in run and entry.paper_name == paper_name]

    def run_with(self, model: str) -> list[str]:
        """Surgeries that the model was run with, in the order of the configuration."""
        run = {surgery for place, by_surgery in self.operated.items() if place.model == model for surgery in by_surgery}
        return [name for name in self.surgeries if name in run]

    def sizes(self, model: str, task: str, *surgeries: str) -> list[int]:
        """Train sizes (examples) at which a recipe was run with all these surgeries."""
        places = [place for place in self.operated if (place.model, place.task) == (model, task)]
        return sorted({place.n_train for place in places if set(surgeries) <= set(self.operated[place])})

    def place(self, model: str, task: str, n_train: int, *surgeries: str) -> Place | None:
        """The place of the first recipe that was run with all these surgeries at this size."""
        for recipe in self.evidence.recipes:
            place = Place(model, task, recipe, n_train)
            if place in self.operated and set(surgeries) <= set(self.operated[place]):
                return place
        return None

    def curve(self, place: Place, surgery: str) -> Curve:
        """Scores of a surgery by depth; a progressive one ends in the untouched encoder wherever that was run."""
        by_depth = dict(self.operated.get(place, {}).get(surgery, {}))
        if self.surgeries[surgery].kind == PROGRESSIVE and (full := self._full(place)).test:
            by_depth[self.evidence.models[place.model].layers] = full
        return Curve(place, by_depth, self.evidence.constant(place.task))

    def full(self, place: Place) -> Arm | None:
        """The untouched encoder, fine-tuned; None where it was not run."""
        full = self._full(place)
        return Curve(place, {0: full}, self.evidence.constant(place.task)).arm(0) if full.test else None

    def probes(self, model: str, task: str) -> Curve | None:
        """Scores by probed layer at the largest size; of several recipes the first in the configuration."""
        places = [place for place in self.probed if (place.model, place.task) == (model, task)]
        if not places:
            return None
        recipes = list(self.evidence.recipes)
        place = min(places, key=lambda place: (-place.n_train, recipes.index(place.recipe)))
        return Curve(place, self.probed[place], self.evidence.constant(task))

    def _full(self, place: Place) -> Scores:
        untouched = self.evidence.scores.get((place.model, place.task), {}).get(place.n_train, {}).get(place.recipe)
        validation: dict[int, float] = dict(untouched.validation) if untouched else {}
        test: dict[int, float] = dict(untouched.test) if untouched else {}
        layers = self.evidence.models[place.model].layers
        for surgery, by_depth in self.operated.get(place, {}).items():
            if self.surgeries[surgery].kind == PROGRESSIVE and layers in by_depth:
                validation |= by_depth[layers].validation
                test |= by_depth[layers].test
        return Scores(validation, test)


def _shared(curves: Sequence[Mapping[int, Scores]]) -> list[dict[int, Scores]]:
    """The scores of each curve at the depths and seeds (of test) that all have."""
    seeds = {
        depth: set.intersection(*(set(curve[depth].test) for curve in curves))
        for depth in sorted(set.intersection(*map(set, curves)))
    }
    return [{depth: _at(curve[depth], common) for depth, common in seeds.items() if common} for curve in curves]


def _at(scores: Scores, seeds: Collection[int]) -> Scores:
    validation, test = (
        {seed: score for seed, score in side.items() if seed in seeds} for side in (scores.validation, scores.test)
    )
    return Scores(validation, test)
