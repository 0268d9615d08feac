"""Surgeries whose settings do not go together, and surgeries that a model cannot have."""

from __future__ import annotations

from collections.abc import Iterator

from transfer_atlas import surgeries
from transfer_atlas.configuration.files import ABSENT, Key
from transfer_atlas.configuration.wording import Problem
from transfer_atlas.settings import Experiment, Model, Settings, Surgery

_BLOCKS = ("block", "preserve")
_OF_NEW_WEIGHTS = ("init", "biases", "layer_norm", "rate_factor")


def in_surgeries(settings: Settings) -> Iterator[Problem]:
    """Entries that lack what their kind needs, or have what it does not use."""
    for name, surgery in settings.surgeries.items():
        key: Key = ("surgeries", name)
        if surgery.kind in _BLOCKS and surgery.width is None:
            message = f"a surgery of kind {surgery.kind} needs the number of its layers; the paper's is 3"
            yield Problem((*key, "width"), ABSENT, message)
        if surgery.kind not in _BLOCKS and surgery.width is not None:
            yield Problem((*key, "width"), surgery.width, f"only {' and '.join(_BLOCKS)} have a width; leave it out")
        if surgery.kind == "permute" and surgery.permutations is None:
            message = "a surgery of kind permute needs them; 10 means the paper's, 1 to 10"
            yield Problem((*key, "permutations"), ABSENT, message)
        if surgery.kind != "permute" and surgery.permutations is not None:
            message = "only a surgery of kind permute has permutations; leave them out"
            yield Problem((*key, "permutations"), surgery.permutations, message)
        for setting in _OF_NEW_WEIGHTS:
            if surgery.kind == "permute" and setting in surgery.model_fields_set:
                message = "a permutation makes no new weights; leave it out"
                yield Problem((*key, setting), getattr(surgery, setting), message)


def in_surgeries_of(settings: Settings, key: Key, experiment: Experiment) -> Iterator[Problem]:
    """Surgeries and depths that a model of the experiment cannot have; unknown names have been reported."""
    for model in (name for name in experiment.models if name in settings.models):
        entry = settings.models[model]
        for index, name in enumerate(experiment.surgeries):
            surgery = settings.surgeries.get(name)
            if surgery is None or not _complete(surgery):
                continue
            asked = asked_depths(settings, experiment, model, name)
            reason = _unfit(model, entry, surgery, asked)
            if reason is not None:
                yield Problem((*key, "surgeries", index), name, reason)
                continue
            possible = surgeries.possible_depths(surgery, entry.layers, entry.shared_layers)
            yield from _impossible(key, experiment, possible, _told(name, surgery, model, entry, possible))
        if any(name in settings.recipes and settings.recipes[name].layer == "each" for name in experiment.recipes):
            told = f"{model} has {entry.layers} layers; allowed are 0 to {entry.layers}"
            yield from _impossible(key, experiment, list(range(entry.layers + 1)), told)


def asked_depths(settings: Settings, experiment: Experiment, model: str, surgery: str) -> list[int]:
    """Where an experiment lets a surgery act on a model, as far as it can."""
    entry, operation = settings.models[model], settings.surgeries[surgery]
    possible = surgeries.possible_depths(operation, entry.layers, entry.shared_layers) if _complete(operation) else []
    return [depth for depth in possible if experiment.depths == "all" or depth in experiment.depths]


def _complete(surgery: Surgery) -> bool:
    """Whether its own settings are enough to say what it does."""
    if surgery.kind in _BLOCKS:
        return surgery.width is not None
    return surgery.kind != "permute" or surgery.permutations is not None


def _unfit(model: str, entry: Model, surgery: Surgery, asked: list[int]) -> str | None:
    """Why a model cannot have a surgery at any depth, or two of the depths asked for come to the same."""
    if surgery.kind == "none":
        return "does nothing; list none instead"
    if entry.shared_layers and surgery.kind != "progressive":
        return (
            f"the {entry.layers} layers of {model} share their weights, so one cannot be changed without the others; "
            f"only progressive surgery fits, at 0 and {entry.layers}"
        )
    if surgery.width is not None and surgery.width > entry.layers:
        return f"its blocks have {surgery.width} layers, but {model} has {entry.layers}; use a smaller width"
    if surgery.kind == "permute":
        return _repeated(model, entry, asked)
    return None


def _repeated(model: str, entry: Model, permutations: list[int]) -> str | None:
    """Why permutations of few layers would be run twice, or run for nothing."""
    seen: dict[tuple[int, ...], int] = {}
    for number in permutations:
        order = surgeries.permutation(number, entry.layers)
        if order == surgeries.in_place(entry.layers):
            return f"permutation {number} leaves the {entry.layers} layers of {model} as they are; leave it out"
        if order in seen:
            return (
                f"permutations {seen[order]} and {number} put the {entry.layers} layers of {model} in the same order; "
                "list one of them"
            )
        seen[order] = number
    return None


def _told(name: str, surgery: Surgery, model: str, entry: Model, possible: list[int]) -> str:
    """What is possible, and why no more."""
    if surgery.kind == "permute":
        return f"{name} has the permutations {', '.join(map(str, possible))}"
    if entry.shared_layers:
        return f"the layers of {model} share their weights; allowed are 0 and {entry.layers}"
    blocks = f", the blocks of {name} {surgery.width}" if surgery.kind in _BLOCKS else ""
    return f"{model} has {entry.layers} layers{blocks}; with {name} allowed are {possible[0]} to {possible[-1]}"


def _impossible(key: Key, experiment: Experiment, possible: list[int], told: str) -> Iterator[Problem]:
    for index, depth in enumerate([] if experiment.depths == "all" else experiment.depths):
        if depth not in possible:
            yield Problem((*key, "depths", index), depth, told)
