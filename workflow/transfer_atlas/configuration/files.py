"""Configuration files: reading and merging them, and finding the line that gives a key its value."""

from __future__ import annotations

import json
import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from transfer_atlas.errors import UserError

# Names of entries and positions in lists; a name may be anything that YAML reads, which validation then refuses.
Key = tuple[Any, ...]

COMMAND_LINE = "--config"
"""Where a value stands that no file gives."""

_MERGE = "tag:yaml.org,2002:merge"
_PLAIN = re.compile(r"[A-Za-z0-9_-]+")


class _Absent:
    def __repr__(self) -> str:
        return "ABSENT"


ABSENT = _Absent()
"""The value of a key that is not there."""


@dataclass(frozen=True)
class File:
    """A configuration file: what it says, and the line (counted from 1) of every key and list entry."""

    path: Path
    content: dict[Any, Any]
    lines: dict[Key, int]


def read(path: Path) -> File:
    """Read one file.

    Raises:
        UserError: It is missing, not UTF-8, not YAML, not a mapping, or sets a key twice.
    """
    shown = _relative(path)
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        byte = error.object[error.start]
        raise UserError(f"{shown}:{line}: byte 0x{byte:02x} is not UTF-8; save the file as UTF-8") from None
    except OSError as error:
        raise UserError(f"{shown}: {error.strerror}; name an existing configuration file") from None
    lines: dict[Key, int] = {}
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        if node is None:
            return File(path, {}, lines)
        _index(loader, node, (), lines, shown)
        content = loader.construct_document(node)
    except yaml.YAMLError as error:
        raise UserError(_not_yaml(shown, error)) from None
    if not isinstance(content, dict):
        raise UserError(f"{shown}:1: should hold `key: value` lines, but holds {_kind(content)}")
    return File(path, content, lines)


def read_files(files: Sequence[Path]) -> dict[str, Any]:
    """Read and merge configuration files, the last one winning.

    Raises:
        UserError: as `read` does.
    """
    config: dict[str, Any] = {}
    for path in files:
        config = merge(config, read(path).content)
    return config


def merge(base: dict[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Lay one configuration over another as Snakemake does: mappings are merged, all else is replaced."""
    merged = dict(base)
    for key, value in over.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = merge(dict(merged[key]), value) if both else value
    return merged


def value_at(config: Any, key: Key) -> Any:
    """The value at a key, or `ABSENT`."""
    for part in key:
        there = range(len(config)) if isinstance(config, list) else config if isinstance(config, Mapping) else ()
        if part not in there:
            return ABSENT
        config = config[part]
    return config


def dotted(key: Key) -> str:
    """A key as messages name it: `experiments[0].models`."""
    text = ""
    for part in key:
        if isinstance(part, str) and _PLAIN.fullmatch(part):
            text += f".{part}" if text else part
        else:
            text += f"[{json.dumps(part, ensure_ascii=False, default=str)}]"
    return text or "the configuration"


def place(key: Key, config: Mapping[str, Any], files: Sequence[File]) -> str:
    """`file:line` of the file that gives a key its value in the merged configuration, `COMMAND_LINE` if none does.

    For a key that is not there, the place is that of the nearest part of it that is.
    """
    while key and value_at(config, key) is ABSENT:
        key = key[:-1]
    for file in reversed(files):
        if key in file.lines and _prevails(file.content, config, key):
            return f"{_relative(file.path)}:{file.lines[key]}"
    if key:
        return COMMAND_LINE
    return str(_relative(files[-1].path)) if files else "the configuration"


def _prevails(content: Any, config: Mapping[str, Any], key: Key) -> bool:
    """Whether the merged configuration has at `key` what a file says. Lists count as a whole: they are not merged."""
    for depth in range(1, len(key) + 1):
        ours, merged = value_at(content, key[:depth]), value_at(config, key[:depth])
        if not isinstance(merged, Mapping):
            return bool(ours == merged or repr(ours) == repr(merged))  # NaN equals NaN by its name only
    return True


def _index(loader: yaml.SafeLoader, node: yaml.Node, key: Key, lines: dict[Key, int], path: Path) -> None:
    """Enter the line of every key and list entry below `node`; a key that stands twice is an error."""
    if isinstance(node, yaml.SequenceNode):
        for position, entry in enumerate(node.value):
            lines.setdefault((*key, position), entry.start_mark.line + 1)
            _index(loader, entry, (*key, position), lines, path)
    if not isinstance(node, yaml.MappingNode):
        return
    own: dict[Hashable, int] = {}
    for name, value in node.value:
        line = name.start_mark.line + 1
        part = None if name.tag == _MERGE else loader.construct_object(name, deep=True)
        if name.tag == _MERGE or not isinstance(part, Hashable):
            continue
        here = (*key, part)
        if part in own:
            raise UserError(f"{path}:{line}: {dotted(here)} is set twice, here and in line {own[part]}; keep one")
        own[part] = line
        lines.setdefault(here, line)
        _index(loader, value, here, lines, path)
    for name, value in node.value:
        if name.tag == _MERGE:  # `<<: *anchor`: what is set here itself was entered first and stays
            for merged in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                _index(loader, merged, key, lines, path)


def _not_yaml(path: Path, error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    problem = " ".join(str(getattr(error, "problem", None) or error).split())
    advice = "see the line and the one before it"
    if "\\t" in problem:
        advice = "indent with spaces, not tabs"
    elif "constructor" in problem:
        advice = "plain values only, without !tags"
    where = f"{path}:{mark.line + 1}" if mark is not None else str(path)
    return f"{where}: not valid YAML: {problem}; {advice}"


def _kind(content: Any) -> str:
    return "a list" if isinstance(content, list) else f"only {json.dumps(content, default=str)[:60]}"


def _relative(path: Path) -> Path:
    """A path as the user wrote it: Snakemake makes those on the command line absolute."""
    return path.relative_to(Path.cwd()) if path.is_absolute() and path.is_relative_to(Path.cwd()) else path
