"""Words, spans and pairs, BERT and ELMo, from files to tables."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from little_study import ANALYSIS, LittleStudy
from word_study import GENRES, LONG_SENTENCES, LONG_WORDS, SIZES, WORDS_READ, make_word_study, names_in, words_in

# Cells and their seeds, and two trials: bert's names, parts of speech, arcs, sentiment and entailment, then elmo's.
RUNS = (4 + 2 + 2 + 4 + 6) + (2 + 1) + 2


@pytest.fixture(scope="module")
def finished(make_elmo: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> LittleStudy:
    """The study after an undisturbed run. Not to be changed: copy it."""
    study = make_word_study(tmp_path_factory.mktemp("words") / "study", make_elmo())
    study.run()
    return study


def values(study: LittleStudy, task: str, metric: str) -> pd.Series[float]:
    """Scores on test by recipe; of several seeds the mean."""
    rows = study.table("runs").query("model == 'bert' and split == 'test' and task == @task and metric == @metric")
    return rows.astype({"value": float}).groupby("recipe")["value"].mean()


def stats(study: LittleStudy, task: str) -> dict[str, Any]:
    """What `stats.json` says of a task."""
    found: dict[str, Any] = json.loads((study.results / "tasks" / task / "stats.json").read_text(encoding="utf-8"))
    return found


# --- what is in the tables ----------------------------------------------------------------------------------


def test_what_one_word_tells_is_learned_unless_it_is_cut_off(finished: LittleStudy) -> None:
    whole = words_in(finished.folder / "given" / "test.conll")
    cut = LONG_SENTENCES["test"] * (LONG_WORDS - WORDS_READ)
    accuracy = values(finished, "pos", "accuracy")
    assert (accuracy > 0.85).all()
    # What is cut off counts as wrong.
    assert (accuracy <= (whole - cut) / whole).all()
    assert (values(finished, "names", "span_f1") > 0.5).all()
    relations = stats(finished, "arcs")["label_counts"]["test"].values()
    assert (values(finished, "arcs", "accuracy") > max(relations) / sum(relations)).all()


def test_runs(finished: LittleStudy) -> None:
    runs = finished.table("runs")
    assert runs["run"].nunique() == RUNS - 2
    assert set(runs.query("task == 'names'")["metric"]) >= {"span_f1", "span_precision", "span_recall"}
    assert len(finished.table("search")) == 2
    # Every word is scored, those behind the limit too.
    scored = runs.query("task in ['names', 'pos'] and split == 'test'")["n_examples"]
    assert set(scored) == {str(words_in(finished.folder / "given" / "test.conll"))}
    assert not runs.query("recipe == 'tuned' and seed == '9'").size
    esim = runs.query("recipe in ['esim', 'esim_separate']").pivot_table(
        index=["seed", "split", "metric"], columns="recipe", values="value", aggfunc="first"
    )
    assert (esim["esim"] != esim["esim_separate"]).any()


def test_tables_of_the_paper(finished: LittleStudy) -> None:
    table = finished.table("peters2019")
    table = table[table["mean"] != ""]
    places = set(zip(table["model"], table["task"], table["arm"], strict=True))
    assert places >= {
        *(("bert", task, arm) for task in ("names", "sentiment", "entailment") for arm in ("extract", "finetune")),
        *(("elmo", "names", arm) for arm in ("extract", "finetune")),
        ("elmo", "entailment", "finetune"),
    }
    claims = finished.table("claims")
    assert set(claims["claim"]) == {
        f"{p}{k}" for p, most in (("P", 15), ("K", 15), ("M", 6)) for k in range(1, most + 1)
    }
    ours = claims.query("claim == 'P1' and models == 'bert'").set_index("part")
    assert set(ours.loc[["CoNLL-2003 NER", "SST-2"], "n"]) == {"2"}
    assert "not run" not in set(ours["verdict"])
    page = (finished.results / "tables" / "peters2019.md").read_text(encoding="utf-8")
    assert "names for CoNLL-2003 NER" in page


def test_diagnostics(finished: LittleStudy) -> None:
    table = finished.table("diagnostics")
    probed = table.query("measure == 'probe'")
    assert set(probed["state"]) == {"pretrained", "finetuned"}
    assert set(probed["layer"]) == {"0", "1", "2"}
    assert set(table["measure"]) == {"probe", "mutual_information"}
    by_state = probed.pivot_table(index="layer", columns="state", values="value", aggfunc="first")
    assert (by_state["pretrained"] != by_state["finetuned"]).any()


def test_domains(finished: LittleStudy) -> None:
    table = finished.table("domains")
    assert set(table["group"]) == set(GENRES)
    assert set(table["extract"]) == {"esim", "esim_separate"}
    assert set(finished.table("domain_correlations")["groups"]) == {"3"}


# --- what users' files may hold -----------------------------------------------------------------------------


def test_names_that_begin_with_i_are_counted(finished: LittleStudy) -> None:
    counted = stats(finished, "names")["starts_with_I"]
    assert counted == {split: names_in(finished.folder / "given" / f"{split}.conll") for split in SIZES}
    line = f"  spans that begin with I- or E-: {counted['train']} in train, "
    assert line in finished.log("prepare_task/names")


def test_sentences_longer_than_the_limit_are_counted(finished: LittleStudy) -> None:
    runs = finished.table("runs").query("task in ['names', 'pos']")
    assert set(runs["truncated_train"]) == {str(LONG_SENTENCES["train"])}
    for split in ("validation", "test"):
        assert set(runs[runs["split"] == split]["truncated"]) == {str(LONG_SENTENCES[split])}
    for log in ("finetune/bert/none/names/finetune_crf/nall", "extract_features/elmo/pretrained/names/words.first"):
        for split, size in SIZES.items():
            assert f"{split}: {size} texts, " in finished.log(log)
            assert f" {LONG_SENTENCES[split]} truncated at 16" in finished.log(log)


def test_bad_rows_are_dropped_and_counted(finished: LittleStudy) -> None:
    assert stats(finished, "names")["dropped"] == {"wrong number of columns": 1}
    assert stats(finished, "entailment")["dropped"] == {"empty text": 1}


def test_bad_rows_stop_the_study_and_are_named(finished: LittleStudy, tmp_path: Path) -> None:
    study = finished.copied(tmp_path / "study")
    for task in ("names", "entailment"):
        study.config["tasks"][task]["bad_rows"] = "stop"
    study.configure()
    call = study.snakemake("results/tasks/names/stats.json", "results/tasks/entailment/stats.json")
    assert call.status == 1
    mend = "mend the file, or set tasks.{}.bad_rows to drop to leave bad rows out"
    for task, what in (
        ("names", "given/train.conll:2, column label: wrong number of columns (1 where 2 are expected)"),
        ("entailment", "given/entailment.csv:2, column second: empty text (' ')"),
    ):
        assert f"error: {what}; {mend.format(task)}" in call.words.splitlines()


# --- a second time ------------------------------------------------------------------------------------------


def test_nothing_is_made_twice(finished: LittleStudy) -> None:
    assert finished.plan() == set()
    assert len(finished.stored()) == RUNS


def test_names_to_show_rerun_no_training(finished: LittleStudy, tmp_path: Path) -> None:
    study = finished.copied(tmp_path / "study")
    for group in ("models", "tasks", "recipes"):
        for name, entry in study.config[group].items():
            entry["label"] = f"{name}, so called"
    study.configure()
    assert study.plan() == ANALYSIS


def test_status_and_store(finished: LittleStudy) -> None:
    status = finished.atlas("status")
    assert status.status == 0, status.words
    assert f"done     {RUNS} runs, 13 of 13 tables" in status.out
    assert finished.atlas("store", "list").out.splitlines()[-1] == f"{RUNS} runs"
    verified = finished.atlas("store", "verify", "--model", "elmo", "--sample", "2")
    assert verified.status == 0, verified.words
    assert "3 of 3 finished runs are sound" in verified.out
    assert verified.out.count("recomputed: equal") == 2
