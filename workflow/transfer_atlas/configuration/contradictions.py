"""Settings that are well-formed one by one but do not go together: unknown names, impossible layers and the like."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator, Mapping

from transfer_atlas import candidates
from transfer_atlas.configuration.diagnostic_contradictions import in_diagnostics, in_domains
from transfer_atlas.configuration.files import ABSENT, Key
from transfer_atlas.configuration.head_contradictions import in_heads, in_heads_beside_experiments
from transfer_atlas.configuration.validation import invalid_recipe
from transfer_atlas.configuration.wording import ENTRY, Problem, nearest, one_of, shown, unknown
from transfer_atlas.plan import NONE
from transfer_atlas.settings import METRICS_BY_TYPE, PAIR_TYPES, WORD_TYPES, Experiment, Recipe, Settings, Task
from transfer_atlas.tasks.sources import UD_COLUMNS, format_of
from transfer_atlas.tasks.tags import is_tag


def contradictions(settings: Settings) -> Iterator[Problem]:
    """Everything in valid settings that cannot be run."""
    for name, model in settings.models.items():
        yield from unknown(("models", name, "artifact"), model.artifact, settings.artifacts, "artifact")
    for name, task in settings.tasks.items():
        if task.artifact is not None:
            yield from unknown(("tasks", name, "artifact"), task.artifact, settings.artifacts, "artifact")
        yield from _in_task(("tasks", name), task)
    yield from _in_recipes(settings)
    for group in ("surgeries", "intermediates"):
        if NONE in getattr(settings, group):
            yield Problem((group, NONE), ENTRY, "this name is reserved for doing nothing; choose another")
    yield from _in_intermediates(settings)
    yield from _in_search(settings)
    yield from in_heads_beside_experiments(settings)
    yield from in_diagnostics(settings)
    yield from in_domains(settings)
    for position, experiment in enumerate(settings.experiments):
        yield from _unknown_in_experiment(settings, ("experiments", position), experiment)
        yield from _in_experiment(settings, ("experiments", position), experiment)


# --- tasks -------------------------------------------------------------------------------------------------


def _in_task(key: Key, task: Task) -> Iterator[Problem]:
    if "train" not in task.files:
        yield Problem((*key, "files", "train"), ABSENT, "name the training file; missing splits are carved from it")
    for split, files in task.files.items():
        if not files:
            yield Problem((*key, "files", split), files, "name at least one file")
    if task.metric is not None and task.metric not in task.metrics:
        message = one_of(task.metric, task.metrics, f"for {task.type} ")
        if task.metric in METRICS_BY_TYPE[task.type]:
            message = "spans are scored where labels mark them; set tags to bio or bioes"
        yield Problem((*key, "metric"), task.metric, message)
    try:
        codecs.lookup(task.encoding)
    except LookupError:
        common = ("utf-8", "utf-16", "latin-1", "cp1252")
        message = f"no such encoding; common ones are {', '.join(common)}{nearest(task.encoding, common)}"
        yield Problem((*key, "encoding"), task.encoding, message)
    yield from _in_texts(key, task)
    yield from _in_words(key, task)
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


def _in_words(key: Key, task: Task) -> Iterator[Problem]:
    """Words, their tags and spans, and the formats that have them."""
    if task.tags != "words" and task.type != "token_labelling":
        yield Problem((*key, "tags"), task.tags, f"{task.type} labels no words; leave it out")
    if task.type == "span_pair_classification":
        yield from _in_spans(key, task)
    else:
        for field in ("span", "span_pair"):
            column = getattr(task.fields, field)
            if column is not None:
                message = f"{task.type} has no marked spans; leave it out"
                yield Problem((*key, "fields", field), column, message)
    if task.format in ("conll", "conllu") and task.type not in WORD_TYPES:
        message = f"has labels of words, but {task.type} needs whole texts; {' and '.join(WORD_TYPES)} read words"
        yield Problem((*key, "format"), task.format, message)
    if task.format == "folders" and task.type in WORD_TYPES:
        yield Problem(
            (*key, "format"), task.format, f"a folder is the class of a whole text, not what {task.type} needs"
        )


def _in_spans(key: Key, task: Task) -> Iterator[Problem]:
    if "conll" in _formats(task):
        message = "has labels of words, but no spans; use conllu, or a table with columns of spans"
        yield Problem((*key, "format"), task.format or ABSENT, message)
    elif "conllu" in _formats(task):
        if task.fields.span is not None:
            message = "the arcs of CoNLL-U are the spans; leave it out"
            yield Problem((*key, "fields", "span"), task.fields.span, message)
    elif task.fields.span is None:
        message = "name the column of the marked words; only arcs of CoNLL-U need none"
        yield Problem((*key, "fields", "span"), ABSENT, message)
    if task.fields.span is None and task.fields.span_pair is not None:
        yield Problem((*key, "fields", "span_pair"), task.fields.span_pair, "this is the second span; name span too")


def _formats(task: Task) -> set[str | None]:
    """The formats of a task's files as far as it or the endings of their names say; None for others."""
    if task.format is not None:
        return {task.format}
    files = [names if isinstance(names, list) else [names] for names in task.files.values()]
    return {format_of(name) for names in files for name in names}


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
    elif names is not None and task.tags != "words":
        for wrong in (label for label in names if not is_tag(label)):
            message = f"{wrong} is no tag; tags are O, or B-, I-, E- or S- and a type"
            yield Problem((*key, "labels"), task.labels, message)


def _in_columns(key: Key, task: Task) -> Iterator[Problem]:
    if task.format == "folders":
        return
    if (sentences := _formats(task)) <= {"conll", "conllu"}:
        yield from _in_columns_of_sentences(key, task, "conll" in sentences)
        return
    if task.header and task.columns is not None:
        message = "only a file without header needs them; set header: false, or leave them out"
        yield Problem((*key, "columns"), task.columns, message)
    if not task.header and task.columns is None:
        yield Problem((*key, "columns"), ABSENT, "a file without header needs the names of its columns")
    if not task.header and task.columns is not None:
        yield from _unknown_columns(key, task, task.columns)


def _in_columns_of_sentences(key: Key, task: Task, unnamed: bool) -> Iterator[Problem]:
    """The columns of conll, which have no names of their own, and of conllu, which have."""
    if unnamed:
        if task.columns is None:
            yield Problem((*key, "columns"), ABSENT, "conll needs the names of its columns, in order")
        else:
            yield from _unknown_columns(key, task, task.columns)
        return
    columns = UD_COLUMNS if task.columns is None else tuple(task.columns)
    if columns[: len(UD_COLUMNS)] != UD_COLUMNS:
        message = f"those of conllu begin with {', '.join(UD_COLUMNS)}; leave it out, unless the file has more"
        yield Problem((*key, "columns"), task.columns, message)
    else:
        yield from _unknown_columns(key, task, [*columns, "text", "label"])


def _unknown_columns(key: Key, task: Task, columns: Iterable[str]) -> Iterator[Problem]:
    named = {(*key, "fields", field): name for field, name in task.fields if name is not None}
    named |= {(*key, "where", name): name for name in task.where}
    for place, name in named.items():
        yield from unknown(place, name, columns, "column")


# --- recipes and intermediate tasks ------------------------------------------------------------------------


# A mix of layers is for states that stay as they are.
_FINETUNED_HEADS = ("linear", "bi_attention", "crf", "bilstm_crf")


def _in_recipes(settings: Settings) -> Iterator[Problem]:
    for name, recipe in settings.recipes.items():
        if recipe.method == "finetune" and recipe.head not in _FINETUNED_HEADS:
            message = one_of(recipe.head, _FINETUNED_HEADS, "with method finetune ")
            yield Problem(("recipes", name, "head"), recipe.head, message)
        if recipe.layer != "last" and (recipe.method != "extract" or recipe.head != "linear"):
            message = "only a linear head with method extract reads one layer; leave it out"
            yield Problem(("recipes", name, "layer"), recipe.layer, message)
        if recipe.method == "extract" and recipe.precision == "bfloat16":
            message = "heads on stored states are trained in float32; leave it out"
            yield Problem(("recipes", name, "precision"), recipe.precision, message)
        if recipe.method == "extract" and recipe.frozen_layers is not None:
            message = "method extract freezes the whole encoder; leave it out"
            yield Problem(("recipes", name, "frozen_layers"), recipe.frozen_layers, message)
        if recipe.method == "extract" and recipe.layer_decay != 1.0:
            message = "method extract trains no layer of the encoder; leave it out"
            yield Problem(("recipes", name, "layer_decay"), recipe.layer_decay, message)
        if recipe.method == "extract" and recipe.unfreeze_epochs is not None:
            message = "method extract never trains the encoder; leave it out"
            yield Problem(("recipes", name, "unfreeze_epochs"), recipe.unfreeze_epochs, message)
        elif recipe.unfreeze_epochs is not None and recipe.frozen_layers is not None:
            message = "unfreezing ends with all layers trained, but frozen_layers keeps some frozen; leave one out"
            yield Problem(("recipes", name, "unfreeze_epochs"), recipe.unfreeze_epochs, message)
        elif recipe.unfreeze_epochs is not None and recipe.unfreeze_epochs >= recipe.epochs and recipe.min_steps == 0:
            message = f"training ends (epochs: {recipe.epochs}) with all layers frozen; use more epochs or min_steps"
            yield Problem(("recipes", name, "unfreeze_epochs"), recipe.unfreeze_epochs, message)


def _in_intermediates(settings: Settings) -> Iterator[Problem]:
    for name, entry in settings.intermediates.items():
        key: Key = ("intermediates", name)
        yield from unknown((*key, "task"), entry.task, settings.tasks, "task")
        yield from unknown((*key, "recipe"), entry.recipe, settings.recipes, "recipe")
        if entry.recipe in settings.recipes and settings.recipes[entry.recipe].method != "finetune":
            yield Problem((*key, "recipe"), entry.recipe, "an intermediate task needs a recipe with method finetune")


# --- choosing hyper-parameters -----------------------------------------------------------------------------


def _in_search(settings: Settings) -> Iterator[Problem]:
    """Searches that cannot be done, or that would not be fair."""
    for name, recipe in settings.recipes.items():
        in_grid = list(_in_grid(name, recipe))
        yield from in_grid or _in_candidates(settings, name, recipe)
    searching = {name: recipe for name, recipe in settings.recipes.items() if recipe.search}
    for name, entry in settings.intermediates.items():
        if entry.recipe in searching:
            message = "searches, which only target tasks do; name a recipe without search"
            yield Problem(("intermediates", name, "recipe"), entry.recipe, message)
    for position, diagnostic in enumerate(settings.diagnostics):
        for index, name in enumerate(diagnostic.recipes):
            if name in searching:
                message = "searches, which only experiments do; name a recipe without search"
                yield Problem(("diagnostics", position, "recipes", index), name, message)
    for position, experiment in enumerate(settings.experiments):
        yield from _in_searching_experiment(("experiments", position), experiment, searching)


def _in_grid(name: str, recipe: Recipe) -> Iterator[Problem]:
    """Keys, values and numbers of one search."""
    for setting, values in recipe.search.items():
        key: Key = ("recipes", name, "search", setting)
        if setting not in candidates.SEARCHABLE:
            message = one_of(setting, candidates.SEARCHABLE)
            if setting in Recipe.model_fields:
                message = f"this is compared, not chosen: give each value a recipe of its own; {message}"
            yield Problem(key, ENTRY, message)
            continue
        for index, value in enumerate(values):
            for problem in invalid_recipe(name, {**recipe.model_dump(), setting: value}):
                yield Problem((*key, index), value, problem.message)
            if value in values[:index]:
                yield Problem((*key, index), value, "this value is listed twice; list each once")
    key = ("recipes", name, "trials")
    if recipe.trials is not None and not recipe.search:
        yield Problem(key, recipe.trials, "there is nothing to try; add search, or leave it out")
    elif recipe.trials is not None and recipe.trials > (total := candidates.combinations(recipe)):
        yield Problem(key, recipe.trials, f"search has {total} combinations; use at most {total}, or leave it out")


def _in_candidates(settings: Settings, name: str, recipe: Recipe) -> Iterator[Problem]:
    """What is wrong with combinations of values, as if each were a recipe of this name."""
    reported: set[tuple[Key, str]] = set()
    for candidate in candidates.tried(recipe):
        alone = settings.model_copy(update={"recipes": {name: candidates.candidate_of(recipe, candidate)}})
        problems = list(_in_recipes(alone))
        for position, experiment in enumerate(settings.experiments):
            problems += _in_experiment(alone, ("experiments", position), experiment)
        for problem in problems:
            if problem.key[:2] == ("recipes", name) and (problem.key, problem.message) not in reported:
                reported.add((problem.key, problem.message))
                values = candidates.values_of(recipe, candidate)
                given = ", ".join(f"{key} {shown(value)}" for key, value in values.items())
                yield Problem(("recipes", name, "search"), recipe.search, f"with {given}: {problem}")


def _in_searching_experiment(key: Key, experiment: Experiment, searching: Mapping[str, Recipe]) -> Iterator[Problem]:
    """Unequal budgets, seeds that would choose and be judged, and surgeries."""
    listed = [(index, name) for index, name in enumerate(experiment.recipes) if name in searching]
    budgets = {name: candidates.budget(searching[name]) for _, name in listed}
    for index, name in listed[1:]:
        (_, first) = listed[0]
        if budgets[name] != budgets[first]:
            message = (
                f"its search takes {budgets[name]} trainings and that of {first} {budgets[first]}; recipes that are "
                "compared get the same budget: change search, trials or search_seeds"
            )
            yield Problem((*key, "recipes", index), name, message)
    for _, name in listed:
        seeds = searching[name].search_seeds
        if shared := sorted(set(seeds) & set(experiment.seeds)):
            message = (
                f"{shared[0]} is also a seed of an experiment with {name}; take others, so that no run is chosen for "
                "its luck"
            )
            yield Problem(("recipes", name, "search_seeds"), seeds, message)
    tuned = [name for _, name in listed if searching[name].method == "finetune"]
    for index, surgery in enumerate(experiment.surgeries):
        if tuned and surgery != NONE:
            message = f"{tuned[0]} searches, which does not go with a surgery; list a recipe without search"
            yield Problem((*key, "surgeries", index), surgery, message)


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
            yield from unknown((*key, group, index), name, allowed, what)


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
    yield from in_heads(settings, key, experiment)
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
