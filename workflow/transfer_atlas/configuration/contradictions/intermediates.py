"""Intermediate tasks that cannot be trained, or not before what they are asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from transfer_atlas.configuration.files import Key
from transfer_atlas.configuration.wording import Problem, unknown
from transfer_atlas.plan import NONE
from transfer_atlas.settings import Experiment, Recipe, Settings, Task

# What gives a head its shape.
_SHAPE = ("head", "pooling", "pieces", "pairs", "hidden", "head_layers")


def in_intermediates(settings: Settings) -> Iterator[Problem]:
    """Unknown names, recipes that train no encoder, and chains that cannot be trained one after the other."""
    for name, entry in settings.intermediates.items():
        key: Key = ("intermediates", name)
        yield from unknown((*key, "task"), entry.task, settings.tasks, "task")
        yield from unknown((*key, "recipe"), entry.recipe, settings.recipes, "recipe")
        if entry.recipe in settings.recipes and settings.recipes[entry.recipe].method != "finetune":
            yield Problem((*key, "recipe"), entry.recipe, "an intermediate task needs a recipe with method finetune")
        if entry.after is None:
            continue
        yield from unknown((*key, "after"), entry.after, settings.intermediates, "intermediate task")
        if entry.after not in settings.intermediates:
            continue
        before = settings.intermediates[entry.after]
        chain = links_of(settings, name)
        if chain[0] == name:
            message = f"makes a circle: {' after '.join(reversed(chain))}; a chain must begin somewhere"
            yield Problem((*key, "after"), entry.after, message)
        elif isinstance(before.seed, list):
            message = f"{entry.after} has several seeds, so it is not clear which to go on from; give it one, or paired"
            yield Problem((*key, "after"), entry.after, message)
        elif before.head == "keep":
            yield from _other_head(settings, (*key, "after"), entry.after, entry.task, entry.recipe)


def links_of(settings: Settings, name: str) -> list[str]:
    """The known entries before this one, itself last; where they make a circle, this one first, too."""
    chain = [name]
    while (before := settings.intermediates[chain[0]].after) in settings.intermediates:
        assert before is not None
        if before in chain:
            return [before, *chain] if before == name else chain
        chain.insert(0, before)
    return chain


def in_intermediates_of(settings: Settings, key: Key, experiment: Experiment) -> Iterator[Problem]:
    """Intermediate tasks that do not go with an experiment's targets and recipes."""
    recipes = {name: settings.recipes[name] for name in experiment.recipes if name in settings.recipes}
    finetuned = [name for name, recipe in recipes.items() if recipe.method == "finetune"]
    keeping = False
    for index, name in enumerate(experiment.intermediates):
        if name not in settings.intermediates:
            continue
        entry = settings.intermediates[name]
        place: Key = (*key, "intermediates", index)
        trained = {settings.intermediates[link].task: link for link in links_of(settings, name)}
        for task in experiment.tasks:
            if task in trained:
                through = "" if trained[task] == name else f" (through {trained[task]})"
                message = f"trains on {task}{through}, which is also a target here; list them in separate experiments"
                yield Problem(place, name, message)
        if entry.head == "keep":
            keeping = True
            for task in experiment.tasks:
                for recipe in finetuned:
                    yield from _other_head(settings, place, name, task, recipe)
    if not finetuned and experiment.equal_budget:
        message = "a control trains the encoder longer; list a recipe with method finetune, or leave it out"
        yield Problem((*key, "equal_budget"), True, message)
    if experiment.equal_budget and set(experiment.intermediates) <= {NONE}:
        message = "controls an intermediate task, and this experiment lists none; list one, or leave it out"
        yield Problem((*key, "equal_budget"), True, message)
    if 0 in experiment.sizes and not (keeping and finetuned):
        message = (
            "scores the model of an intermediate task as it is; list one with head: keep, and a recipe with method "
            "finetune"
        )
        yield Problem((*key, "sizes", experiment.sizes.index(0)), 0, message)


def _other_head(settings: Settings, key: Key, name: str, task: str, recipe: str) -> Iterator[Problem]:
    """Why training with this recipe on this task cannot go on with the head of an intermediate task."""
    entry = settings.intermediates[name]
    if {entry.task, task} - set(settings.tasks) or {entry.recipe, recipe} - set(settings.recipes):
        return
    told = _differing_tasks(settings, entry.task, task) or _differing_recipes(settings, entry.recipe, recipe)
    if told:
        yield Problem(key, name, f"keeps its head, but {told}; set intermediates.{name}.head: drop")


def _differing_tasks(settings: Settings, first_name: str, second_name: str) -> str:
    first, second = settings.tasks[first_name], settings.tasks[second_name]
    if first.type != second.type:
        return f"{first_name} is {first.type} and {second_name} is {second.type}"
    if (first.fields.span_pair is None) != (second.fields.span_pair is None):
        return f"one of {first_name} and {second_name} marks a second span"
    if first.score_range != second.score_range:
        return f"scores of {first_name} are in {first.score_range} and those of {second_name} in {second.score_range}"
    classes, others = _classes(first), _classes(second)
    if classes and others and classes != others:
        return f"{first_name} has the classes {', '.join(classes)} and {second_name} has {', '.join(others)}"
    return ""


def _classes(task: Task) -> Sequence[str]:
    """The classes that the configuration names, in order; empty where the rows name them."""
    if task.labels is None:
        return []
    return list(dict.fromkeys(task.labels.values())) if isinstance(task.labels, dict) else task.labels


def _differing_recipes(settings: Settings, first_name: str, second_name: str) -> str:
    def shape(name: str) -> dict[str, object]:
        recipe: Recipe = settings.recipes[name]
        return {key: getattr(recipe, key) for key in _SHAPE}

    first, second = shape(first_name), shape(second_name)
    for key in _SHAPE:
        if first[key] != second[key]:
            return f"{first_name} has {key}: {first[key]} and {second_name} {key}: {second[key]}"
    return ""
