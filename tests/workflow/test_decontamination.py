"""An intermediate task does not teach the tests of what comes after it."""

from __future__ import annotations

import csv
import json
from pathlib import Path

from little_study import LittleStudy, write_csv
from safetensors.numpy import load_file

WEIGHTS = "results/intermediate/tiny/{}/seed1/model.safetensors"


def rows_of(path: Path) -> list[list[str]]:
    """Rows of a csv below its header."""
    with open(path, encoding="utf-8", newline="") as stream:
        return list(csv.reader(stream))[1:]


def dressed_up(rows: list[list[str]]) -> list[list[str]]:
    """The same texts, so that only their words are the same."""
    return [[f"  {text.upper()} ", label] for text, label in rows]


def add_leaky_reviews(study: LittleStudy) -> None:
    """Add an intermediate task: the reviews, and texts of the target's test and validation.

    Training has 7 and 3 of them, validation 2 of the test. It begins a chain that ends in the target.
    """
    texts, leaky = (study.folder / "given" / name for name in ("texts", "leaky"))
    leaky.mkdir()
    test, validation = (rows_of(texts / f"sentiment-{split}.csv") for split in ("test", "validation"))
    leaked = {"train": [*test[:7], *validation[:3]], "validation": test[7:9], "test": test[:5]}
    for split, rows in leaked.items():
        own = rows_of(texts / f"reviews-{split}.csv")
        write_csv(leaky / f"reviews-{split}.csv", ["text", "label"], [*own, *dressed_up(rows)])

    config = study.config
    config["artifacts"]["leaky"] = {"source": "path", "path": "given/leaky"}
    config["tasks"]["leaky"] = {**config["tasks"]["reviews"], "artifact": "leaky"}
    config["intermediates"]["leaky"] = {**config["intermediates"]["reviews"], "task": "leaky"}
    config["intermediates"]["similar"] = {"task": "similarity", "recipe": "finetune", "after": "leaky"}
    (experiment,) = [entry for entry in config["experiments"] if entry["name"] == "intermediate task"]
    experiment["intermediates"] = ["reviews", "similar"]
    study.configure()


def test_evaluation_texts_of_later_tasks_are_left_out_counted_and_change_nothing_else(fresh: LittleStudy) -> None:
    study = fresh
    add_leaky_reviews(study)
    # Nothing but a chain uses this entry: the target comes two trainings later.
    study.run(WEIGHTS.format("reviews"), WEIGHTS.format("leaky"), "results/tables/overlap.csv")

    assert study.log("decontaminate/leaky").splitlines() == [
        "10 of 100 train rows of leaky are left out: they hold evaluation texts (10 of sentiment)",
        "2 of 22 validation rows of leaky are left out: they hold evaluation texts (2 of sentiment)",
    ]
    counts = json.loads((study.results / "decontamination" / "leaky" / "counts.json").read_text(encoding="utf-8"))
    assert counts["splits"]["train"] == {"rows": 100, "left_out": 10, "shared": {"sentiment": 10, "similarity": 0}}
    for name, left_out in (("reviews", 0), ("leaky", 10)):
        told = (study.folder / WEIGHTS.format(name)).with_name("run.json").read_text(encoding="utf-8")
        assert json.loads(told)["facts"]["left_out"] == left_out
    # The same training, to the last bit; the epoch was chosen on a validation split without the target's texts.
    clean, cleaned = (load_file(study.folder / WEIGHTS.format(name)) for name in ("reviews", "leaky"))
    assert clean.keys() == cleaned.keys()
    assert all((clean[name] == cleaned[name]).all() for name in clean)

    overlap = study.table("overlap").set_index(["task", "split", "other_task", "other_split"])["shared"]
    assert overlap["leaky", "train", "sentiment", "test"] == "7"
    assert overlap["leaky", "train", "sentiment", "validation"] == "3"
    assert overlap["reviews", "train", "sentiment", "test"] == "0"
