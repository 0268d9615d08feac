"""Settings that are well-formed one by one but do not go together: unknown names, impossible layers and the like."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator

from transfer_atlas.configuration.files import ABSENT, Key
from transfer_atlas.configuration.wording import ENTRY, Problem, nearest, one_of
from transfer_atlas.plan import NONE
from transfer_atlas.settings import METRICS_BY_TYPE, PAIR_TYPES, Experiment, Settings, Task


def contradictions(settings: Settings) -> Iterator[Problem]:
    """Everything in valid settings that cannot be run."""
    for name, model in settings.models.items():
        yield from _unknown(("models", name, "artifact"), model.artifact, settings.artifacts, "artifact")
    for name, task in settings.tasks.items():
        if task.artifact is not None:
            yield from _unknown(("tasks", name, "artifact"), task.artifact, settings.artifacts, "artifact")
        yield from _in_task(("tasks", name), task)
    yield from _in_recipes(settings)
    for group in ("surgeries", "intermediates"):
        if NONE in getattr(settings, group):
            yield Problem((group, NONE), ENTRY, "this name is reserved for doing nothing; choose another")
    yield from _in_intermediates(settings)
    for position, experiment in enumerate(settings.experiments):
        yield from _unknown_in_experiment(settings, ("experiments", position), experiment)
        yield from _in_experiment(settings, ("experiments", position), experiment)


def _unknown(key: Key, value: str, allowed: Iterable[str], what: str) -> Iterator[Problem]:
    names = sorted(allowed)
    if value not in names:
        yield Problem(key, value, f"no such {what}; there are {', '.join(names) or 'none yet'}{nearest(value, names)}")


# --- tasks -------------------------------------------------------------------------------------------------


def _in_task(key: Key, task: Task) -> Iterator[Problem]:
    if "train" not in task.files:
        yield Problem((*key, "files", "train"), ABSENT, "name the training file; missing splits are carved from it")
    for split, files in task.files.items():
        if not files:
            yield Problem((*key, "files", split), files, "name at least one file")
    allowed = METRICS_BY_TYPE[task.type]
    if task.metric is not None and task.metric not in allowed:
        yield Problem((*key, "metric"), task.metric, one_of(task.metric, allowed, f"for {task.type} "))
    try:
        codecs.lookup(task.encoding)
    except LookupError:
        common = ("utf-8", "utf-16", "latin-1", "cp1252")
        message = f"no such encoding; common ones are {', '.join(common)}{nearest(task.encoding, common)}"
        yield Problem((*key, "encoding"), task.encoding, message)
    yield from _in_texts(key, task)
    yield from _in_labels(key, task)
    yield from _in_columns(key, task)


def _in_texts(key: Key, task: Task) -> Iterator[Problem]:
    second = task.fields.text_pair
    if task.type in PAIR_TYPES:
        if second is None:
            yield Problem((*key, "fields", "text_pair"), ABSENT, f"{task.type} needs the column of the second text")
        if task.format == "folders":
            yield Problem((*key, "format"), task.format, f"a file in a folder is one text, but {task.type} needs two")
    elif second is not None:
        kinds = " and ".join(PAIR_TYPES)
        yield Problem((*key, "fields", "text_pair"), second, f"{task.type} has one text; {kinds} have two")


def _in_labels(key: Key, task: Task) -> Iterator[Problem]:
    if task.type == "pair_regression":
        if task.labels is not None:
            yield Problem((*key, "labels"), task.labels, "regression has scores, not labels; leave it out")
        if task.score_range is None:
            message = "regression needs [smallest, largest] score, for example [0, 5]"
            yield Problem((*key, "score_range"), ABSENT, message)
        elif task.score_range[0] >= task.score_range[1]:
            yield Problem((*key, "score_range"), task.score_range, "should be [smallest, largest], in this order")
        return
    if task.score_range is not None:
        yield Problem((*key, "score_range"), task.score_range, f"{task.type} has labels, not scores; leave it out")
    names = list(task.labels.values()) if isinstance(task.labels, dict) else task.labels
    if names is not None and len(set(names)) < 2:
        yield Problem((*key, "labels"), task.labels, "classification needs at least two classes")
    elif isinstance(task.labels, list) and len(set(task.labels)) < len(task.labels):
        yield Problem((*key, "labels"), task.labels, "a class is listed twice; list each once")


def _in_columns(key: Key, task: Task) -> Iterator[Problem]:
    if task.format == "folders":
        return
    if task.header and task.columns is not None:
        message = "only a file without header needs them; set header: false, or leave them out"
        yield Problem((*key, "columns"), task.columns, message)
    if not task.header and task.columns is None:
        yield Problem((*key, "columns"), ABSENT, "a file without header needs the names of its columns")
    if not task.header and task.columns is not None:
        named = {(*key, "fields", field): name for field, name in task.fields if name is not None}
        named |= {(*key, "where", name): name for name in task.where}
        for place, name in named.items():
            yield from _unknown(place, name, task.columns, "column")


# --- recipes and intermediate tasks ------------------------------------------------------------------------


def _in_recipes(settings: Settings) -> Iterator[Problem]:
    for name, recipe in settings.recipes.items():
        if recipe.method == "finetune" and recipe.head != "linear":
            yield Problem(("recipes", name, "head"), recipe.head, "with method finetune only linear is allowed")
        if recipe.layer != "last" and (recipe.method != "extract" or recipe.head != "linear"):
            message = "only a linear head with method extract reads one layer; leave it out"
            yield Problem(("recipes", name, "layer"), recipe.layer, message)
        if recipe.method == "extract" and recipe.precision == "bfloat16":
            message = "heads on stored states are trained in float32; leave it out"
            yield Problem(("recipes", name, "precision"), recipe.precision, message)
        if recipe.method == "extract" and recipe.frozen_layers is not None:
            message = "method extract freezes the whole encoder; leave it out"
            yield Problem(("recipes", name, "frozen_layers"), recipe.frozen_layers, message)


def _in_intermediates(settings: Settings) -> Iterator[Problem]:
    for name, entry in settings.intermediates.items():
        key: Key = ("intermediates", name)
        yield from _unknown((*key, "task"), entry.task, settings.tasks, "task")
        yield from _unknown((*key, "recipe"), entry.recipe, settings.recipes, "recipe")
        if entry.recipe in settings.recipes and settings.recipes[entry.recipe].method != "finetune":
            yield Problem((*key, "recipe"), entry.recipe, "an intermediate task needs a recipe with method finetune")


# --- experiments -------------------------------------------------------------------------------------------


def _unknown_in_experiment(settings: Settings, key: Key, experiment: Experiment) -> Iterator[Problem]:
    groups: dict[str, tuple[list[str], Iterable[str], str]] = {
        "models": (experiment.models, settings.models, "model"),
        "tasks": (experiment.tasks, settings.tasks, "task"),
        "recipes": (experiment.recipes, settings.recipes, "recipe"),
        "intermediates": (experiment.intermediates, {NONE, *settings.intermediates}, "intermediate task"),
        "surgeries": (experiment.surgeries, {NONE, *settings.surgeries}, "surgery"),
    }
    for group, (names, allowed, what) in groups.items():
        for index, name in enumerate(names):
            yield from _unknown((*key, group, index), name, allowed, what)


def _in_experiment(settings: Settings, key: Key, experiment: Experiment) -> Iterator[Problem]:
    """What does not go together; names that are unknown have been reported and are passed over."""
    recipes = {name: settings.recipes[name] for name in experiment.recipes if name in settings.recipes}
    for model in experiment.models:
        if model not in settings.models:
            continue
        layers = settings.models[model].layers
        for index, depth in enumerate([] if experiment.depths == "all" else experiment.depths):
            if depth > layers:
                message = f"{model} has {layers} layers; allowed are 0 to {layers}"
                yield Problem((*key, "depths", index), depth, message)
        for name, recipe in recipes.items():
            if recipe.layer != "last" and recipe.layer > layers:
                message = f"{model} has {layers} layers; allowed are last and 0 to {layers}"
                yield Problem(("recipes", name, "layer"), recipe.layer, message)
    yield from _in_frozen_layers(settings, key, experiment)
    for index, name in enumerate(experiment.intermediates):
        entry = settings.intermediates.get(name)
        if entry is not None and entry.task in experiment.tasks:
            message = f"trains on {entry.task}, which is also a target here; list them in separate experiments"
            yield Problem((*key, "intermediates", index), name, message)
    operations = [(index, name) for index, name in enumerate(experiment.surgeries) if name != NONE]
    finetuned = any(recipe.method == "finetune" for recipe in recipes.values())
    if recipes and not (finetuned and NONE in experiment.intermediates):
        # Such combinations are not made, and a run that is asked for must not be missing without a word.
        for index, name in operations:
            message = (
                "goes with a recipe of method finetune and intermediate task none; this experiment lists no such pair"
            )
            yield Problem((*key, "surgeries", index), name, message)
    if experiment.depths != "all" and not operations:
        message = "only a surgery keeps some layers and not others; add surgeries, or leave depths out"
        yield Problem((*key, "depths"), experiment.depths, message)


def _in_frozen_layers(settings: Settings, key: Key, experiment: Experiment) -> Iterator[Problem]:
    """More frozen layers than a model has, and frozen layers that a surgery would reinitialise."""
    before = [
        settings.intermediates[name].recipe for name in experiment.intermediates if name in settings.intermediates
    ]
    frozen: dict[str, int] = {}
    for name in (*experiment.recipes, *before):
        recipe = settings.recipes.get(name)
        if recipe is not None and recipe.method == "finetune" and recipe.frozen_layers is not None:
            frozen[name] = recipe.frozen_layers
    too_many = set()
    for name, kept in frozen.items():
        for model in experiment.models:
            if model in settings.models and kept > (layers := settings.models[model].layers):
                too_many.add(name)
                message = f"{model} has {layers} layers; allowed are 0 to {layers}"
                yield Problem(("recipes", name, "frozen_layers"), kept, message)
    if all(name == NONE for name in experiment.surgeries):
        return
    for name in (name for name in experiment.recipes if name in frozen and name not in too_many):
        kept = frozen[name]
        message = f"{name} freezes {kept} layers, which must keep their weights; list depths of at least {kept}"
        if experiment.depths == "all" and kept > 0:
            yield Problem((*key, "depths"), experiment.depths, message)
        for index, depth in enumerate([] if experiment.depths == "all" else experiment.depths):
            if depth < kept:
                yield Problem((*key, "depths", index), depth, message)
