"""Hyper-parameters are chosen on validation, with trials that are runs like any other."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from transfer_atlas import candidates, plan
from transfer_atlas.identity import digest_of
from transfer_atlas.plan import Bundle, Cell, Decontaminated, Run, Sources
from transfer_atlas.settings import Recipe, Settings
from transfer_atlas.training.cell import Job, one_by_one, run_all
from transfer_atlas.training.checkpoint import Keeper
from transfer_atlas.training.head_training import HeadRun, stacks, train_heads
from transfer_atlas.training.outcome import Trained
from transfer_atlas.training.results import write_table
from transfer_atlas.training.search import Searched, search_and_run, write_trials
from transfer_atlas.training.selection import choose, validation_score
from transfer_atlas.training.store import Store

HEAD = {"method": "extract", "learning_rate": 0.01, "epochs": 2, "batch_size": 5}
GRID: dict[str, list[Any]] = {"learning_rate": [0.001, 0.03, 0.1], "epochs": [1, 2]}
SETTINGS: dict[str, Any] = {
    "artifacts": {"files": {"source": "path", "path": "files"}},
    "models": {"tiny": {"artifact": "files", "layers": 3}},
    "tasks": {"toy": {"type": "sequence_classification", "files": {"train": "train.csv"}, "max_length": 16}},
    "recipes": {
        "searched": {**HEAD, "search": GRID, "search_seeds": [101, 102]},
        "wide": {**HEAD, "head": "scalar_mix_mlp", "hidden": 8, "search": {"learning_rate": [0.001, 0.03]}},
        "plain": HEAD,
    },
    "experiments": [{"models": ["tiny"], "tasks": ["toy"], "recipes": ["searched"]}],
}
SOURCES = Sources(lambda name: f"artifact {name}", lambda name: f"data {name}", lambda name: Decontaminated(None, 100))
Runs = Sequence[tuple[Cell, Run]]


def recipe_with(**changes: Any) -> Recipe:
    return Recipe.model_validate({**HEAD, **changes})


def settings_with(name: str = "searched", **changes: Any) -> Settings:
    """The settings with one recipe changed."""
    recipes = {**SETTINGS["recipes"], name: {**SETTINGS["recipes"][name], **changes}}
    return Settings.model_validate({**SETTINGS, "recipes": recipes})


def cell_of(recipe: str, *seeds: int, size: Any = "all") -> Cell:
    return Cell("tiny", "none", "toy", recipe, "none", size, tuple(Run(None, seed) for seed in seeds))


SEARCHED = cell_of("searched", 1, 2)


# --- candidates --------------------------------------------------------------------------------------------


def test_the_grid_is_every_combination() -> None:
    recipe = recipe_with(search=GRID)
    tried = candidates.tried(recipe)
    assert tried == [0, 1, 2, 3, 4, 5]
    assert [tuple(candidates.values_of(recipe, number).items()) for number in tried] == [
        (("epochs", epochs), ("learning_rate", rate)) for epochs in (1, 2) for rate in (0.001, 0.03, 0.1)
    ]


def test_a_candidate_is_the_recipe_with_its_values() -> None:
    recipe = recipe_with(search=GRID, trials=2, search_seeds=[7], label="tuned", head_dropout=0.3)
    expected = recipe_with(learning_rate=0.1, epochs=2, label="tuned", head_dropout=0.3)
    assert candidates.candidate_of(recipe, 5) == expected


def test_trials_are_drawn_once_and_for_all() -> None:
    """Other numbers would silently choose other candidates in a study that is run again."""
    recipe = recipe_with(search={"epochs": list(range(1, 31)), "head_dropout": [0.0, 0.1, 0.2]})
    drawn = [candidates.tried(recipe.model_copy(update={"trials": trials})) for trials in range(1, 91)]
    assert drawn[5] == [17, 18, 43, 57, 69, 87]
    for fewer, more in pairwise(drawn):
        assert set(fewer) < set(more)
    assert drawn[-1] == list(range(90))


def test_the_draw_depends_on_the_grid_alone() -> None:
    grid = {"epochs": list(range(1, 31)), "head_dropout": [0.0, 0.1, 0.2]}
    recipe = recipe_with(search=grid, trials=6)
    other = recipe_with(search=dict(reversed(grid.items())), trials=6, learning_rate=0.5, search_seeds=[9], label="x")
    assert candidates.tried(other) == candidates.tried(recipe)
    wider = recipe_with(search={**grid, "head_dropout": [0.0, 0.1, 0.3]}, trials=6)
    assert candidates.tried(wider) != candidates.tried(recipe)


def test_a_huge_grid_is_not_written_out() -> None:
    grid = {key: [n / 1000 for n in range(1, 900)] for key in ("learning_rate", "head_dropout", "weight_decay")}
    assert len(candidates.tried(recipe_with(search=grid, trials=20))) == 20


def test_budget() -> None:
    assert candidates.budget(recipe_with(search=GRID, search_seeds=[7, 8])) == 12
    assert candidates.budget(recipe_with(search=GRID, trials=4)) == 4
    assert candidates.budget(recipe_with()) == 0


# --- the choice --------------------------------------------------------------------------------------------


def test_the_best_mean_is_chosen() -> None:
    assert choose({0: [0.9, 0.1], 1: [0.6, 0.6], 2: [0.5, 0.5]}) == 1


def test_of_equal_candidates_the_first_is_chosen() -> None:
    assert choose({3: [0.5], 4: [0.7], 5: [0.7]}) == 4
    assert choose({0: [0.1, 0.2, 0.3], 1: [0.3, 0.2, 0.1]}) == 0


def test_a_candidate_with_a_diverged_training_is_the_worst() -> None:
    assert choose({0: [None, 0.9], 1: [-0.2, -0.4]}) == 1
    assert choose({0: [None], 1: [None]}) == 0


def test_a_choice_sees_validation_only() -> None:
    values = [{"split": "validation", "metric": "accuracy", "value": 0.5}]
    result = {"facts": {"diverged": False}, "values": values}
    assert validation_score(result, "accuracy") == 0.5
    values.append({"split": "test", "metric": "accuracy", "value": 0.9})
    assert validation_score(result, "accuracy") == 0.5
    assert validation_score({"facts": {"diverged": True}, "values": values}, "accuracy") is None


# --- the plan ----------------------------------------------------------------------------------------------


def digest(settings: Settings, cell: Cell, seed: int) -> str:
    return digest_of(plan.run_identity(settings, cell, Run(None, seed), SOURCES))


def test_a_trial_is_the_run_of_a_plain_recipe() -> None:
    settings = settings_with()
    for trial in plan.trials_of(settings, SEARCHED):
        assert trial.candidate is not None
        values = candidates.values_of(settings.recipes["searched"], trial.candidate)
        alike = settings_with("plain", **values)
        assert digest(settings, trial, 101) == digest(alike, cell_of("plain"), 101)


def test_how_a_recipe_was_chosen_is_not_in_its_runs() -> None:
    chosen = replace(SEARCHED, candidate=0)
    for changes in ({"trials": 2}, {"search_seeds": [5]}, {"search": {**GRID, "epochs": [1, 2, 4]}}):
        assert digest(settings_with(**changes), chosen, 1) == digest(settings_with(), chosen, 1)


@pytest.mark.parametrize(
    "changes", [{"trials": 2}, {"search_seeds": [5]}, {"search": {**GRID, "epochs": [1, 2, 4]}}, {"search": {}}]
)
def test_a_changed_search_makes_the_table_anew(changes: dict[str, Any]) -> None:
    assert plan.cell_settings(settings_with(**changes), SEARCHED) != plan.cell_settings(settings_with(), SEARCHED)


def test_another_metric_chooses_anew() -> None:
    other = Settings.model_validate({**SETTINGS, "tasks": {"toy": {**SETTINGS["tasks"]["toy"], "metric": "macro_f1"}}})
    plain = cell_of("plain", 1)
    assert plan.cell_settings(other, SEARCHED) != plan.cell_settings(settings_with(), SEARCHED)
    assert plan.cell_settings(other, plain) == plan.cell_settings(settings_with(), plain)


def test_trials_after_an_intermediate_task_have_trainings_of_their_own() -> None:
    before = {"task": "toy", "recipe": "tune", "size": 5}
    recipes = {**SETTINGS["recipes"], "tune": {"method": "finetune", "learning_rate": 0.1}}
    settings = Settings.model_validate({**SETTINGS, "recipes": recipes, "intermediates": {"other": before}})
    after = replace(SEARCHED, intermediate="other", runs=(Run(None, 1, 1), Run(None, 2, 2)))
    assert [state.seed for state in plan.states_of(settings, after)] == [1, 101, 102, 2]
    assert [state.seed for state in plan.states_of(settings, replace(after, candidate=3))] == [1, 2]


def test_every_trial_belongs_to_the_job_of_its_cell() -> None:
    settings = settings_with(method="finetune")
    trials = plan.trials_of(settings, SEARCHED)
    assert {plan.bundle_name(settings, trial) for trial in trials} == {SEARCHED.name}
    assert len({trial.name for trial in trials} - {SEARCHED.name}) == 6
    assert plan.trials_of(settings, trials[0]) == []


# --- trainings ---------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Leaves the signals as they were."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR1)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


class Heads:
    """Trains the heads of a job on random representations, and remembers what it trained."""

    def __init__(self, data: Any):
        self.data = data
        self.trained: list[tuple[str, int]] = []

    def head(self, settings: Settings, cell: Cell, run: Run) -> HeadRun:
        return HeadRun(self.data, plan.recipe_of(settings, cell), cell.size, run.seed)

    def run(
        self, job: Job, *, together: bool = True, then: Callable = lambda runs, keeper, trained: trained
    ) -> Searched:
        """`then` may change what a training gave."""

        def train(runs: Runs, keeper: Keeper) -> list[Trained]:
            self.trained += [(cell.name.split("/")[3], run.seed) for cell, run in runs]
            return then(runs, keeper, train_heads([self.head(job.settings, *run) for run in runs], keeper))

        def alike(runs: Runs) -> list[list[int]]:
            return stacks([self.head(job.settings, *run) for run in runs])

        return search_and_run(job, train, alike if together else one_by_one)


@pytest.fixture
def heads(feature_data: Callable) -> Heads:
    return Heads(feature_data(n_train=20))


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Job:
    """Two cells that search and one that does not."""
    monkeypatch.chdir(tmp_path)
    cells = (SEARCHED, cell_of("wide", 1, 2, size=12), cell_of("plain", 1))
    return Job(settings_with(), Bundle("tiny/none/toy/extract.mean", cells), SOURCES, Store(tmp_path / "store"))


def elsewhere(job: Job, name: str = "other") -> Job:
    """The job with a store of its own."""
    return replace(job, store=Store(job.store.root.parent / name))


def written(job: Job, done: Searched) -> dict[str, bytes]:
    """The tables of a job, but for what is measured."""
    write_trials(job.settings, job.bundle, done.trials)
    write_table(job.settings, job.bundle, done.results, job.store)
    name = job.bundle.name
    runs = pq.read_table(plan.table_file(name)).drop_columns(["seconds", "peak_memory_mb"])
    files = {file: file(name).read_bytes() for file in (plan.search_file, plan.predictions_file)}
    return {"runs": str(runs.to_pydict()).encode(), **{file.__name__: content for file, content in files.items()}}


def test_runs_are_trained_with_what_was_chosen(job: Job, heads: Heads) -> None:
    done = heads.run(job)
    judged: dict[int, list[float]] = {}
    for trial in done.trials:
        if trial.cell.recipe == "searched":
            judged.setdefault(trial.cell.candidate, []).append(trial.score)
    best = max(judged, key=lambda candidate: np.mean(judged[candidate]))
    assert {trial.cell.candidate for trial in done.trials if trial.chosen and trial.cell.recipe == "searched"} == {best}
    assert len({tuple(scores) for scores in judged.values()}) > 1, "all candidates scored alike: nothing was chosen"

    values = candidates.values_of(job.settings.recipes["searched"], best)
    plain = replace(
        elsewhere(job), settings=settings_with("plain", **values), bundle=Bundle("b", (cell_of("plain", 1, 2),))
    )
    alone = run_all(plain, lambda runs, keeper: train_heads([heads.head(plain.settings, *run) for run in runs], keeper))
    assert [result["digest"] for result in done.results[:2]] == [result["digest"] for result in alone]
    assert [result["files"] for result in done.results[:2]] == [result["files"] for result in alone]


def test_trials_of_all_cells_come_first(job: Job, heads: Heads, capsys: pytest.CaptureFixture[str]) -> None:
    done = heads.run(job)
    trials, runs = heads.trained[:14], heads.trained[14:]
    assert {seed for _, seed in trials} == {101, 102, 1001}
    assert {seed for _, seed in runs} == {1, 2}
    assert sorted(name.split("~")[0] for name, _ in runs) == ["plain", "searched", "searched", "wide", "wide"]
    assert [result["identity"]["settings"]["seed"] for result in done.results] == [1, 2, 1, 2, 1]
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in lines if " steps in " in line] == [f"run {k}/19" for k in range(1, 20)]
    assert sum("candidates" in line for line in lines) == 2


def test_the_same_tables_whatever_is_trained_together_and_again(job: Job, heads: Heads) -> None:
    first = written(job, heads.run(job))
    heads.trained.clear()
    assert written(job, heads.run(job)) == first
    assert heads.trained == []
    other = elsewhere(job)
    assert written(other, heads.run(other, together=False)) == first


def test_the_table_of_trials(job: Job, heads: Heads) -> None:
    done = heads.run(job)
    write_trials(job.settings, job.bundle, done.trials)
    table = pq.read_table(plan.search_file(job.bundle.name)).to_pandas()
    searched = table[table["recipe"] == "searched"]
    assert list(searched["seed"]) == [101, 102] * 6
    assert list(searched["candidate"]) == [number for number in range(6) for _ in range(2)]
    assert json.loads(searched["settings"].iloc[-1]) == {"epochs": 2, "learning_rate": 0.1}
    assert set(table["metric"]) == {"accuracy"}
    assert list(table.groupby("recipe")["chosen"].sum()) == [2, 1]
    for row in table.itertuples():
        result = job.store.finished(row.run)
        assert result is not None
        assert row.value == validation_score(result, "accuracy")


def test_the_table_is_there_without_a_search(job: Job) -> None:
    write_trials(job.settings, job.bundle, [])
    table = pq.read_table(plan.search_file(job.bundle.name))
    assert table.num_rows == 0
    assert {"candidate", "value", "chosen"} <= set(table.column_names)


def test_a_wider_search_trains_only_what_is_new(job: Job, heads: Heads) -> None:
    heads.run(job)
    heads.trained.clear()
    wider = settings_with(search={**GRID, "epochs": [1, 2, 4]}, search_seeds=[101, 102, 103])
    done = heads.run(replace(job, settings=wider))
    trained = {(name, seed) for name, seed in heads.trained if seed > 100}
    new = {(f"searched~{number}", seed) for number in range(6, 9) for seed in (101, 102)}
    assert trained == new | {(f"searched~{number}", 103) for number in range(9)}
    assert len([trial for trial in done.trials if trial.cell.recipe == "searched"]) == 27


def test_a_changed_choice_trains_the_runs_anew(job: Job, heads: Heads) -> None:
    first = heads.run(job)
    (chosen,) = {trial.cell.candidate for trial in first.trials if trial.chosen and trial.cell.recipe == "searched"}
    kept = candidates.values_of(job.settings.recipes["searched"], chosen)
    left = {key: [value for value in values if value != kept[key]] for key, values in GRID.items()}
    heads.trained.clear()
    again = heads.run(replace(job, settings=settings_with(search=left)))
    assert [seed for name, seed in heads.trained if name.startswith("searched")] == [1, 2]
    assert again.results[0]["digest"] != first.results[0]["digest"]
    assert again.results[2:] == first.results[2:]


def test_a_diverged_trial_is_not_chosen(job: Job, heads: Heads) -> None:
    (best,) = {
        trial.cell.candidate for trial in heads.run(job).trials if trial.chosen and trial.cell.recipe == "searched"
    }

    def diverging(runs: Runs, keeper: Keeper, trained: list[Trained]) -> list[Trained]:
        """The best candidate's second trial gives what a training gives whose weights are no numbers any more."""

        def one(cell: Cell, run: Run, found: Trained) -> Trained:
            if (cell.recipe, cell.candidate, run.seed) != ("searched", best, 102):
                return found
            splits = {
                name: replace(part, outputs=np.full_like(part.outputs, np.nan)) for name, part in found.splits.items()
            }
            return replace(found, splits=splits)

        return [one(*run, found) for run, found in zip(runs, trained, strict=True)]

    other = elsewhere(job)
    done = heads.run(other, then=diverging)
    scores = {trial.score for trial in done.trials if (trial.cell.recipe, trial.cell.candidate) == ("searched", best)}
    assert None in scores
    assert best not in {
        trial.cell.candidate for trial in done.trials if trial.chosen and trial.cell.recipe == "searched"
    }
    write_trials(other.settings, other.bundle, done.trials)
    assert pq.read_table(plan.search_file(other.bundle.name))["value"].null_count == 1


def test_a_search_that_is_killed_goes_on(job: Job, heads: Heads) -> None:
    """Killed in its fifth trial, behind a checkpoint: four are taken from the store, the fifth goes on."""
    whole = written(elsewhere(job), heads.run(elsewhere(job), together=False))
    heads.trained.clear()
    starts: list[int] = []

    class Killed(Exception):
        pass

    def watched(kill: bool) -> Callable[[Runs, Keeper], list[Trained]]:
        def train(runs: Runs, keeper: Keeper) -> list[Trained]:
            heads.trained += [(cell.name.split("/")[3], run.seed) for cell, run in runs]
            keeper.every = 0.0
            start, step = keeper.start, keeper.step

            def remembered(total: int) -> Any:
                snapshot = start(total)
                starts.append(0 if snapshot is None else snapshot.step)
                return snapshot

            def killing(number: int, *rest: Any) -> None:
                step(number, *rest)
                if kill and len(heads.trained) == 5 and number == 2:
                    raise Killed

            keeper.start, keeper.step = remembered, killing  # type: ignore[method-assign]
            return train_heads([heads.head(job.settings, *run) for run in runs], keeper)

        return train

    with pytest.raises(Killed):
        search_and_run(job, watched(kill=True))
    assert len(heads.trained) == 5
    again = search_and_run(job, watched(kill=False))
    assert starts[5] == 2
    assert heads.trained[4] == heads.trained[5]
    assert len(heads.trained) == 5 + 15
    assert written(job, again) == whole


def test_fine_tuning_is_searched_too(job: Job, task_data: Callable, tune: Callable, recipe: Callable) -> None:
    search = {"dropout": [0.0, 0.3], "weight_decay": [0, 0.5]}
    values = recipe(epochs=1, drop=0.1, search=search, search_seeds=[101], trials=3).model_dump(mode="json")
    settings = settings_with(**values)
    data, trained = task_data(), []

    def train(runs: Runs, keeper: Keeper) -> list[Trained]:
        ((cell, run),) = runs
        trained.append((cell.candidate, run.seed))
        return [tune(data, plan.recipe_of(settings, cell), seed=run.seed, observer=keeper, keep_weights=False)]

    tuned = replace(job, settings=settings, bundle=Bundle(SEARCHED.name, (SEARCHED,)))
    done = search_and_run(tuned, train)
    tried = candidates.tried(settings.recipes["searched"])
    (chosen,) = {trial.cell.candidate for trial in done.trials if trial.chosen}
    assert trained == [*((number, 101) for number in tried), (chosen, 1), (chosen, 2)]
    expected = tune(data, candidates.candidate_of(settings.recipes["searched"], chosen), seed=2)
    outputs = pq.read_table(job.store.folder(done.results[1]["digest"]) / "predictions.parquet").to_pandas()
    assert np.array_equal(outputs.loc[outputs["split"] == "test", "output_0"], expected.splits["test"].outputs[:, 0])
