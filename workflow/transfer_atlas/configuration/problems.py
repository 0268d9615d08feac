"""Everything that is wrong with a configuration, said before any job starts.

Each problem is one line: file and line, key, the value found, what is allowed and, for names, the nearest valid one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from transfer_atlas.configuration.contradictions.everything import contradictions
from transfer_atlas.configuration.files import ABSENT, COMMAND_LINE, File, merge, place, read, read_files, value_at
from transfer_atlas.configuration.validation import validate
from transfer_atlas.configuration.wording import ENTRY, Problem, nearest, yaml_number
from transfer_atlas.errors import UserError
from transfer_atlas.settings import Settings

__all__ = ["load", "merge", "nearest", "read_files"]


def load(config: Mapping[str, Any], files: Sequence[Path]) -> Settings:
    """Validate a merged configuration.

    Args:
        config: What Snakemake merged from the files and `--config`.
        files: The configuration files, in any order: to say where a problem is.

    Raises:
        UserError: with one line for each problem.
    """
    read_again = [read(path) for path in files]
    validated = validate(config)
    problems = list(contradictions(validated)) if isinstance(validated, Settings) else validated
    if problems:
        raise UserError("\n".join(dict.fromkeys(_line(problem, config, read_again) for problem in problems)))
    assert isinstance(validated, Settings)
    return validated


def _line(problem: Problem, config: Mapping[str, Any], files: Sequence[File]) -> str:
    where, written = place(problem.key, config, files), value_at(config, problem.key)
    if written is not ABSENT and problem.value is not ENTRY:
        problem = replace(problem, value=written)  # 5, where the settings have 5.0
    line = f"{where}: {problem}"
    if where == COMMAND_LINE and len(problem.key) > 1 and yaml_number(problem.value) is not None:
        line += "; --config takes nested values as texts, so put them into a file for --configfile"
    return line
