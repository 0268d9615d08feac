"""All benchmarks, or some: `python -m benchmarks.run [--only a,c] [--quick]`, from the root of the repository.

Prints the tables and writes a dated record. Nothing else should compute meanwhile.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks import finetune, gemm_fraction, grid, memory, planning, record
from benchmarks.figures import Figure
from benchmarks.process import ROOT, cores, run
from benchmarks.sentences import model_folder, sentences
from transfer_atlas.errors import UserError

Measure = Callable[["Bench"], dict[str, Any]]


@dataclass(frozen=True)
class Bench:
    """What all benchmarks are given: the model, where sentences come from, a folder to work in, and the scale."""

    model: Path
    sst2: Path | None
    cache: Path
    folder: Path
    quick: bool
    n_seeds: int | None = None

    def seeds(self, full: int, quick: int) -> list[int]:
        """1, 2, ... as many as was asked for, or as the scale takes."""
        return list(range(1, 1 + (self.n_seeds or (quick if self.quick else full))))


def _finetune(bench: Bench) -> dict[str, Any]:
    texts = sentences(bench.sst2, bench.cache, 100 if bench.quick else 500, 100 if bench.quick else 872)
    return finetune.measure(bench.model, texts, bench.folder, bench.seeds(5, 2), repeats=2 if bench.quick else 3)


def _grid(bench: Bench) -> dict[str, Any]:
    texts = sentences(bench.sst2, bench.cache, grid.N_TRAIN, 100 if bench.quick else 872)
    loop_runs, repeats = (2, 1) if bench.quick else (6, 2)
    return grid.measure(bench.model, texts, bench.folder, bench.seeds(10, 2), loop_runs, repeats)


def _gemm_fraction(bench: Bench) -> dict[str, Any]:
    return gemm_fraction.measure(bench.model, sentences(bench.sst2, bench.cache, 500), bench.folder, bench.seeds(5, 2))


def _planning(bench: Bench) -> dict[str, Any]:
    return planning.measure(bench.folder, [1_000] if bench.quick else [1_000, 10_000, 50_000])


def _memory(bench: Bench) -> dict[str, Any]:
    return memory.measure(bench.model, sentences(bench.sst2, bench.cache, 500), bench.folder, bench.seeds(3, 2))


def _asked(name: str, pinned_to: list[int] | None = None) -> dict[str, Any]:
    """What `measure()` of a benchmark that needs none of the above says, asked in a process of its own."""
    ask = f"import json; from benchmarks.{name} import measure; print(json.dumps(measure()))"
    result: dict[str, Any] = json.loads(run([sys.executable, "-c", ask], pinned_to=pinned_to).output.splitlines()[-1])
    return result


def _heads(bench: Bench) -> dict[str, Any]:
    result = _asked("heads", cores()[:1])
    return {**result, "figures": [Figure(**figure) for figure in result["figures"]]}


def _gpu_sharing(bench: Bench) -> dict[str, Any]:
    result = _asked("gpu_sharing")
    worked = [row for row in result.get("rows", []) if "error" not in row]
    found = [
        Figure(
            f"batches of {row['batch']}: {row['way']}, {row['runs']} runs, {'graph' if row['captured'] else 'plain'}",
            row["tokens_per_second"],
            "tokens/s",
            1,
        )
        for row in worked
    ]
    return {**result, "figures": found}


BENCHMARKS: dict[str, tuple[str, Measure]] = {
    "a": ("(a) Fine-tuning against transformers.Trainer", _finetune),
    "b": ("(b) A grid of 40 runs, end to end", _grid),
    "c": ("(c) Share of the matrix rate", _gemm_fraction),
    "d": ("(d) Heads on cached features", _heads),
    "e": ("(e) Planning", _planning),
    "f": ("(f) Memory", _memory),
    "gpu": ("(gpu) Small runs that share a GPU", _gpu_sharing),
}
TITLES = {key: title for key, (title, _) in BENCHMARKS.items()}


def measure(chosen: list[str], given: Bench) -> dict[str, dict[str, Any]]:
    """Run the chosen benchmarks one after another; one that fails says so and costs the others nothing."""
    results: dict[str, dict[str, Any]] = {}
    for key in chosen:
        title, measured = BENCHMARKS[key]
        print(f"{title} ...", flush=True)
        start = time.perf_counter()
        bench = replace(given, folder=given.folder / key)
        bench.folder.mkdir(parents=True, exist_ok=True)
        try:
            results[key] = measured(bench)
        except RuntimeError as error:
            results[key] = {"failed": str(error)}
        results[key]["seconds"] = round(time.perf_counter() - start, 1)
    return results


def failures(results: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What went wrong, if anything."""
    return [f"{TITLES[key]}: {result['failed']}" for key, result in results.items() if "failed" in result]


def main() -> int:
    """Measure, print, write; 1 when a benchmark failed. A target that is missed is no failure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__)
    parser.add_argument("--only", default=",".join(BENCHMARKS), help="which, by letter: a,c")
    parser.add_argument("--quick", action="store_true", help="fewer seeds and sizes, minutes: to see that it all works")
    parser.add_argument("--seeds", type=int, help="how many, where a benchmark has several")
    parser.add_argument("--model", type=Path, help="a folder with MiniLM-L6; by default it is fetched")
    parser.add_argument("--sst2", type=Path, help="a folder with GLUE's SST-2; by default Rotten Tomatoes is fetched")
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "bench", help="where to work")
    parser.add_argument("--records", type=Path, default=ROOT / "benchmarks" / "records", help="where records go")
    arguments = parser.parse_args()
    chosen = arguments.only.split(",")
    try:
        if unknown := set(chosen) - BENCHMARKS.keys():
            raise UserError(f"--only {','.join(sorted(unknown))}: there are {', '.join(BENCHMARKS)}")
        folder = arguments.folder.resolve()
        cache = folder / "artifacts"
        bench = Bench(
            model_folder(arguments.model, cache), arguments.sst2, cache, folder, arguments.quick, arguments.seeds
        )
        results = measure(chosen, bench)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    tables = record.table(results, TITLES)
    print(f"\n{tables}\n")
    document = record.document(results, record.machine(), arguments.quick)
    part = [] if chosen == list(BENCHMARKS) else chosen
    written = record.write(arguments.records, document, tables, part)
    print(f"Record: {written}, and the numbers behind it beside it as JSON")
    for failure in failures(results):
        print(f"failed: {failure}", file=sys.stderr)
    return 1 if failures(results) else 0


if __name__ == "__main__":
    sys.exit(main())
