"""From cells to tables: every declared run, checked, then everything drawn from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from transfer_atlas import atomic, settings
from transfer_atlas.analysis import findings, intermediate_training, tables
from transfer_atlas.analysis.runs import Declared, collect
from transfer_atlas.plan import State


def run(
    files: Mapping[Path, Declared],
    trainings: Sequence[tuple[State, Path]],
    tasks: Mapping[str, settings.Task],
    labels: Mapping[str, str],
    output: Path,
) -> None:
    """Write all tables and the findings into the folder `output`.

    Args:
        files: for each file of results/cells the cells and runs that it must hold.
        trainings: each state after an intermediate task, and the file that says how its training went.
        tasks: the configured tasks, for their main metrics.
        labels: names to show, by name of the entry; entries without one show their own name.
        output: the folder; its other files are left alone.

    Raises:
        UserError: a declared run is missing or incomplete.
    """
    runs = collect(files)
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
    made["intermediate_training"] = intermediate_training.collect(trainings)
    for name, table in made.items():
        tables.write(table, output / f"{name}.csv")
        print(f"{name}: {len(table)} rows", flush=True)
    atomic.write_json(output / "findings.json", found.data)
    atomic.write_text(output / "findings.txt", "".join(f"{line}\n" for line in found.lines))
    print("\n".join(found.lines), flush=True)
