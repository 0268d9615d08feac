"""Scores before training, from representations that are computed once and trainings that are shared."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from little_study import LittleStudy

from transfer_atlas.probing.transferability.measures import OF_DOMAINS, OF_OUTPUTS, OF_STATES

TARGET = "results/transferability/tiny/reviews/sentiment.csv"
ENTRY = {"models": ["tiny"], "tasks": ["sentiment"], "intermediates": ["reviews"], "seeds": [1], "examples": 80}
SCORE = "score_transferability/tiny/reviews/sentiment"


def needed_by(seed: int) -> set[str]:
    """The jobs that only the scores of one intermediate training need."""
    return {f"train_intermediate/tiny/reviews/seed{seed}", f"extract_features/tiny/reviews.seed{seed}/sentiment/mean"}


@pytest.fixture(scope="module")
def scored(untouched: LittleStudy, tmp_path_factory: pytest.TempPathFactory) -> LittleStudy:
    """A study whose scores were asked for, and nothing else."""
    study = untouched.copied(tmp_path_factory.mktemp("scored") / "study")
    study.config["transferability"] = [ENTRY]
    study.configure()
    jobs = study.run_jobs(TARGET, cores=1)
    pretrained = {f"extract_features/tiny/pretrained/{task}/mean" for task in ("sentiment", "reviews")}
    assert {job for job in jobs if job.startswith(("train", "extract", "score"))} == pretrained | needed_by(1) | {SCORE}
    return study


def test_every_score_is_there(scored: LittleStudy) -> None:
    table = pd.read_csv(scored.folder / TARGET)
    before, after = table[table["seed"].isna()], table[table["seed"] == 1]
    assert before["measure"].tolist() == [*OF_STATES, *OF_DOMAINS]
    assert after["measure"].tolist() == [*OF_STATES, *OF_OUTPUTS]
    assert table["value"].notna().all() and set(table["examples"]) == {80}


def test_states_and_head_know_more_of_a_task_that_shares_words_and_classes(scored: LittleStudy) -> None:
    table = pd.read_csv(scored.folder / TARGET)
    found = table[table["seed"] == 1].set_index("measure")
    assert found.loc["log_me", "gain_of_score"] > 0
    # Of two equally frequent classes a head that knows nothing leaves log 2, 0.69.
    assert found.loc["nce", "value"] > -0.35


def test_only_what_an_edit_concerns_is_done_again(scored: LittleStudy, tmp_path: Path) -> None:
    study = scored.copied(tmp_path / "study")
    assert study.plan(TARGET) == set()
    study.config["transferability"] = [{**ENTRY, "examples": 60}]
    study.configure()
    assert study.plan(TARGET) == {SCORE}
    study.config["transferability"] = [{**ENTRY, "seeds": 2}]
    study.configure()
    assert study.plan(TARGET) == {SCORE} | needed_by(2)
