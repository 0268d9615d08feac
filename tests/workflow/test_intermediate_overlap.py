"""An intermediate task does not teach its target's test."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

from little_study import LittleStudy, write_csv
from safetensors.numpy import load_file

WEIGHTS = "results/intermediate/tiny/{}/sentiment/seed1/model.safetensors"
LOG = "train_intermediate/tiny/{}/sentiment/seed1"


def rows_of(path: Path) -> list[list[str]]:
    """Rows of a csv below its header."""
    with open(path, encoding="utf-8", newline="") as stream:
        return list(csv.reader(stream))[1:]


def add_leaky_reviews(study: LittleStudy) -> None:
    """Add an intermediate task: the reviews, and texts of the target's test (7) and validation (3)."""
    given = study.folder / "given"
    (given / "leaky").mkdir()
    for split in ("validation", "test"):
        shutil.copy2(given / "texts" / f"reviews-{split}.csv", given / "leaky")
    leaked = [
        *rows_of(given / "texts" / "sentiment-test.csv")[:7],
        *rows_of(given / "texts" / "sentiment-validation.csv")[:3],
    ]
    # Dressed up, so that only their words are the same.
    leaked = [[f"  {text.upper()} ", label] for text, label in leaked]
    reviews = rows_of(given / "texts" / "reviews-train.csv")
    write_csv(given / "leaky" / "reviews-train.csv", ["text", "label"], [*reviews, *leaked])

    config = study.config
    config["artifacts"]["leaky"] = {"source": "path", "path": "given/leaky"}
    config["tasks"]["leaky"] = {**config["tasks"]["reviews"], "artifact": "leaky"}
    config["intermediates"]["leaky"] = {**config["intermediates"]["reviews"], "task": "leaky"}
    (experiment,) = [entry for entry in config["experiments"] if entry["name"] == "intermediate task"]
    experiment["intermediates"] = ["reviews", "leaky"]
    study.configure()


def test_evaluation_texts_of_the_target_are_left_out_counted_and_change_nothing_else(study: LittleStudy) -> None:
    add_leaky_reviews(study)
    study.run(WEIGHTS.format("leaky"), "results/tables/overlap.csv")

    told = "{} training rows of {} hold an evaluation text of sentiment and are left out"
    assert told.format(0, "reviews") in study.log(LOG.format("reviews")).splitlines()
    assert told.format(10, "leaky") in study.log(LOG.format("leaky")).splitlines()
    facts = json.loads((study.folder / WEIGHTS.format("leaky")).with_name("run.json").read_text())["facts"]
    assert facts["left_out"] == 10
    # The same training, to the last bit.
    clean, cleaned = (load_file(study.folder / WEIGHTS.format(name)) for name in ("reviews", "leaky"))
    assert clean.keys() == cleaned.keys()
    assert all((clean[name] == cleaned[name]).all() for name in clean)

    overlap = study.table("overlap").set_index(["task", "split", "other_task", "other_split"])["shared"]
    assert overlap["leaky", "train", "sentiment", "test"] == "7"
    assert overlap["leaky", "train", "sentiment", "validation"] == "3"
    assert overlap["reviews", "train", "sentiment", "test"] == "0"
