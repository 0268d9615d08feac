"""One intermediate training serves every target, size and recipe; chains, kept heads, zero-shot and controls."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pandas as pd
import pytest
from little_study import BAD, GOOD, PLAIN, LittleStudy, write_csv

# All that trains; tables and figures come from these.
TRAINED = ("--until", "finetune", "train_heads")
SEEDS = (1, 2)
AFTER_REVIEWS = {"models": ["tiny"], "recipes": ["finetune"], "intermediates": ["reviews"], "seeds": 2}


def reviews_like(path: Path, seed: int, rows: int, more: list[list[str]] | None = None) -> None:
    """Write labelled texts as those of the little study; `more` rows come first."""
    rng = random.Random(seed)
    written = list(more or [])
    for _ in range(rows):
        kind, words = rng.choice([("good", GOOD), ("bad", BAD)])
        chosen = [*rng.sample(words, 2), *rng.sample(PLAIN, rng.randint(4, 7))]
        rng.shuffle(chosen)
        written.append([" ".join(chosen), kind])
    write_csv(path, ["text", "label"], written)


def add_target(study: LittleStudy, name: str, seed: int, shared: int = 0) -> None:
    """A classification task with splits of its own; so many rows of its test are training rows of `reviews`."""
    given = study.folder / "given"
    lines = (given / "texts" / "reviews-train.csv").read_text(encoding="utf-8").splitlines()[1 : 1 + shared]
    for split, rows in (("train", 60), ("validation", 20), ("test", 20)):
        more = [line.rsplit(",", 1) for line in lines] if split == "test" else []
        reviews_like(given / f"{name}-{split}.csv", seed + rows + len(split), rows, more)
    study.config["tasks"][name] = {
        "type": "sequence_classification",
        "files": {split: f"given/{name}-{split}.csv" for split in ("train", "validation", "test")},
        "labels": ["bad", "good"],
        "max_length": 16,
    }


@pytest.fixture(scope="module")
def shared(untouched: LittleStudy, tmp_path_factory: pytest.TempPathFactory) -> LittleStudy:
    """Two targets, sizes and recipes after one entry; a crossed entry with its head, a chain and its control."""
    study = untouched.copied(tmp_path_factory.mktemp("shared") / "study")
    config = study.config
    for task in ("sentiment", "reviews"):
        config["tasks"][task]["labels"] = ["bad", "good"]
    add_target(study, "blurbs", seed=5)
    once = {"task": "reviews", "recipe": "finetune", "size": 64}
    config["intermediates"] = {
        "reviews": once,
        # The same training under another name, whose head goes on.
        "kept": {**once, "head": "keep", "seed": list(SEEDS)},
        "similar": {"task": "similarity", "recipe": "finetune", "size": 32},
        "chain": {**once, "after": "similar"},
    }
    entry = {"models": ["tiny"], "tasks": ["sentiment"], "recipes": ["finetune"], "sizes": [24], "seeds": 2}
    config["experiments"] = [
        {**entry, "recipes": ["finetune", "extract"], "intermediates": ["reviews"], "sizes": [24, 48]},
        {**entry, "tasks": ["blurbs"], "intermediates": ["reviews"]},
        {**entry, "intermediates": ["kept"], "sizes": [0, 24]},
        {**entry, "intermediates": ["chain"], "equal_budget": True},
    ]
    study.configure()
    study.run(*TRAINED)
    return study


@pytest.fixture
def sharing(shared: LittleStudy, tmp_path: Path) -> LittleStudy:
    """A copy to be changed at will."""
    return shared.copied(tmp_path / "study")


def trained(study: LittleStudy, rule: str) -> list[str]:
    """Lines of the rule's logs that tell of a run that was trained."""
    logs = sorted((study.results / "logs" / rule).rglob("*.log"))
    return [line for log in logs for line in log.read_text(encoding="utf-8").splitlines() if " steps in " in line]


def rows(study: LittleStudy, cell: str) -> pd.DataFrame:
    """The runs of a cell: their scores on the test in the main metric."""
    table = pd.read_parquet(study.cell(cell))
    return table[(table["split"] == "test") & (table["metric"] == "accuracy")].reset_index(drop=True)


def table_of(cell: str) -> Path:
    """The table of a cell after `reviews`, given as `task/recipe/size`."""
    task, recipe, size = cell.split("/")
    return Path("results") / "cells" / "tiny" / "reviews" / task / recipe / "none" / f"{size}.parquet"


def said(study: LittleStudy, intermediate: str, seed: int) -> dict:
    """What an intermediate training says of itself."""
    place = study.results / "intermediate" / "tiny" / intermediate / f"seed{seed}" / "run.json"
    return json.loads(place.read_text(encoding="utf-8"))


def test_an_intermediate_run_is_trained_exactly_once(shared: LittleStudy) -> None:
    """Whoever asks for it: two targets, two sizes and two recipes, and an entry that differs in its head alone."""
    assert len(trained(shared, "train_intermediate")) == 2 + 2 + 2
    jobs = [file.parent.name for file in (shared.results / "benchmarks" / "train_intermediate").rglob("*.tsv")]
    assert sorted(jobs) == sorted(["reviews", "kept", "similar", "chain"] * 2)
    digests = {name: {said(shared, name, seed)["digest"] for seed in SEEDS} for name in ("reviews", "kept", "chain")}
    assert digests["reviews"] == digests["kept"]
    assert len(digests["reviews"] | digests["chain"]) == 4
    assert len(list((shared.results / "store").rglob("*.safetensors"))) == 2 + 2 + 2


def test_every_run_says_where_it_starts_and_what_that_took(shared: LittleStudy) -> None:
    of_reviews = 6 * -(-64 // 16)
    of_similar = 6 * -(-32 // 16)
    after = of_reviews, of_reviews + of_similar
    for cell, updates in (
        ("blurbs/finetune/none/n24", {12}),
        ("sentiment/finetune/none/n24", {12}),
        ("sentiment/finetune/none/n48", {18}),
        ("sentiment/extract.mean", {4, 8}),
    ):
        runs = rows(shared, f"tiny/reviews/{cell}")
        assert runs["intermediate_seed"].tolist() == runs["seed"].tolist()
        assert set(runs["steps_before"]) == {after[0]}
        assert set(runs["steps"]) == updates
    crossed = rows(shared, "tiny/kept/sentiment/finetune/none/n24")
    assert list(zip(crossed["seed"], crossed["intermediate_seed"], strict=True)) == [(1, 1), (1, 2), (2, 1), (2, 2)]
    assert crossed["run"].nunique() == 4
    chain = rows(shared, "tiny/chain/sentiment/finetune/none/n24")
    assert (chain["intermediate_seed"].tolist(), set(chain["steps_before"])) == ([1, 2], {after[1]})
    for seed in SEEDS:
        identity = said(shared, "chain", seed)["identity"]
        assert identity["model"] == {"run": said(shared, "similar", seed)["digest"]}
        assert said(shared, "chain", seed)["steps_before"] == of_similar


def test_the_control_of_a_chain_takes_its_updates_on_the_target(shared: LittleStudy) -> None:
    control = rows(shared, "tiny/none~chain/sentiment/finetune/none/n24")
    arm = rows(shared, "tiny/chain/sentiment/finetune/none/n24")
    budget = arm["steps"] + arm["steps_before"]
    assert ((control["steps"] >= budget) & (control["steps"] < budget + -(-24 // 16))).all()
    assert set(control["steps_before"]) == {0}
    assert control["intermediate_seed"].isna().all()
    assert set(control["intermediate"]) == {"none~chain"}


def test_without_training_each_intermediate_model_is_scored_once(shared: LittleStudy) -> None:
    runs = rows(shared, "tiny/kept/sentiment/finetune/none/n0")
    assert (runs["seed"].tolist(), runs["intermediate_seed"].tolist()) == ([1, 2], [1, 2])
    assert (set(runs["n_train"]), set(runs["size"]), set(runs["steps"]), set(runs["tokens"])) == ({0}, {"0"}, {0}, {0})
    # Both tasks mark good and bad by the same words, so it is better than a coin.
    assert (runs["value"] > 0.55).all()


def test_nothing_is_left_to_do(shared: LittleStudy) -> None:
    # Entries that come to one training share a file, whose time changes with each: as if all files were large.
    assert shared.plan(*TRAINED, "--max-checksum-file-size", "0") == set()


def test_another_target_that_shares_no_text_trains_only_its_own_runs(sharing: LittleStudy) -> None:
    add_target(sharing, "notices", seed=77)
    sharing.config["experiments"].append({**AFTER_REVIEWS, "tasks": ["notices"], "sizes": [24]})
    sharing.configure()
    before = sharing.stored()
    # Whether a text is shared turns out when the new task is prepared.
    sharing.run("--until", "decontaminate")
    assert sharing.plan(*TRAINED) == {"finetune/tiny/reviews/notices/finetune/n24"}
    sharing.run(*TRAINED)
    after = sharing.stored()
    assert len(after) == len(before) + 2
    assert {path: after[path] for path in before} == before


def test_another_target_that_shares_texts_has_the_intermediate_task_trained_again_once(sharing: LittleStudy) -> None:
    add_target(sharing, "notices", seed=78, shared=5)
    sharing.config["experiments"].append({**AFTER_REVIEWS, "tasks": ["notices"], "sizes": [24]})
    sharing.configure()
    before = sharing.stored()
    cells = ["notices/finetune/n24", "blurbs/finetune/n24"]
    ran = sharing.run_jobs(*(str(table_of(cell)) for cell in cells))
    trainings = {f"train_intermediate/tiny/reviews/seed{seed}" for seed in SEEDS}
    assert ran == {
        *trainings,
        *(f"finetune/tiny/reviews/{cell}" for cell in cells),
        "prepare_task/notices",
        "decontaminate/reviews",
    }
    log = sharing.log("decontaminate/reviews").splitlines()
    assert log[0] == "5 of 90 train rows of reviews are left out: they hold evaluation texts (5 of notices)"
    # The entry's two trainings, and after them two runs of each target.
    after = sharing.stored()
    assert len(after) == len(before) + 2 + 2 + 2
    assert {path: after[path] for path in before} == before
    assert {said(sharing, "reviews", seed)["facts"]["left_out"] for seed in SEEDS} == {5}
    # What came after the old training is still to be done again; the new target comes after no other entry.
    waiting = {job.split("/", 1)[1] for job in sharing.plan(*TRAINED)}
    assert waiting == {
        *(f"tiny/reviews/sentiment/finetune/n{size}" for size in (24, 48)),
        *(f"tiny/reviews.seed{seed}/sentiment/mean" for seed in SEEDS),
        "tiny/reviews/sentiment/mean",
    }
