"""`transfer_atlas encode`: the states of all layers of a model for every word of a text."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from transfer_atlas import atomic
from transfer_atlas.errors import UserError
from transfer_atlas.models.elmo.encoder import is_elmo, load_elmo
from transfer_atlas.models.encoder import Pretrained, load_pretrained
from transfer_atlas.models.word_pieces import WordPieces, tokenise_words
from transfer_atlas.representations.word_states import (
    ElmoSentences,
    PieceSentences,
    SentenceEncoder,
    word_states,
)
from transfer_atlas.training import device as devices


def read_sentences(path: Path) -> list[list[str]]:
    """The words of each line, separated by white space; an empty line has none.

    Raises:
        UserError: The file cannot be read or is not UTF-8.
    """
    try:
        content = path.read_bytes()
        # A byte order mark is no part of the first word.
        lines = content.decode("utf-8-sig").split("\n")
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise UserError(f"{path}, line {line}: is not UTF-8; convert the file") from None
    return [line.split() for line in (lines if lines[-1] else lines[:-1])]


def _tokenised(pretrained: Pretrained, text: Path, sentences: list[list[str]]) -> list[WordPieces]:
    """The pieces of each sentence; none is longer than the model."""
    pieces = [tokenise_words(pretrained.tokenizer, words) for words in sentences]
    limit = pretrained.longest_input
    for number, sentence in enumerate(pieces, 1):
        if limit is not None and len(sentence.input_ids) > limit:
            found = len(sentence.input_ids)
            raise UserError(f"{text}, line {number}: has {found} pieces, but the model reads {limit}; split the line")
    return pieces


def _sentence_encoder(folder: Path, text: Path, stateful: bool, pooling: str | None) -> SentenceEncoder:
    sentences = read_sentences(text)
    device = devices.choose_device()
    if is_elmo(folder):
        if pooling is not None:
            raise UserError(f"{folder}: ELMo reads whole words; leave out --pieces")
        return ElmoSentences(load_elmo(folder).to(device), sentences, stateful)
    if stateful:
        raise UserError(f"{folder}: is no ELMo model and keeps no state between sentences; leave out --stateful")
    pretrained = load_pretrained(folder)
    return PieceSentences(pretrained, _tokenised(pretrained, text, sentences), pooling or "first", device)


def _write_archive(path: Path, arrays: Iterable[np.ndarray]) -> int:
    """Write arrays named 0, 1, ... as `numpy.savez` would, but one at a time and with equal bytes for equal arrays."""
    number = 0
    with atomic.replacing(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for number, array in enumerate(arrays, 1):
            # A ZipInfo of its own holds no time.
            with archive.open(zipfile.ZipInfo(f"{number - 1}.npy"), "w", force_zip64=True) as file:
                np.lib.format.write_array(file, array, allow_pickle=False)
    return number


def run(folder: Path, text: Path, output: Path, stateful: bool, pooling: str | None) -> None:
    """Encode each line of `text` with the model in `folder` and write the archive `output`.

    Args:
        stateful: For ELMo: each sentence starts from the state in which the one before it ended.
        pooling: For encoders of transformers: a word's state is that of its `first` piece (None too), or the `mean`.

    Raises:
        UserError: The model or the text cannot be read, a sentence is too long, or an option is not the model's.
    """
    devices.prepare_process()
    encoder = _sentence_encoder(folder, text, stateful, pooling)
    number = _write_archive(output, word_states(encoder))
    print(f"{output}: {number} sentences")
