"""From cells to tables: every declared run, checked, then everything drawn from them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from transfer_atlas import atomic, settings
from transfer_atlas.analysis import findings, tables
from transfer_atlas.analysis.runs import Declared, collect


def run(
    cells: Mapping[Path, Declared], tasks: Mapping[str, settings.Task], labels: Mapping[str, str], output: Path
) -> None:
    """Write all tables and the findings into the folder `output`.

    Args:
        cells: for each cell file the (depth, seed) of the runs it must hold; depth is None without surgery.
        tasks: the configured tasks, for their main metrics.
        labels: names to show, by name of the entry; entries without one show their own name.
        output: the folder; its other files are left alone.

    Raises:
        UserError: a declared run is missing or incomplete.
    """
    runs = collect(cells)
    main = tables.main_scores(runs, tasks)
    made = {
        "scores": tables.scores(runs, tasks),
        "finetune_vs_extract": tables.finetune_vs_extract(main),
        "intermediate": tables.intermediate(main),
        "layers_kept": tables.layers_kept(main),
        "costs": tables.costs(runs),
    }
    found = findings.find(made["finetune_vs_extract"], made["intermediate"], made["layers_kept"], labels)
    tables.write_runs(runs, output / "runs.csv")
    for name, table in made.items():
        tables.write(table, output / f"{name}.csv")
        print(f"{name}: {len(table)} rows", flush=True)
    atomic.write_json(output / "findings.json", found.data)
    atomic.write_text(output / "findings.txt", "".join(f"{line}\n" for line in found.lines))
    print("\n".join(found.lines), flush=True)
