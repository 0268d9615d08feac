"""Sentences, one word a line: the column formats of the CoNLL shared tasks, and CoNLL-U.

A sentence is one row, whose cells are tuples with one entry a word. It is a row or it is not: a broken line makes
its whole sentence bad, because what is left of it would be another sentence.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from transfer_atlas.errors import UserError
from transfer_atlas.tasks.rows import ARC_SPANS, BadRow, RawRow, Reason, shown
from transfer_atlas.tasks.sources import UD_COLUMNS, Layout, Rows, Source, listed, open_text, require, undecodable

# What `fields` call the columns where they name none: the words, and what is usually learned of words and of arcs.
USUAL_TEXT = "form"
USUAL_LABEL = {"words": "upos", "arcs": "deprel"}

DOCUMENT_MARK = "-DOCSTART-"
UNSPECIFIED = "_"

# Columns are separated by ASCII white space: a no-break space is a part of its word.
_CELL = re.compile(r"\S+", re.ASCII)
_MULTIWORD_TOKEN = re.compile(r"\d+-\d+")
_EMPTY_NODE = re.compile(r"\d+\.\d+")

_Line = tuple[int, list[str]]
"""Number of a line and its cells."""


class _Broken(Exception):
    """A line that makes its sentence bad."""

    def __init__(self, number: int, column: str, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.number = number
        self.column = column
        self.reason = reason
        self.detail = detail


def conll_rows(source: Source, layout: Layout, skipped: Counter[str]) -> Rows:
    """The sentences of a file whose columns are separated by white space and called as `columns` says.

    Lines that begin with -DOCSTART- are passed over, and counted in `skipped`.

    Raises:
        UserError: for columns that are not named, and a file that cannot be read at all.
    """
    if not layout.columns:
        raise UserError(f"{layout.setting('columns')} is needed by format conll: name the columns in order")
    columns = layout.columns
    require(source, layout, columns)

    def separates(line: str) -> bool:
        if line.startswith(DOCUMENT_MARK):
            skipped["document marks"] += 1
            return True
        return not line.strip(" \t")

    with open_text(source, layout) as text:
        for block in _blocks(text, separates):
            try:
                lines = [(number, _CELL.findall(line)) for number, line in block]
                for number, cells in lines:
                    _check_cells(number, cells, columns, layout)
                yield _sentence(source, block[0][0], columns, lines, layout)
            except _Broken as problem:
                yield BadRow(source.name, problem.number, problem.column, problem.reason, problem.detail)


def conllu_rows(source: Source, layout: Layout, skipped: Counter[str]) -> Rows:
    """The sentences of a CoNLL-U file, or the dependency arcs of its sentences.

    Columns are called as Universal Dependencies do; `columns` may name more after these ten. `text` is another name of
    the forms, `label` of the parts of speech or, of an arc, the relation. Comments, multiword tokens and empty nodes
    are passed over; so are, among arcs, those from the root and those without label; `skipped` counts all of them.

    Raises:
        UserError: for columns that do not begin with those of CoNLL-U, and a file that cannot be read at all.
    """
    columns = list(layout.columns or UD_COLUMNS)
    if tuple(columns[: len(UD_COLUMNS)]) != UD_COLUMNS:
        raise UserError(f"{layout.setting('columns')}: those of conllu begin with {listed(UD_COLUMNS)}; list them")
    aliases = {"text": USUAL_TEXT, "label": USUAL_LABEL[layout.content]}
    aliases = {name: column for name, column in aliases.items() if name not in columns}
    require(source, layout, [*columns, *aliases])
    with open_text(source, layout) as text:
        for block in _blocks(text, lambda line: not line.strip(" \t")):
            try:
                lines = list(_words(block, columns, layout, skipped))
                if not lines:
                    continue
                sentence = _sentence(source, block[0][0], columns, lines, layout, aliases)
                if layout.content == "arcs":
                    yield from _arcs(sentence, layout, skipped)
                else:
                    yield sentence
            except _Broken as problem:
                yield BadRow(source.name, problem.number, problem.column, problem.reason, problem.detail)


def _blocks(lines: Iterable[str], separates: Callable[[str], bool]) -> Iterator[list[tuple[int, str]]]:
    """The lines between separating lines, with their numbers, counted from 1."""
    block: list[tuple[int, str]] = []
    for number, line in enumerate(lines, 1):
        content = line.rstrip("\r\n")
        if not separates(content):
            block.append((number, content))
        elif block:
            yield block
            block = []
    if block:
        yield block


def _check_cells(number: int, cells: list[str], columns: Sequence[str], layout: Layout) -> None:
    n_cells, expected = len(cells), len(columns)
    if n_cells < expected or (n_cells > expected and not layout.extra_columns):
        column = columns[n_cells] if n_cells < expected else str(expected + 1)
        raise _Broken(number, column, "wrong number of columns", f"{n_cells} where {expected} are expected")


def _sentence(
    source: Source,
    number: int,
    columns: Sequence[str],
    lines: list[_Line],
    layout: Layout,
    aliases: Mapping[str, str] | None = None,
) -> RawRow:
    by_column = zip(*(cells[: len(columns)] for _, cells in lines), strict=True)
    values = dict(zip(columns, by_column, strict=True))
    values |= {name: values[column] for name, column in (aliases or {}).items()}
    for (line, _), word in zip(lines, values[layout.text], strict=True):
        if not word:
            raise _Broken(line, layout.text, "empty text", shown(word))
        if not word.isascii() and (problem := undecodable(word)):
            raise _Broken(line, layout.text, "not decodable", f"{problem} is not {layout.encoding}")
    return RawRow(source.name, number, values, tuple(line for line, _ in lines))


# --- CoNLL-U ---------------------------------------------------------------------------------------------------


def _words(
    block: list[tuple[int, str]], columns: Sequence[str], layout: Layout, skipped: Counter[str]
) -> Iterator[_Line]:
    """The lines of syntactic words, which are numbered from 1."""
    expected = 1
    for number, line in block:
        if line.startswith("#"):
            skipped["comments"] += 1
            continue
        cells = line.split("\t")
        _check_cells(number, cells, columns, layout)
        if _MULTIWORD_TOKEN.fullmatch(cells[0]):
            skipped["multiword tokens"] += 1
        elif _EMPTY_NODE.fullmatch(cells[0]):
            skipped["empty nodes"] += 1
        elif cells[0] != str(expected):
            raise _Broken(number, "id", "wrong word number", f"{shown(cells[0])} where {expected} is expected")
        else:
            expected += 1
            yield number, cells


def _arcs(sentence: RawRow, layout: Layout, skipped: Counter[str]) -> Iterator[RawRow]:
    """One row for every word that has a head: its own cells, the words of the sentence, and both words as spans."""
    values = sentence.values
    words = values[layout.text]
    heads: list[int] = []
    for number, cell in zip(sentence.lines, values["head"], strict=True):
        if not (cell.isascii() and cell.isdigit() and int(cell) <= len(words) and int(cell) != len(heads) + 1):
            detail = f"{shown(cell)} is no other word of a sentence of {len(words)}"
            raise _Broken(number, "head", "wrong head", detail)
        heads.append(int(cell))
    for word, head in enumerate(heads, 1):
        if head == 0:
            skipped["roots"] += 1
            continue
        if values[layout.label][word - 1] == UNSPECIFIED:
            skipped["arcs without label"] += 1
            continue
        own = {column: values[column][word - 1] for column in layout.needed}
        spans = dict(zip(ARC_SPANS, ((word - 1, word), (head - 1, head)), strict=True))
        row = {**own, layout.text: words, **spans}
        yield RawRow(sentence.file, sentence.number, row, (sentence.lines[word - 1],), f".{word}")
