"""What transferability scores are computed of: which states, on which examples, laid out how."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from transfer_atlas.layout import Layout, layout_of
from transfer_atlas.plan.cells import NONE, State
from transfer_atlas.plan.places import RESULTS
from transfer_atlas.plan.states import probed_layout
from transfer_atlas.settings import WORD_TYPES, Settings


@dataclass(frozen=True)
class Scored:
    """An intermediate entry and a target for which one model's states are scored, in one job.

    Attributes:
        seeds: Of the intermediate trainings, in order.
        examples: Target training examples that are read, at most.
    """

    model: str
    intermediate: str
    task: str
    seeds: tuple[int, ...]
    examples: int

    @property
    def place(self) -> tuple[str, str, str]:
        """What tells it from others: model, intermediate entry and target."""
        return self.model, self.intermediate, self.task

    @property
    def pretrained(self) -> State:
        """The pretrained encoder, on the target."""
        return State(self.model, NONE, self.task, None)

    @property
    def trained(self) -> dict[int, State]:
        """The states after the intermediate task, on the target, by seed."""
        return {seed: State(self.model, self.intermediate, self.task, seed) for seed in self.seeds}


def scored(settings: Settings) -> list[Scored]:
    """Every model, intermediate entry and target once, in a fixed order.

    Where several entries of `transferability` name the same, with all their seeds and the most of their examples.
    """
    asked: dict[tuple[str, str, str], tuple[set[int], int]] = {}
    for entry in settings.transferability:
        for place in product(entry.models, entry.intermediates, entry.tasks):
            seeds, examples = asked.get(place, (set(), 0))
            asked[place] = (seeds | set(entry.seeds), max(examples, entry.examples))
    return [Scored(*place, tuple(sorted(seeds)), examples) for place, (seeds, examples) in asked.items()]


def source_on_own_task(settings: Settings, place: Scored) -> State:
    """The pretrained encoder on the intermediate task's own examples."""
    return State(place.model, NONE, settings.intermediates[place.intermediate].task, None)


def head_layout(settings: Settings, place: Scored) -> Layout | None:
    """How the target's examples are laid out for the linear head that the intermediate training leaves.

    None where that head reads no single vector of a text: heads that are not linear, heads of words, and heads of two
    separately encoded texts on a target that is no such pair (or the other way round).
    """
    entry = settings.intermediates[place.intermediate]
    source, recipe, target = settings.tasks[entry.task], settings.recipes[entry.recipe], settings.tasks[place.task]
    if source.type in WORD_TYPES or recipe.head != "linear":
        return None
    model = settings.models[place.model]
    trained = layout_of(source, model, recipe)
    # As stored for a head on frozen states; a head of single texts reads a pair as one input.
    stored = recipe.model_copy(update={"method": "extract", "pairs": "separate" if trained.separate else "joint"})
    layout = layout_of(target, model, stored)
    return layout if layout.separate == trained.separate else None


def scored_representations(settings: Settings, place: Scored) -> list[tuple[State, Layout]]:
    """The stored representations that the scores of one place read, each once."""
    states = [place.pretrained, source_on_own_task(settings, place), *place.trained.values()]
    found = [(state, probed_layout(settings, state)) for state in states]
    layout = head_layout(settings, place)
    if layout is not None:
        found += [(state, layout) for state in place.trained.values()]
    return list(dict.fromkeys(found))


def scored_states(settings: Settings) -> list[State]:
    """Every state whose representations transferability scores read, each once, in a fixed order."""
    return list(
        dict.fromkeys(state for place in scored(settings) for state, _ in scored_representations(settings, place))
    )


def scored_settings(settings: Settings, place: Scored) -> dict[str, Any]:
    """Every setting that the scores depend on beyond the representations and weights that they read."""
    layout = head_layout(settings, place)
    return {
        "seeds": place.seeds,
        "examples": place.examples,
        "source": settings.tasks[settings.intermediates[place.intermediate].task].type,
        "target": settings.tasks[place.task].type,
        "head": None if layout is None else layout.name,
    }


def transferability_file(place: Scored) -> Path:
    """The scores of one model, intermediate entry and target."""
    return RESULTS / "transferability" / place.model / place.intermediate / f"{place.task}.csv"
