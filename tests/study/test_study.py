"""What the Snakefile and the commands ask about a study as a whole."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from transfer_atlas import atomic, plan, study
from transfer_atlas.configuration import problems
from transfer_atlas.errors import UserError
from transfer_atlas.identity import digest_of
from transfer_atlas.plan import Run
from transfer_atlas.settings import Settings, Task

PLAIN = "tiny/none/sentiment/finetune/none/n16"
ABLATED = "tiny/none/sentiment/finetune/reset_top/n16"
TASK = {"type": "sequence_classification"}


def changed(settings: Settings, over: dict[str, Any]) -> Settings:
    """The settings with some of them changed."""
    return Settings.model_validate(problems.merge(settings.model_dump(mode="json"), over))


# --- what is done ------------------------------------------------------------------------------------------


def test_nothing_is_done_at_first(results: Any) -> None:
    done = study.Done(results.settings, plan.expand(results.settings))
    assert done.finished == []
    assert done.runs == len(list(plan.all_runs(results.settings, plan.expand(results.settings))))


def test_runs_in_the_store_are_done(results: Any) -> None:
    results.prepare_everything()
    selected = plan.expand(results.settings)
    cell = results.cell(PLAIN)
    digest = results.finish(cell, Run(None, 1))

    done = study.Done(results.settings, selected)

    assert [(found.name, result["digest"]) for found, result in done.finished] == [(PLAIN, digest)]
    assert (cell, Run(None, 1)) not in done.waiting
    assert (cell, Run(None, 2)) in done.waiting


def test_a_run_that_two_cells_share_counts_once(results: Any) -> None:
    """Keeping all layers is the plain run."""
    results.prepare_everything()
    selected = plan.expand(results.settings)
    before = study.Done(results.settings, selected).runs
    results.finish(results.cell(PLAIN), Run(None, 1))

    done = study.Done(results.settings, selected)

    assert len(done.finished) == 1
    assert done.runs == before
    assert (results.cell(ABLATED), Run(2, 1)) not in done.waiting


def test_a_run_of_other_settings_is_not_done(results: Any) -> None:
    results.prepare_everything()
    results.finish(results.cell(PLAIN), Run(None, 1))
    other = changed(results.settings, {"recipes": {"finetune": {"epochs": 9}}})
    assert study.Done(other, plan.expand(other)).finished == []


def test_a_damaged_result_is_not_done(results: Any) -> None:
    results.prepare_everything()
    digest = results.finish(results.cell(PLAIN), Run(None, 1))
    (results.store.folder(digest) / "result.json").write_text("{", encoding="utf-8")
    assert study.Done(results.settings, plan.expand(results.settings)).finished == []


# --- words -------------------------------------------------------------------------------------------------


def test_the_plan_is_described_before_anything_is_there(results: Any) -> None:
    selected = plan.expand(results.settings)
    text = study.describe_plan(results.settings, selected, cores=2)
    assert text.startswith(f"Study small: {selected.runs} runs in {len(selected.cells)} cells; ")
    assert " to train, 0 in the store\n" in text
    assert "on 2 cores, a first guess" in text


def test_the_plan_is_described_from_finished_runs(results: Any) -> None:
    results.prepare_everything()
    results.finish(results.cell(PLAIN), Run(None, 1))
    text = study.describe_plan(results.settings, plan.expand(results.settings), cores=None)
    assert ", 1 in the store\n" in text
    assert "on 1 cores, at the speed of finished runs" in text


def test_a_finished_study_has_nothing_left_to_train(results: Any) -> None:
    results.prepare_everything()
    selected = plan.expand(results.settings)
    for cell, run in plan.all_runs(results.settings, selected):
        results.finish(cell, run)
    assert "\nTraining: nothing left to train\n" in study.describe_plan(results.settings, selected, cores=1)


def test_results_are_described_with_their_findings(results: Any) -> None:
    assert "wins" not in study.describe_results()
    atomic.write_text(plan.RESULTS / "tables" / "findings.txt", "Fine-tuning wins.\n")
    assert study.describe_results().endswith("\nFine-tuning wins.")


# --- checks before the first job ---------------------------------------------------------------------------


def test_sizes_of_tasks_that_are_not_prepared_are_not_known(results: Any) -> None:
    study.check_sizes(results.settings, plan.expand(results.settings))


def test_possible_sizes(results: Any) -> None:
    for task in results.settings.tasks:
        results.prepare(task, train=100)
    study.check_sizes(results.settings, plan.expand(results.settings))


def test_impossible_size(results: Any) -> None:
    results.prepare("sentiment", train=15)
    with pytest.raises(UserError) as caught:
        study.check_sizes(results.settings, plan.expand(results.settings))
    message = str(caught.value)
    assert "\n" not in message
    assert "size of 16 for sentiment is impossible: it has 15 training rows" in message


# --- settings file -----------------------------------------------------------------------------------------


def test_settings_come_back(results: Any) -> None:
    study.write_settings(results.settings)
    assert study.read_settings() == results.settings


def test_no_settings(results: Any) -> None:
    with pytest.raises(UserError, match=r"^results/settings\.json not found; run snakemake here first$"):
        study.read_settings()


# --- files and labels --------------------------------------------------------------------------------------


def test_own_files(results: Any) -> None:
    for name in ("folder/a/1.txt", "folder/b/2.txt", "more.csv", "test.csv"):
        atomic.write_text(Path(name), "x")
    task = Task.model_validate({**TASK, "files": {"train": ["folder", "more.csv"], "test": "test.csv"}})
    assert study.own_files(task) == ["folder/a/1.txt", "folder/b/2.txt", "more.csv", "test.csv"]


def test_files_that_are_missing_are_asked_for(results: Any) -> None:
    task = Task.model_validate({**TASK, "files": {"train": "missing.csv"}})
    assert study.own_files(task) == ["missing.csv"]


def test_compared_tasks_are_targets_and_intermediate_tasks_in_use(settings: Settings) -> None:
    assert study.compared_tasks(settings, plan.expand(settings)) == ["sentiment", "similarity", "topics"]
    only = settings.model_dump(mode="json")["experiments"][1:]
    other = changed(settings, {"experiments": only})
    assert study.compared_tasks(other, plan.expand(other)) == ["sentiment"]


def test_analysis_depends_on_the_declared_runs_and_on_what_is_shown(settings: Settings) -> None:
    kept = study.analysis_settings(settings, plan.expand(settings))
    for over in [
        {"tasks": {"sentiment": {"metric": "matthews"}}},
        {"tasks": {"sentiment": {"label": "Sentiment"}}},
        {"tasks": {"sentiment": {"paper_name": "SST-2"}}},
        {"models": {"tiny": {"paper_name": "BERT-base"}}},
        {"recipes": {"extract": {"head": "scalar_mix_linear"}}},
        {"experiments": settings.model_dump(mode="json")["experiments"][:1]},
    ]:
        other = changed(settings, over)
        assert study.analysis_settings(other, plan.expand(other)) != kept
    same = changed(settings, {"execution": {"progress_seconds": 9.0}, "recipes": {"extract": {"epochs": 9}}})
    assert study.analysis_settings(same, plan.expand(same)) == kept


def test_analysis_depends_on_the_order_of_entries(settings: Settings) -> None:
    """Of several recipes or models that play the same part the first in the configuration speaks."""
    turned = settings.model_copy(update={"recipes": dict(reversed(settings.recipes.items()))})
    kept, other = (digest_of(study.analysis_settings(one, plan.expand(one))) for one in (settings, turned))
    assert kept != other


def test_analysis_depends_on_the_published_numbers(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    selected = plan.expand(settings)
    kept = study.analysis_settings(settings, selected)
    assert "peters2019.csv" in kept["published"]
    (tmp_path / "peters2019.csv").write_text("table,model\n")
    monkeypatch.setattr(study, "_PUBLISHED", tmp_path)
    assert study.analysis_settings(settings, selected) != kept


def test_every_table_and_figure_has_its_place_in_the_report() -> None:
    captions = Path(__file__).parents[2] / "workflow" / "report"
    files = [plan.RESULTS / "tables" / name for name in study.TABLES]
    files += [plan.RESULTS / "figures" / f"{name}.svg" for name in study.FIGURES]
    for file in files:
        place = study.in_report(file)
        assert place["category"]
        assert (captions / Path(place["caption"]).name).is_file()


def test_python_of_rules_is_this_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/bin")
    study.put_interpreter_on_path()
    assert os.environ["PATH"].split(os.pathsep) == [str(Path(sys.executable).parent), "/usr/bin"]


def test_a_finding_is_laid_out_by_place() -> None:
    lines = study.laid_out(
        "Fine-tune or extract: A (50 examples): higher; B (50 examples): no clear difference."
    ).splitlines()
    assert lines == ["Fine-tune or extract", "  A (50 examples): higher", "  B (50 examples): no clear difference."]
    assert study.laid_out("No question here.") == "No question here."
    assert max(map(len, study.laid_out("Layers: " + "word " * 100).splitlines())) <= 110
