"""Dated records of a run of the benchmarks: numbers as JSON, and the same as a table to read."""

from __future__ import annotations

import datetime
import math
import platform
import re
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure
from benchmarks.process import cores
from transfer_atlas import atomic


def machine() -> dict[str, Any]:
    """What the figures depend on besides the code."""
    import torch

    from transfer_atlas.training import device

    cpu = torch.device("cpu")
    return {
        "processor": _processor(),
        "cores": len(cores()),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "bfloat16": device.has_bfloat16(cpu),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "snakemake": version("snakemake"),
    }


def _processor() -> str:
    """The processor's own name, where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def name_of(date: datetime.date, where: Mapping[str, Any]) -> str:
    """`2025-01-31-amd-epyc-2-cores`."""
    processor = re.sub(r"[^a-z0-9]+", "-", where["processor"].lower()).strip("-")
    return f"{date.isoformat()}-{processor}-{where['cores']}-cores"


def document(results: Mapping[str, Mapping[str, Any]], where: Mapping[str, Any], quick: bool) -> dict[str, Any]:
    """The record as JSON: machine, then each benchmark's figures and what they were computed from."""
    return {
        "date": datetime.date.today().isoformat(),
        "quick": quick,
        "machine": dict(where),
        "benchmarks": {
            name: {**result, "figures": [figure.as_dict() for figure in result.get("figures", [])]}
            for name, result in results.items()
        },
    }


def verdict(figure: Figure) -> str:
    """`met`, or by how much a target is missed; empty without a target."""
    if figure.must_hold is not None:
        return {True: "met", False: "missed: not in the interval", None: "needs two seeds"}[figure.met]
    if figure.target is None:
        return ""
    if figure.met:
        return "met"
    short = abs(figure.value - figure.target)
    return f"missed by {number(short)} ({short / figure.target:.0%})"


def aim(figure: Figure) -> str:
    """`≥ 30`, `≤ 5`, `contains 0`, or nothing."""
    if figure.must_hold is not None:
        return f"contains {number(figure.must_hold)}"
    if figure.target is None:
        return ""
    return f"{'≥' if figure.at_least else '≤'} {number(figure.target)}"


def number(value: float) -> str:
    """Three significant digits, without an exponent."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:,.{digits}f}"


def rows(figures: list[Figure]) -> list[list[str]]:
    """Cells of the table: what, value with unit, interval, n, target, verdict."""
    return [
        [
            figure.name,
            f"{number(figure.value)} {figure.unit}".strip(),
            "" if figure.low is None or figure.high is None else f"{number(figure.low)} to {number(figure.high)}",
            str(figure.n),
            aim(figure),
            verdict(figure),
        ]
        for figure in figures
    ]


HEADER = ["what", "value", "95 % interval", "n", "target", "verdict"]


def table(results: Mapping[str, Mapping[str, Any]], titles: Mapping[str, str]) -> str:
    """All figures as tables in Markdown, laid out so that they read well in a terminal too."""
    parts = []
    for name, result in results.items():
        parts.append(f"## {titles[name]}")
        if "failed" in result:
            parts.append(f"Failed: {result['failed'].splitlines()[0]}.")
        elif "skipped" in result:
            parts.append(f"Skipped: {result['skipped']}.")
        elif not result.get("figures"):
            parts.append("No figures of its own; the numbers are in the JSON file.")
        else:
            parts.append(_laid_out([HEADER, *rows(result["figures"])]))
    return "\n\n".join(parts)


def _laid_out(lines: list[list[str]]) -> str:
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    text = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    ]
    return "\n".join([text[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *text[1:]])


def write(folder: Path, record: dict[str, Any], tables: str, part: Sequence[str] = ()) -> Path:
    """Write the record's two files; returns the readable one.

    Args:
        part: The benchmarks that were run, where it was not all of them: they are in the name, as is `quick`, so that
            a part never replaces a whole.
    """
    where = record["machine"]
    name = name_of(datetime.date.fromisoformat(record["date"]), where)
    path = folder / "-".join([name, *(["quick"] if record["quick"] else []), *part])
    facts = [
        f"{where['processor']}, {where['cores']} cores" + (f", {where['gpu']}" if where["gpu"] else ""),
        f"torch {where['torch']}, Python {where['python']}, Snakemake {where['snakemake']}",
        f"bfloat16 in hardware: {'yes' if where['bfloat16'] else 'no'}",
    ]
    quick = "\n\nQuick: fewer seeds and sizes than the targets are about." if record["quick"] else ""
    head = f"# Benchmarks, {record['date']}\n\n" + "; ".join(facts) + "." + quick
    atomic.write_json(path.with_name(path.name + ".json"), finite(record))
    readable = path.with_name(path.name + ".md")
    atomic.write_text(readable, f"{head}\n\n{tables}\n")
    return readable


def finite(value: Any) -> Any:
    """The same with None for numbers that JSON has no word for."""
    if isinstance(value, Mapping):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
