"""A little study of words, spans and pairs with BERT and ELMo: what Peters et al. (2019) ask for, made up and tiny."""

from __future__ import annotations

import copy
import random
import shutil
from itertools import groupby
from pathlib import Path
from typing import Any

from little_study import BAD, GOOD, PLAIN, LittleStudy, write_csv

KIND_OF_WORD = {**dict.fromkeys(GOOD, "PER"), **dict.fromkeys(BAD, "LOC")}
PART_OF_SPEECH = {**dict.fromkeys(GOOD, "ADJ"), **dict.fromkeys(BAD, "VERB")}
RELATION = {"ADJ": "amod", "VERB": "dep", "NOUN": "obj"}
GENRES = {"sea": PLAIN[:14], "town": PLAIN[10:24], "farm": PLAIN[19:]}

# Most sentences have 6 to 10 words; of the long ones BERT reads what fits beside [CLS] and [SEP].
MAX_LENGTH = 16
WORDS_READ = MAX_LENGTH - 2
LONG_WORDS = 24
LONG_SENTENCES = {"train": 3, "validation": 1, "test": 2}
SIZES = {"train": 60, "validation": 16, "test": 24}

# What a user's files may hold: a line without label, a pair without second text.
BROKEN_SENTENCE = "the O\nriver\n"
HALF_A_PAIR = ("the river", " ", "no", "sea")

CONLL: dict[str, Any] = {
    "type": "token_labelling",
    "files": {split: f"given/{split}.conll" for split in SIZES},
    "columns": ["text", "label"],
    "tags": "bio",
    "bad_rows": "drop",
    "max_length": MAX_LENGTH,
}
CONLLU_FILES = {split: f"given/{split}.conllu" for split in SIZES}
# Long enough to learn what a word by itself tells.
TRAINING: dict[str, Any] = {"epochs": 2, "min_steps": 60, "batch_size": 16, "head_dropout": 0.0}
FINETUNE: dict[str, Any] = {**TRAINING, "method": "finetune", "learning_rate": 3.0e-3}
EXTRACT: dict[str, Any] = {**TRAINING, "method": "extract", "learning_rate": 3.0e-2, "hidden": 16, "min_steps": 120}
FINETUNE_ELMO: dict[str, Any] = {
    **FINETUNE, "pooling": "max", "dropout": 0.2, "schedule": "slanted_triangular", "layer_decay": 0.4,
}  # fmt: skip

CONFIG: dict[str, Any] = {
    "study": "words",
    "artifacts": {
        "encoder": {"source": "path", "path": "given/encoder"},
        "elmo": {"source": "path", "path": "given/elmo"},
        "texts": {"source": "path", "path": "given/texts"},
    },
    "models": {
        "bert": {"artifact": "encoder", "layers": 2, "paper_name": "BERT-base"},
        "elmo": {"artifact": "elmo", "kind": "elmo", "layers": 2, "paper_name": "ELMo"},
    },
    "tasks": {
        "names": {**CONLL, "paper_name": "CoNLL-2003 NER"},
        "pos": {"type": "token_labelling", "files": CONLLU_FILES, "max_length": MAX_LENGTH},
        "arcs": {"type": "span_pair_classification", "files": CONLLU_FILES, "max_length": MAX_LENGTH},
        "sentiment": {
            "type": "sequence_classification",
            "artifact": "texts",
            "files": {split: f"sentiment-{split}.csv" for split in SIZES},
            "max_length": MAX_LENGTH,
            "paper_name": "SST-2",
        },
        "entailment": {
            "type": "pair_classification",
            "files": {"train": "given/entailment.csv"},
            "fields": {"text": "first", "text_pair": "second", "group": "genre"},
            "carve": {"validation": 18, "test": 36},
            "bad_rows": "drop",
            "max_length": 24,
            "paper_name": "MRPC",
        },
    },
    "recipes": {
        "finetune": FINETUNE,
        "tuned": {
            **FINETUNE,
            "pooling": "first",
            "search": {"learning_rate": [1.0e-3, 3.0e-3]},
            "search_seeds": [9],
        },
        "finetune_unfreeze": {**FINETUNE_ELMO, "unfreeze_epochs": 1},
        "finetune_crf": {**FINETUNE, "head": "crf"},
        "finetune_attend": {**FINETUNE_ELMO, "head": "bi_attention"},
        "bcn": {**EXTRACT, "head": "bcn"},
        "mix": {**EXTRACT, "head": "scalar_mix_linear", "pieces": "mean"},
        "crf": {**EXTRACT, "head": "crf"},
        "bilstm_crf": {**EXTRACT, "head": "bilstm_crf"},
        "esim": {**EXTRACT, "head": "esim"},
        "esim_separate": {**EXTRACT, "head": "esim", "pairs": "separate"},
    },
    "experiments": [
        {"models": ["bert"], "tasks": ["names"], "recipes": ["finetune_crf", "bilstm_crf"], "seeds": 2},
        {"models": ["bert"], "tasks": ["pos"], "recipes": ["finetune"], "seeds": 2},
        {"models": ["bert"], "tasks": ["arcs"], "recipes": ["finetune", "mix"], "seeds": 1},
        {"models": ["bert"], "tasks": ["sentiment"], "recipes": ["tuned", "bcn"], "sizes": [48], "seeds": 2},
        {
            "models": ["bert"],
            "tasks": ["entailment"],
            "recipes": ["finetune", "esim", "esim_separate"],
            "sizes": [48],
            "seeds": 2,
        },
        {"models": ["elmo"], "tasks": ["names"], "recipes": ["finetune_unfreeze", "crf"], "sizes": [48], "seeds": 1},
        {"models": ["elmo"], "tasks": ["entailment"], "recipes": ["finetune_attend"], "sizes": [48], "seeds": 1},
    ],
    "diagnostics": [{"models": ["bert"], "tasks": ["entailment"], "recipes": ["finetune"], "sizes": [48], "seeds": 1}],
    "domains": [{"task": "entailment", "reference": "sentiment"}],
    "execution": {"progress_seconds": 60.0},
}


def make_word_study(folder: Path, elmo: Path) -> LittleStudy:
    """A study folder with BERT, the ELMo model `elmo`, sentences and pairs; nothing has been run."""
    study = LittleStudy.make(folder)
    shutil.copytree(elmo, folder / "given" / "elmo")
    rng = random.Random(2)
    for split, size in SIZES.items():
        lengths = [rng.randint(6, 10) for _ in range(size - LONG_SENTENCES[split])] + [LONG_WORDS] * LONG_SENTENCES[
            split
        ]
        sentences = [rng.choices([*PLAIN, *GOOD, *BAD], k=length) for length in lengths]
        for ending, lines in (("conll", _conll), ("conllu", _conllu)):
            text = "\n".join(lines(sentence) for sentence in sentences)
            if (split, ending) == ("train", "conll"):
                text = f"{BROKEN_SENTENCE}\n{text}"
            (folder / "given" / f"{split}.{ending}").write_text(text, encoding="utf-8")
    pairs = [_pair(rng, genre) for genre in rng.choices(list(GENRES), k=140)]
    write_csv(folder / "given" / "entailment.csv", ["first", "second", "label", "genre"], [HALF_A_PAIR, *pairs])
    study.config = copy.deepcopy(CONFIG)
    study.configure()
    return study


def _conll(words: list[str]) -> str:
    """Names in IOB1, where they begin with I-: runs of words of one kind."""
    tags = [f"I-{KIND_OF_WORD[word]}" if word in KIND_OF_WORD else "O" for word in words]
    return "".join(f"{word} {tag}\n" for word, tag in zip(words, tags, strict=True))


def _tags_in(file: Path) -> list[list[str]]:
    """The tags of the sound sentences of a file of `_conll`."""
    blocks = file.read_text(encoding="utf-8").removeprefix(BROKEN_SENTENCE).strip().split("\n\n")
    return [[line.split()[1] for line in block.splitlines()] for block in blocks]


def names_in(file: Path) -> int:
    """How many names a file of `_conll` has."""
    return sum(tag != "O" for sentence in _tags_in(file) for tag, _ in groupby(sentence))


def words_in(file: Path) -> int:
    """How many words a file of `_conll` has."""
    return sum(map(len, _tags_in(file)))


def _conllu(words: list[str]) -> str:
    """Parts of speech by word; the first word heads all others."""
    lines = []
    for number, word in enumerate(words, 1):
        pos = PART_OF_SPEECH.get(word, "NOUN")
        head, relation = (0, "root") if number == 1 else (1, RELATION[pos])
        lines.append("\t".join([str(number), word, word, pos, "_", "_", str(head), relation, "_", "_"]) + "\n")
    return "".join(lines)


def _pair(rng: random.Random, genre: str) -> tuple[str, str, str, str]:
    """A sentence of a genre, and some of its words or others."""
    first = rng.sample(GENRES[genre], 6)
    others = [word for word in GENRES[genre] if word not in first]
    same = rng.random() < 0.5
    return " ".join(first), " ".join(rng.sample(first if same else others, 5)), "yes" if same else "no", genre
