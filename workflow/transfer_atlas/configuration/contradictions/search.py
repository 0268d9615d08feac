"""Searches of hyper-parameters that cannot be done, or that would not be fair."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from transfer_atlas import candidates
from transfer_atlas.configuration.contradictions.experiments import in_experiment
from transfer_atlas.configuration.contradictions.recipes import in_recipes
from transfer_atlas.configuration.files import Key
from transfer_atlas.configuration.validation import invalid_recipe
from transfer_atlas.configuration.wording import ENTRY, Problem, one_of, shown
from transfer_atlas.plan import NONE
from transfer_atlas.settings import Experiment, Recipe, Settings


def in_search(settings: Settings) -> Iterator[Problem]:
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
        problems = list(in_recipes(alone))
        for position, experiment in enumerate(settings.experiments):
            problems += in_experiment(alone, ("experiments", position), experiment)
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
