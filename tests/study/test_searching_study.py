"""A study whose hyper-parameters are chosen: trials are counted, waited for and kept like other runs."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import replace
from typing import Any

import pytest

from transfer_atlas import estimate, plan, status, store_commands, study
from transfer_atlas.estimate import Speed
from transfer_atlas.plan import Cell, Run
from transfer_atlas.settings import Settings

TUNED = "tiny/none/sentiment/tuned/none/n16"
HEADS = "tiny/none/sentiment/probed/none/n16"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Four candidates of fine-tuning and of extraction, with one trial each, for one cell of two seeds each."""
    config = settings.model_dump(mode="json")
    grid = {"learning_rate": [0.1, 0.2], "epochs": [1, 10]}
    for name, method in {"tuned": "finetune", "probed": "extract"}.items():
        config["recipes"][name] = {"method": method, "learning_rate": 0.1, "search": grid, "search_seeds": [9]}
    entry = {"models": ["tiny"], "tasks": ["sentiment"], "recipes": ["tuned", "probed"], "sizes": [16], "seeds": 2}
    return Settings.model_validate({**config, "experiments": [entry]})


@pytest.fixture
def searching(results: Any) -> Any:
    """The results folder with everything but training done."""
    results.prepare_everything()
    return results


def finish_trials(results: Any, name: str = TUNED, **scores: float) -> list[str]:
    """All trials of a cell are done; keywords are scores by candidate. Their digests."""
    trials = plan.trials_of(results.settings, results.cell(name))
    return [results.finish(trial, Run(None, 9), score=scores.get(f"c{trial.candidate}", 0.5)) for trial in trials]


def done(results: Any) -> study.Done:
    return study.Done(results.settings, plan.expand(results.settings))


def test_trials_are_missing_at_first(searching: Any) -> None:
    found = done(searching)
    assert found.runs == len(found.waiting) == 2 * (4 + 2)
    assert [run.seed for cell, run in found.waiting if cell.recipe == "tuned"] == [9, 9, 9, 9, 1, 2]


def test_runs_are_known_when_all_trials_are_done(searching: Any) -> None:
    *_, last = plan.trials_of(searching.settings, searching.cell(TUNED))
    digests = finish_trials(searching, c2=0.9)
    searching.store.remove(digests[-1])
    assert (searching.cell(TUNED), Run(None, 1)) in done(searching).waiting

    searching.finish(last, Run(None, 9), score=0.1)
    chosen = replace(searching.cell(TUNED), candidate=2)
    assert [(chosen, Run(None, 1)), (chosen, Run(None, 2))] == done(searching).waiting[-2:]

    digest = searching.finish(chosen, Run(None, 1))
    found = done(searching)
    assert digest in found.digests
    assert len(found.finished) == 5
    assert found.runs == 12


def test_runs_of_another_choice_are_not_done(searching: Any) -> None:
    finish_trials(searching, c2=0.9)
    digest = searching.finish(replace(searching.cell(TUNED), candidate=1), Run(None, 1))
    assert digest not in done(searching).digests
    assert status.orphans(searching.settings)[-1] == str(searching.store.folder(digest))


def test_status_counts_trials_with_their_cell(searching: Any) -> None:
    finish_trials(searching, c2=0.9)
    lines = status.describe(searching.settings, cores=1)
    assert lines[0] == "Study small: 4 runs in 2 cells after 8 trials, 12 different ones"
    assert lines[1] == "done     4 runs, 0 of 2 tables"
    assert f"            2  {TUNED}" in lines
    assert f"            6  {HEADS}" in lines


def test_the_words_before_the_first_job_count_trials(searching: Any) -> None:
    told = study.describe_plan(searching.settings, plan.expand(searching.settings), cores=1)
    assert told.startswith("Study small: 4 runs in 2 cells after 8 trials; 12 to train, 0 in the store\n")


def test_trials_are_in_the_estimate_with_their_own_epochs(searching: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings, speed = searching.settings, Speed(1e6, True)
    waiting = [(cell, run) for cell, run in done(searching).waiting if cell.recipe == "tuned"]

    def seconds(cell: Cell) -> float:
        return estimate.run_seconds(settings, cell, speed)

    trials = plan.trials_of(settings, searching.cell(TUNED))
    assert seconds(trials[0]) < seconds(trials[-1])
    runs = sum(map(seconds, trials)) + 2 * seconds(searching.cell(TUNED))
    found = estimate.wall_seconds(settings, waiting, speed, 1)
    assert found == pytest.approx(runs + estimate.JOB_START_SECONDS)  # they are one job
    monkeypatch.setattr(estimate, "DEFAULT_FLOPS_PER_SECOND", 1e6)
    assert estimate.priority(settings, searching.cell(TUNED)) == round((4 + 2) * seconds(searching.cell(TUNED)))


def test_files_of_a_search_are_no_orphans(searching: Any) -> None:
    file = plan.search_file(TUNED)
    file.parent.mkdir(parents=True)
    file.touch()
    finish_trials(searching)
    assert status.orphans(searching.settings) == ["0 cell files and 0 stored runs that the settings do not ask for"]


def test_unused_runs_are_cleared_but_no_trials(searching: Any, capsys: pytest.CaptureFixture[str]) -> None:
    kept = finish_trials(searching, c2=0.9)
    kept.append(searching.finish(replace(searching.cell(TUNED), candidate=2), Run(None, 1)))
    searching.finish(replace(searching.cell(TUNED), candidate=1), Run(None, 1))
    usual = {"task": None, "model": None, "unused": True, "sample": 0, "seed": 0, "yes": True}
    store_commands.run(searching.settings, Namespace(action="clear", **usual))
    assert capsys.readouterr().out == "1 runs removed\n"
    assert searching.store.digests() == sorted(kept)
