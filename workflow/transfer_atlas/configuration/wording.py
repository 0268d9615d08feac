"""A mistake in the configuration in plain words: what is wrong, what is allowed, which name was perhaps meant."""

from __future__ import annotations

import datetime
import difflib
import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from transfer_atlas.configuration.files import ABSENT, Key, dotted

MOST_SHOWN = 80


class _Entry:
    """Stands for the value where the name of an entry is what is wrong."""


ENTRY = _Entry()


@dataclass(frozen=True)
class Problem:
    """One mistake: where, the value found (`ABSENT` for none, `ENTRY` for the key itself), and what is allowed."""

    key: Key
    value: Any
    message: str

    def __str__(self) -> str:
        if self.value is ENTRY:
            return f"{dotted(self.key[:-1])} has an entry {shown(self.key[-1])}: {self.message}"
        fact = "is missing" if self.value is ABSENT else "is empty" if self.value is None else f"is {shown(self.value)}"
        return f"{dotted(self.key)} {fact}: {self.message}"


def shown(value: Any) -> str:
    """A value in one line, as JSON would write it."""
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}…"


def nearest(name: object, allowed: Iterable[str]) -> str:
    """`; did you mean X?`, or nothing when no allowed name is near."""
    return "".join(f"; did you mean {close}?" for close in nearest_names(name, allowed))


def nearest_names(name: object, allowed: Iterable[str]) -> list[str]:
    """The nearest allowed name, where one is near enough that it may have been meant."""
    return difflib.get_close_matches(name, list(allowed), n=1, cutoff=0.5) if isinstance(name, str) else []


def one_of(value: object, allowed: Iterable[str], before: str = "") -> str:
    """`allowed are a, b; did you mean a?`."""
    names = list(allowed)
    return f"{before}allowed are {', '.join(names) or 'none yet'}{nearest(value, names)}"


def yaml_number(text: object) -> str | None:
    """How to write a text that means a number so that YAML reads a number; None where it means none."""
    try:
        number = float(str(text).replace(",", ".")) if isinstance(text, str) else math.nan
    except ValueError:
        return None
    if not math.isfinite(number):
        return None
    mantissa, _, exponent = repr(number).partition("e")
    if number.is_integer() and not exponent:
        return str(int(number))
    # YAML asks for a point and for the exponent's sign.
    return (mantissa if "." in mantissa else f"{mantissa}.0") + (f"e{int(exponent):+d}" if exponent else "")


def hint(value: Any, expected: str) -> str:
    """What YAML made of a value that was written for another type (of JSON schema), if that may be the reason."""
    if expected in ("number", "integer") and (number := yaml_number(value)) is not None:
        quoted = isinstance(yaml.safe_load(value), int | float)
        return f" (write {number}, without quotes)" if quoted else f" (YAML reads {value} as text: write {number})"
    if expected == "string" and isinstance(value, bool):
        return " (YAML reads yes, no, on and off as true or false: put it in quotes)"
    if expected == "string" and isinstance(value, int | float | datetime.date):
        return " (put it in quotes)"
    if expected == "array" and isinstance(value, str | int | float):
        return f" (write [{value}])"
    if expected == "boolean" and isinstance(value, str):
        return " (without quotes)"
    return ""


def unknown(key: Key, value: str, allowed: Iterable[str], what: str) -> Iterator[Problem]:
    """The problem of a name that no entry has, or nothing."""
    names = sorted(allowed)
    if value not in names:
        yield Problem(key, value, f"no such {what}; there are {', '.join(names) or 'none yet'}{nearest(value, names)}")
