"""The files of a task before their rows mean anything: which ones, how they are laid out, and their text.

Rows end at line feeds only: texts may hold U+2028 and other characters that Python counts as line ends. Bytes that
are wrong in the stated encoding pass as lone surrogates, so that only the rows that hold them are bad, not the file.
"""

from __future__ import annotations

import codecs
import difflib
import gzip
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path
from typing import BinaryIO, Literal, cast

from transfer_atlas.errors import UserError
from transfer_atlas.tasks.rows import BadRow, RawRow, shown

Format = Literal["csv", "tsv", "jsonl", "parquet", "folders", "conll", "conllu"]
Content = Literal["texts", "words", "spans", "arcs"]
"""What a row becomes: texts with a label or score; words with a label each; a text of words with marked spans; or, from
a sentence with its dependencies, one such text for every arc."""
Rows = Iterator[RawRow | BadRow]

ENDINGS: dict[str, Format] = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".parquet": "parquet",
    ".conllu": "conllu",
    ".conll": "conll",
    ".iob": "conll",
    ".bio": "conll",
}
# The columns of CoNLL-U, as Universal Dependencies call them.
UD_COLUMNS = ("id", "form", "lemma", "upos", "xpos", "feats", "head", "deprel", "deps", "misc")


def format_of(name: str) -> Format | None:
    """The format that the ending of a file's name stands for, also before `.gz`."""
    return ENDINGS.get(Path(name.removesuffix(".gz")).suffix.lower())


@dataclass(frozen=True)
class Layout:
    """How to read the files of a task; see `settings.Task` for what each means."""

    task: str
    format: Format | None
    quoting: bool | None
    header: bool
    columns: list[str] | None
    extra_columns: bool
    encoding: str
    content: Content
    text: str
    """The column of the (first) text."""
    label: str
    """The column of the label."""
    needed: Mapping[str, str]
    """Columns that rows are made of or chosen by, and the setting that names each (`label`: `fields.label`)."""

    def setting(self, key: str) -> str:
        """A setting of this task by its full name."""
        return f"tasks.{self.task}.{key}"


@dataclass(frozen=True)
class Source:
    """A file or folder of a split."""

    path: Path
    name: str
    """As the configuration writes it: for messages."""
    short_name: str
    """Without the folders that a split's files share: for ids, which must not depend on where the data lie."""


def find_sources(entries: str | list[str], folder: Path, setting: str) -> list[Source]:
    """The files of a split, in the order listed.

    Raises:
        UserError: for a file that is missing or listed twice, or an empty list; `setting` is the key to name.
    """
    names = [name.rstrip("/") for name in ([entries] if isinstance(entries, str) else entries)]
    if not names:
        raise UserError(f"{setting}: the list of files is empty; name at least one file")
    paths = [Path(os.path.abspath(folder / name)) for name in names]
    for name, path in zip(names, paths, strict=True):
        if paths.count(path) > 1:
            raise UserError(f"{setting}: {name} is listed twice; list each file once")
        if not path.exists():
            raise UserError(f"{setting}: there is no {name} in {folder}{_nearest_file(path, folder)}")
    shared = Path(os.path.commonpath([path.parent for path in paths]))
    return [Source(path, name, path.relative_to(shared).as_posix()) for name, path in zip(names, paths, strict=True)]


def _nearest_file(path: Path, folder: Path) -> str:
    if not folder.is_dir():
        return "; that folder does not exist"
    around = path.parent if path.parent.is_dir() else folder
    there = sorted(child.name for child in around.iterdir() if not child.name.startswith("."))
    return nearest(path.name, there) or f"; there are {listed(there)}"


def nearest(word: str, known: Iterable[str]) -> str:
    """A hint like "; did you mean 'train.csv'?", or nothing."""
    match = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {match[0]!r}?" if match else ""


def listed(names: Sequence[str], most: int = 12) -> str:
    """Names in a message, the first `most` of them."""
    text = ", ".join(shown(name) for name in names[:most]) or "none"
    return text if len(names) <= most else f"{text} and {len(names) - most} more"


def require(source: Source, layout: Layout, columns: Sequence[str]) -> None:
    for column, key in layout.needed.items():
        if columns.count(column) != 1:
            what = "no column" if column not in columns else f"{columns.count(column)} columns called"
            hint = nearest(column, columns) if column not in columns else ""
            raise UserError(
                f"{layout.setting(key)}: {source.name} has {what} {column!r}; it has {listed(columns)}{hint}"
            )


@contextmanager
def open_text(source: Source, layout: Layout, path: Path | None = None) -> Iterator[TextIOWrapper]:
    """The file's text, unpacked and decoded; lines end at line feeds only and keep them."""
    path = path or source.path
    encoding = _encoding(layout)
    try:
        with _unpacked(path) as stream, TextIOWrapper(stream, encoding, "surrogateescape", newline="\n") as text:
            yield text
    except UnicodeError as problem:
        # Encodings of several bytes a character (utf-16) cannot resume after a wrong byte.
        raise UserError(
            f"{source.name} is not {layout.encoding} ({problem}); set {layout.setting('encoding')}"
        ) from None
    except (gzip.BadGzipFile, EOFError, zlib.error) as problem:
        raise UserError(f"{source.name} is damaged ({problem}); fetch it again") from None


def _unpacked(path: Path) -> BinaryIO:
    return cast(BinaryIO, gzip.open(path)) if path.suffix.lower() == ".gz" else path.open("rb")


def _encoding(layout: Layout) -> str:
    """The codec to read with: UTF-8 may begin with a byte order mark."""
    try:
        "".encode(layout.encoding)
    except LookupError:
        common = ("utf-8", "utf-16", "latin-1", "cp1252", "gb18030", "big5", "shift_jis", "euc-kr")
        hint = nearest(layout.encoding, common)
        raise UserError(f"{layout.setting('encoding')}: there is no encoding {layout.encoding!r}{hint}") from None
    return "utf-8-sig" if codecs.lookup(layout.encoding).name == "utf-8" else layout.encoding


def undecodable(text: str) -> str:
    """What cannot be a character in `text`: a byte that the encoding does not have, or half a surrogate pair."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as problem:
        code = ord(text[problem.start])
        what = f"byte 0x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else f"half a character, U+{code:04X}"
        before = text[max(0, problem.start - 20) : problem.start]
        return f"{what} after {before!r}" if before else what
    return ""
