"""A study small enough to be run for real many times: a random encoder, made-up texts, a folder to run them in."""

from __future__ import annotations

import copy
import csv
import os
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent

GOOD = ["bright", "lovely", "superb", "charming", "graceful", "witty", "warm", "fresh", "tender", "moving"]
BAD = ["dull", "clumsy", "tedious", "stale", "awful", "noisy", "bland", "shallow", "limp", "grim"]
PLAIN = [
    "the",
    "a",
    "film",
    "plot",
    "scene",
    "actor",
    "story",
    "ending",
    "camera",
    "music",
    "script",
    "year",
    "town",
    "river",
    "house",
    "garden",
    "letter",
    "window",
    "table",
    "bread",
    "road",
    "winter",
    "morning",
    "sister",
    "friend",
    "doctor",
    "sailor",
    "teacher",
    "horse",
    "engine",
    "market",
    "village",
    "paper",
]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]

# What is measured differs from one time to the next: these columns of tables, and the figure drawn from them.
MEASURED_COLUMNS = ["seconds", "peak_memory_mb", "seconds_total"]
MEASURED_FIGURE = "costs"

CONFIG: dict[str, Any] = {
    "study": "little",
    "artifacts": {
        "encoder": {"source": "path", "path": "given/encoder"},
        "texts": {"source": "path", "path": "given/texts"},
    },
    "models": {"tiny": {"artifact": "encoder", "layers": 2, "licence": "none"}},
    "tasks": {
        "sentiment": {
            "type": "sequence_classification",
            "artifact": "texts",
            "files": {split: f"sentiment-{split}.csv" for split in ("train", "validation", "test")},
            "max_length": 16,
            "licence": "none",
        },
        # No artifact: files of the working folder; and splits that have to be carved.
        "similarity": {
            "type": "pair_regression",
            "files": {"train": "given/similarity.csv"},
            "fields": {"text": "first", "text_pair": "second", "label": "score"},
            "score_range": [0, 5],
            "carve": {"validation": 20, "test": 30},
            "max_length": 24,
        },
        "reviews": {
            "type": "sequence_classification",
            "artifact": "texts",
            "files": {split: f"reviews-{split}.csv" for split in ("train", "validation", "test")},
            "max_length": 16,
        },
    },
    "recipes": {
        "finetune": {"method": "finetune", "learning_rate": 3.0e-3, "epochs": 6, "batch_size": 16},
        # Long enough to be killed in the middle, with weights to choose from.
        "patient": {
            "method": "finetune",
            "learning_rate": 1.0e-3,
            "batch_size": 16,
            "min_steps": 300,
            "select": "best",
        },
        "extract": {"method": "extract", "head": "scalar_mix_mlp", "learning_rate": 1.0e-2, "epochs": 4, "hidden": 16},
    },
    "surgeries": {"reset_top": {"kind": "progressive"}},
    "intermediates": {"reviews": {"task": "reviews", "recipe": "patient", "size": 64}},
    "experiments": [
        {
            "name": "fine-tune or extract",
            "models": ["tiny"],
            "tasks": ["sentiment"],
            "recipes": ["finetune", "extract"],
            "sizes": [48],
            "seeds": 2,
        },
        {
            "name": "intermediate task",
            "models": ["tiny"],
            "tasks": ["sentiment"],
            "recipes": ["finetune"],
            "intermediates": ["reviews"],
            "sizes": [48],
            "seeds": 2,
        },
        {
            "name": "layers kept",
            "models": ["tiny"],
            "tasks": ["sentiment"],
            "recipes": ["finetune"],
            "surgeries": ["reset_top"],
            # Keeping both layers is the same run as the first experiment's.
            "depths": [0, 2],
            "sizes": [48],
            "seeds": 2,
        },
        {
            "name": "similarity",
            "models": ["tiny"],
            "tasks": ["similarity"],
            "recipes": ["patient"],
            "sizes": ["all"],
            "seeds": 2,
        },
    ],
    "execution": {"progress_seconds": 0.2, "checkpoint_seconds": 0.05},
}

# Jobs by the name of their log.
PLAIN_CELL = "finetune/tiny/none/sentiment/finetune/n48"
SURGERY_CELL = "ablate_layers/tiny/sentiment/finetune/reset_top/n48"
AFTER_REVIEWS_CELL = "finetune/tiny/reviews/sentiment/finetune/n48"
SIMILARITY_CELL = "finetune/tiny/none/similarity/patient/nall"
HEADS_CELL = "train_heads/tiny/none/sentiment/mean"
PLAIN_FILE = "results/cells/tiny/none/sentiment/finetune/none/n48.parquet"
HEADS_FILE = "results/cells/tiny/none/sentiment/extract.mean.parquet"
SURGERY_FILE = "results/cells/tiny/none/sentiment/finetune/reset_top/n48.parquet"
SIMILARITY_FILE = "results/cells/tiny/none/similarity/patient/none/nall.parquet"
REVIEWS_TRAININGS = {f"train_intermediate/tiny/reviews/seed{seed}" for seed in (1, 2)}
ANALYSIS = {"aggregate", "plot"}

# Two intermediate trainings; depths 0 and 2 of two seeds, of which depth 2 is the plain run; two seeds of the others.
RUNS_IN_STORE = 2 + 2 + 2 + 2 + 2 + 2


# --- what is given ------------------------------------------------------------------------------------------


def make_encoder(folder: Path) -> None:
    """Write a BERT encoder of two layers with random weights and a tokenizer of whole words."""
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    vocabulary = {token: index for index, token in enumerate([*SPECIAL, *GOOD, *BAD, *PLAIN])}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(token, vocabulary[token]) for token in ("[CLS]", "[SEP]")],
    )
    names = {"unk_token": "[UNK]", "pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, mask_token="[MASK]", **names).save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        initializer_range=0.1,
    )
    BertModel(config).save_pretrained(folder)
    _add_ballast(folder)


def _add_ballast(folder: Path) -> None:
    """Something to copy for long enough to be killed at it."""
    (folder / "ballast.bin").write_bytes(random.Random(0).randbytes(2**20) * 16)


def _review(rng: random.Random) -> tuple[str, str]:
    kind, words = rng.choice([("good", GOOD), ("bad", BAD)])
    chosen = [*rng.sample(words, 2), *rng.sample(PLAIN, rng.randint(4, 7))]
    rng.shuffle(chosen)
    return " ".join(chosen), kind


def _pair(rng: random.Random) -> tuple[str, str, float]:
    shared = rng.randint(0, 5)
    words = rng.sample(PLAIN, 10 - shared)
    return " ".join(words[:5]), " ".join([*words[:shared], *words[5:]]), float(shared)


def write_csv(path: Path, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Write a table as a user would have it."""
    with open(path, "w", encoding="utf-8", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(header)
        table.writerows(rows)


def make_data(folder: Path) -> None:
    """Write labelled texts that can be learned: reviews of two kinds, and pairs that share some words."""
    texts = folder / "texts"
    texts.mkdir(parents=True)
    rng = random.Random(1)
    for task, sizes in {"sentiment": (120, 24, 40), "reviews": (90, 20, 20)}.items():
        for split, size in zip(("train", "validation", "test"), sizes, strict=True):
            write_csv(texts / f"{task}-{split}.csv", ["text", "label"], [_review(rng) for _ in range(size)])
    _add_ballast(texts)
    write_csv(folder / "similarity.csv", ["first", "second", "score"], [_pair(rng) for _ in range(170)])


# --- where it is run ----------------------------------------------------------------------------------------


@dataclass
class Call:
    """A finished call: exit status and what it printed."""

    status: int
    out: str
    err: str

    @property
    def words(self) -> str:
        """Everything printed."""
        return self.out + self.err

    def jobs(self) -> set[str]:
        """The jobs of a dry run, each by the name of its log, which says rule and wildcards."""
        jobs = re.findall(r"^    log: results/logs/(\S+)\.log", self.words, re.M)
        # With --until the words are others.
        nothing = "Nothing to be done" in self.words or re.search(r"^total +0$", self.words, re.M) is not None
        assert bool(jobs) != nothing, self.words
        return set(jobs)


@dataclass
class LittleStudy:
    """A working folder with everything a study needs, code included, so that code may be edited."""

    folder: Path
    config: dict[str, Any] = field(default_factory=lambda: copy.deepcopy(CONFIG))

    @staticmethod
    def make(folder: Path) -> LittleStudy:
        """A folder with a copy of the code, an encoder, data and a configuration; nothing has been run."""
        folder.mkdir(parents=True)
        for name in ("workflow", "profiles", "envs"):
            shutil.copytree(REPOSITORY / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy2(REPOSITORY / "Snakefile", folder)
        make_encoder(folder / "given" / "encoder")
        make_data(folder / "given")
        study = LittleStudy(folder)
        study.configure()
        return study

    def copied(self, folder: Path, *, results: bool = True) -> LittleStudy:
        """The same study elsewhere, times of files included; without results it has never been run."""
        left_out = shutil.ignore_patterns(*([] if results else ["results", ".snakemake", "artifacts.lock"]))
        shutil.copytree(self.folder, folder, symlinks=True, ignore=left_out)
        return LittleStudy(folder, copy.deepcopy(self.config))

    def configure(self) -> None:
        """Write config.yaml."""
        text = yaml.safe_dump(self.config, sort_keys=False)
        (self.folder / "config.yaml").write_text(text, encoding="utf-8")

    @property
    def package(self) -> Path:
        """The code."""
        return self.folder / "workflow" / "transfer_atlas"

    def edit(self, old: str, new: str) -> None:
        """Edit the code, wherever `old` stands: once in the whole package, or this test has to be mended."""
        found = [path for path in self.package.rglob("*.py") if old in path.read_text(encoding="utf-8")]
        assert len(found) == 1, f"{old!r} stands in {len(found)} modules: mend this test"
        text = found[0].read_text(encoding="utf-8")
        assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {found[0]}: mend this test"
        found[0].write_text(text.replace(old, new), encoding="utf-8")

    # --- calls ---

    def environment(self) -> dict[str, str]:
        """As a user has it who has activated the environment, with this folder's code."""
        changed = {
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(self.folder / "workflow"),
            "XDG_CACHE_HOME": str(self.folder / ".cache"),
            "PYTHONDONTWRITEBYTECODE": "",
        }
        return {**os.environ, **changed}

    def call(self, *command: str) -> Call:
        """Run a command in the folder."""
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment(), capture_output=True, text=True, timeout=300, check=False
        )
        return Call(done.returncode, done.stdout, done.stderr)

    def snakemake(self, *arguments: str, cores: int = 2) -> Call:
        """Run Snakemake, whatever comes of it."""
        return self.call(*self.snakemake_command(*arguments, cores=cores))

    def snakemake_command(self, *arguments: str, cores: int = 2) -> list[str]:
        """The command line of Snakemake."""
        return [str(BIN / "snakemake"), *arguments, "--cores", str(cores)]

    def run(self, *arguments: str, cores: int = 2) -> Call:
        """Run Snakemake, which must succeed."""
        call = self.snakemake(*arguments, cores=cores)
        assert call.status == 0, call.words
        return call

    def plan(self, *arguments: str) -> set[str]:
        """The jobs that Snakemake would run, each by the name of its log."""
        return self.run("--dry-run", *arguments).jobs()

    def atlas(self, *arguments: str) -> Call:
        """Run `python -m transfer_atlas`."""
        return self.call(sys.executable, "-m", "transfer_atlas", *arguments)

    # --- what came of it ---

    @property
    def results(self) -> Path:
        """Where all results lie."""
        return self.folder / "results"

    def cell(self, name: str) -> Path:
        """The table of a cell."""
        return self.results / "cells" / f"{name}.parquet"

    def log(self, name: str) -> str:
        """A job's log."""
        return (self.results / "logs" / f"{name}.log").read_text(encoding="utf-8")

    def stored(self) -> dict[Path, tuple[int, bytes]]:
        """Finished runs of the store: time of last change and content of each result."""
        files = sorted((self.results / "store").glob("*/*/result.json"))
        return {path.relative_to(self.folder): (path.stat().st_mtime_ns, path.read_bytes()) for path in files}

    def log_times(self) -> dict[str, int]:
        """Time of last change of each log, by its name."""
        root = self.results / "logs"
        return {str(path.relative_to(root).with_suffix("")): path.stat().st_mtime_ns for path in root.rglob("*.log")}

    def run_jobs(self, *arguments: str, cores: int = 2) -> set[str]:
        """Run Snakemake, which must succeed; the jobs that ran, each by the name of its log."""
        before = self.log_times()
        self.run(*arguments, cores=cores)
        return {job for job, time in self.log_times().items() if before.get(job) != time}

    def table(self, name: str) -> pd.DataFrame:
        """A table, as text."""
        return pd.read_csv(self.results / "tables" / f"{name}.csv", dtype=str, keep_default_na=False)

    def outcome(self) -> dict[str, bytes]:
        """Every byte of tables, figures, predictions and weights that must not depend on how one got there."""
        found = {}
        for path in self._published():
            content = path.read_bytes()
            if path.suffix == ".csv":
                content = _unmeasured(pd.read_csv(path, dtype=str, keep_default_na=False), content)
            elif path.suffix == ".parquet":
                content = _unmeasured(pd.read_parquet(path), content)
            found[str(path.relative_to(self.results))] = content
        return found

    def _published(self) -> Iterator[Path]:
        # Not the hidden files that a killed writer leaves behind.
        yield from sorted((self.results / "tables").glob("[!.]*"))
        yield from (path for path in (self.results / "figures").glob("*.svg") if path.stem != MEASURED_FIGURE)
        yield from sorted((self.results / "cells").rglob("*.parquet"))
        yield from sorted((self.results / "intermediate").rglob("*.safetensors"))

    def differing(self, other: LittleStudy) -> list[str]:
        """Names of the results that are not the same bytes in both."""
        ours, theirs = self.outcome(), other.outcome()
        return sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name))


def _unmeasured(table: pd.DataFrame, content: bytes) -> bytes:
    """A table's own bytes, or, where some columns are measured, those of the others."""
    measured = [name for name in MEASURED_COLUMNS if name in table.columns]
    return table.drop(columns=measured).to_csv(index=False).encode() if measured else content
