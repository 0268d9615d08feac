"""Files as they come, row by row: csv, tsv, jsonl, parquet and folders with one sub-folder a class.

Rows end at line feeds only: texts may hold U+2028 and other characters that Python counts as line ends. Bytes that
are wrong in the stated encoding pass as lone surrogates, so that only the rows that hold them are bad, not the file.
"""

from __future__ import annotations

import codecs
import csv
import difflib
import gzip
import json
import os
import re
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path
from typing import Any, BinaryIO, Literal, cast

import pyarrow as pa
import pyarrow.parquet as pq

from transfer_atlas.errors import UserError
from transfer_atlas.tasks.rows import BadRow, RawRow, shown

Format = Literal["csv", "tsv", "jsonl", "parquet", "folders"]
Rows = Iterator[RawRow | BadRow]

ENDINGS: dict[str, Format] = {".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".parquet": "parquet"}
SEPARATORS = {"csv": ",", "tsv": "\t"}
FOLDER_COLUMNS = ("text", "label")


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


def read_rows(source: Source, layout: Layout) -> Rows:
    """All rows of a file, in its order; for a folder, of its classes and files by name.

    Raises:
        UserError: for a file that cannot be read at all, or that lacks a needed column.
    """
    kind = _format(source, layout)
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
        name = source.path.name.removesuffix(".gz")
        kind = "folders" if source.path.is_dir() else ENDINGS.get(Path(name).suffix.lower())
    if kind is None:
        known = ", ".join(ENDINGS)
        raise UserError(
            f"{layout.setting('format')}: {source.name} ends in none of {known}; "
            "set format to csv, tsv, jsonl, parquet or folders"
        )
    if (kind == "folders") != source.path.is_dir():
        what = "a folder" if source.path.is_dir() else "a file"
        raise UserError(f"{layout.setting('format')}: {source.name} is {what}, which does not go with format {kind}")
    return kind


def _require(source: Source, layout: Layout, columns: Sequence[str]) -> None:
    for column, key in layout.needed.items():
        if columns.count(column) != 1:
            what = "no column" if column not in columns else f"{columns.count(column)} columns called"
            hint = nearest(column, columns) if column not in columns else ""
            raise UserError(
                f"{layout.setting(key)}: {source.name} has {what} {column!r}; it has {listed(columns)}{hint}"
            )


# --- text ----------------------------------------------------------------------------------------------------


@contextmanager
def _text(source: Source, layout: Layout, path: Path | None = None) -> Iterator[TextIOWrapper]:
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
    with _text(source, layout) as text:
        records = split(text, separator)
        columns = _header(source, layout, records) if layout.header else _given_columns(layout)
        _require(source, layout, columns)
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


# --- jsonl, parquet, folders -----------------------------------------------------------------------------------


def _json_rows(source: Source, layout: Layout) -> Rows:
    seen: dict[str, None] = {}
    n_rows = 0
    with _text(source, layout) as text:
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
        _require(source, layout, list(seen))


def _parquet_rows(source: Source, layout: Layout) -> Rows:
    try:
        file = pq.ParquetFile(source.path)
        _require(source, layout, file.schema_arrow.names)
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
    _require(source, layout, FOLDER_COLUMNS)
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
            with _text(source, layout, folder / name) as text:
                content = text.read()
            yield RawRow(f"{source.name}/{label}/{name}", 1, {"text": content, "label": label})
