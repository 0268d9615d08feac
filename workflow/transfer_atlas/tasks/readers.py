"""Files as they come, row by row: csv, tsv, jsonl, parquet, folders with one sub-folder a class, and sentences.

Rows end at line feeds only, and wrong bytes spoil their row only: see `sources`.
"""

from __future__ import annotations

import csv
import json
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import pyarrow as pa
import pyarrow.parquet as pq

from transfer_atlas.errors import UserError
from transfer_atlas.tasks.conll import conll_rows, conllu_rows
from transfer_atlas.tasks.rows import BadRow, RawRow, shown
from transfer_atlas.tasks.sources import (
    ENDINGS,
    Content,
    Format,
    Layout,
    Rows,
    Source,
    format_of,
    listed,
    open_text,
    require,
    undecodable,
)

SEPARATORS = {"csv": ",", "tsv": "\t"}
FOLDER_COLUMNS = ("text", "label")

# What the rows of a format can become; those of the other formats become texts, words and spans.
CONTENTS: dict[Format, tuple[Content, ...]] = {
    "folders": ("texts",),
    "conll": ("words",),
    "conllu": ("words", "arcs"),
}


def read_rows(source: Source, layout: Layout, skipped: Counter[str]) -> Rows:
    """All rows of a file, in its order; for a folder, of its classes and files by name.

    What a file has besides its rows and is passed over (comments, multiword tokens) is counted in `skipped`.

    Raises:
        UserError: for a file that cannot be read at all, or that lacks a needed column.
    """
    kind = _format(source, layout)
    if kind == "conll":
        return conll_rows(source, layout, skipped)
    if kind == "conllu":
        return conllu_rows(source, layout, skipped)
    if kind == "folders":
        return _folder_rows(source, layout)
    if kind == "parquet":
        return _parquet_rows(source, layout)
    if kind == "jsonl":
        return _json_rows(source, layout)
    quoting = kind == "csv" if layout.quoting is None else layout.quoting
    records = _quoted_records if quoting else _plain_records
    return _table_rows(source, layout, SEPARATORS[kind], records)


def _format(source: Source, layout: Layout) -> Format:
    kind = layout.format
    if kind is None:
        kind = "folders" if source.path.is_dir() else format_of(source.path.name)
    if kind is None:
        raise UserError(
            f"{layout.setting('format')}: {source.name} ends in none of {', '.join(ENDINGS)}; "
            "set format to csv, tsv, jsonl, parquet, folders, conll or conllu"
        )
    if (kind == "folders") != source.path.is_dir():
        what = "a folder" if source.path.is_dir() else "a file"
        raise UserError(f"{layout.setting('format')}: {source.name} is {what}, which does not go with format {kind}")
    if layout.content not in CONTENTS.get(kind, ("texts", "words", "spans")):
        raise UserError(_misfit(kind, source, layout))
    return kind


def _misfit(kind: Format, source: Source, layout: Layout) -> str:
    """Why the rows of a format cannot become what the task's type needs."""
    if layout.content == "arcs":
        return f"{layout.setting('fields.span')} is needed by format {kind} of {source.name}: name the column of spans"
    if layout.content == "spans" and kind == "conllu":
        return f"{layout.setting('fields.span')}: the arcs of {source.name} (conllu) are the spans; leave it out"
    wanted = {"texts": "whole texts", "words": "words with a label each", "spans": "marked spans"}[layout.content]
    return f"{layout.setting('type')} needs {wanted}, which {source.name} (format {kind}) does not have; change one"


# --- tables --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Record:
    number: int
    cells: list[str]


@dataclass(frozen=True, slots=True)
class _BrokenRecord:
    number: int
    place: int
    """Which cell is broken, from 0."""
    problem: str


_Records = Callable[[Iterable[str], str], Iterator[_Record | _BrokenRecord]]


def _plain_records(lines: Iterable[str], separator: str) -> Iterator[_Record | _BrokenRecord]:
    for number, line in enumerate(lines, 1):
        content = line.rstrip("\r\n")
        if content:
            yield _Record(number, content.split(separator))


def _quoted_records(lines: Iterable[str], separator: str) -> Iterator[_Record | _BrokenRecord]:
    csv.field_size_limit(sys.maxsize)
    consumed: list[str] = []

    def remembered() -> Iterator[str]:
        for line in lines:
            consumed.append(line)
            yield line

    reader = csv.reader(remembered(), delimiter=separator, strict=True)
    while True:
        number = reader.line_num + 1
        consumed.clear()
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as problem:
            yield _BrokenRecord(number, _broken_cell("".join(consumed), separator), _csv_problem(problem))
            continue
        if cells:
            yield _Record(number, cells)


def _csv_problem(problem: csv.Error) -> str:
    if "unexpected end of data" in str(problem):
        return "a quoted value is never closed"
    return f"{problem}; is the file quoted at all?"


def _broken_cell(record: str, separator: str) -> int:
    """Number of well-formed cells at the beginning of a record that the csv module refused."""
    end = re.escape(separator)
    cell = re.compile(rf'(?:"[^"]*(?:""[^"]*)*"|(?!")[^{end}\r\n]*){end}')
    place = position = 0
    while found := cell.match(record, position):
        place, position = place + 1, found.end()
    return place


def _table_rows(source: Source, layout: Layout, separator: str, split: _Records) -> Rows:
    with open_text(source, layout) as text:
        records = split(text, separator)
        columns = _header(source, layout, records) if layout.header else _given_columns(layout)
        require(source, layout, columns)
        for record in records:
            if isinstance(record, _BrokenRecord):
                column = _column_name(columns, record.place)
                yield BadRow(source.name, record.number, column, "broken quoting", record.problem)
                continue
            cells = record.cells
            n_cells = len(cells)
            if n_cells < len(columns) or (n_cells > len(columns) and not layout.extra_columns):
                column = _column_name(columns, min(n_cells, len(columns)))
                detail = f"{n_cells} where {len(columns)} are expected"
                yield BadRow(source.name, record.number, column, "wrong number of columns", detail)
                continue
            yield RawRow(source.name, record.number, dict(zip(columns, cells, strict=False)))


def _column_name(columns: Sequence[str], place: int) -> str:
    return columns[place] if place < len(columns) and columns[place] else str(place + 1)


def _header(source: Source, layout: Layout, records: Iterator[_Record | _BrokenRecord]) -> list[str]:
    if layout.columns is not None:
        raise UserError(f"{layout.setting('columns')} names the columns of files without header; set header to false")
    first = next(records, None)
    if first is None:
        raise UserError(f"{source.name} is empty; it needs a line with the names of its columns, and rows")
    if isinstance(first, _BrokenRecord):
        raise UserError(f"{source.name}:{first.number} is no header ({first.problem}); see {layout.setting('quoting')}")
    for cell in first.cells:
        if undecodable(cell):
            raise UserError(
                f"{source.name}:{first.number} is not {layout.encoding} ({undecodable(cell)}); "
                f"set {layout.setting('encoding')}"
            )
    return first.cells


def _given_columns(layout: Layout) -> list[str]:
    if not layout.columns:
        raise UserError(f"{layout.setting('columns')} is needed where header is false: name the columns in order")
    return layout.columns


# --- jsonl, parquet, folders -----------------------------------------------------------------------------------


def _json_rows(source: Source, layout: Layout) -> Rows:
    seen: dict[str, None] = {}
    n_rows = 0
    with open_text(source, layout) as text:
        for number, line in enumerate(text, 1):
            if not line.strip():
                continue
            try:
                values = json.loads(line)
            except json.JSONDecodeError as problem:
                yield BadRow(source.name, number, str(problem.colno), "bad JSON line", problem.msg)
                continue
            except (ValueError, RecursionError) as problem:
                # Numbers of thousands of digits, lists in lists in lists.
                yield BadRow(source.name, number, "1", "bad JSON line", str(problem))
                continue
            if not isinstance(values, dict):
                yield BadRow(source.name, number, "1", "bad JSON line", f"{shown(values)} is no object")
                continue
            n_rows += 1
            seen.update(dict.fromkeys(values))
            absent = next((column for column in layout.needed if column not in values), None)
            if absent is not None:
                detail = f"the line has {listed(list(values))}"
                yield BadRow(source.name, number, absent, "missing field", detail)
                continue
            yield RawRow(source.name, number, values)
    if n_rows:
        # A field that no line has is a mistake of the configuration, not of the rows.
        require(source, layout, list(seen))


def _parquet_rows(source: Source, layout: Layout) -> Rows:
    try:
        file = pq.ParquetFile(source.path)
        require(source, layout, file.schema_arrow.names)
        needed = list(layout.needed)
        number = 0
        for batch in file.iter_batches(columns=needed):
            cells = [_parquet_cells(batch.column(column)) for column in needed]
            for values in zip(*cells, strict=True):
                number += 1
                yield RawRow(source.name, number, dict(zip(needed, values, strict=True)))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as problem:
        reason = str(problem).splitlines()[0]
        raise UserError(f"{source.name} cannot be read as parquet ({reason}); see {layout.setting('format')}") from None


def _parquet_cells(column: pa.Array) -> list[Any]:
    try:
        return cast(list[Any], column.to_pylist())
    except UnicodeDecodeError:
        return [None if cell is None else cell.decode("utf-8", "surrogateescape") for cell in _as_bytes(column)]


def _as_bytes(column: pa.Array) -> list[bytes | None]:
    strings = column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
    return cast(list[bytes | None], strings.cast(pa.large_binary()).to_pylist())


def _folder_rows(source: Source, layout: Layout) -> Rows:
    require(source, layout, FOLDER_COLUMNS)
    classes = sorted(
        child.name for child in source.path.iterdir() if child.is_dir() and not child.name.startswith((".", "__"))
    )
    if not classes:
        raise UserError(f"{source.name} has no sub-folders; format folders needs one for each class")
    for label in classes:
        folder = source.path / label
        files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
        for name in files:
            if any(part.startswith(".") for part in name.split("/")):
                continue
            with open_text(source, layout, folder / name) as text:
                content = text.read()
            yield RawRow(f"{source.name}/{label}/{name}", 1, {"text": content, "label": label})
