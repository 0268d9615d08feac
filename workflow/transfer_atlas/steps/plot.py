"""From tables to figures."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path

from transfer_atlas.analysis import tables as table_files
from transfer_atlas.errors import UserError
from transfer_atlas.figures import (
    costs,
    finetune_vs_extract,
    intermediate,
    layer_curves,
    layer_gains,
    layers_kept,
    localised,
    permutations,
    peters2019,
    seed_scatter,
    style,
    surgery_variants,
    transfer_gain,
    transfer_matrix,
    transfer_prediction,
)

FIGURES = {
    "finetune_vs_extract": finetune_vs_extract.draw,
    "intermediate": intermediate.draw,
    "transfer_matrix": transfer_matrix.draw,
    "transfer_gain": transfer_gain.draw,
    "transfer_prediction": transfer_prediction.draw,
    "layers_kept": layers_kept.draw,
    "layer_gains": layer_gains.draw,
    "seed_scatter": seed_scatter.draw,
    "surgery_variants": surgery_variants.draw,
    "localised": localised.draw,
    "permutations": permutations.draw,
    "costs": costs.draw,
    "peters2019": peters2019.draw,
    "layer_curves": layer_curves.draw,
}
# What figures are drawn from.
TABLES = (*table_files.COLUMNS, "peters2019", "diagnostics", "transferability", "transfer_prediction")


def run(tables: Path, figures: Sequence[str], labels: Mapping[str, str], output: Path) -> None:
    """Draw each of `figures` from the tables in the folder `tables` as `output/<figure>.svg` and `.png`.

    `labels` maps entry names to names to show. A figure whose runs were not asked for says so.

    Raises:
        UserError: for the name of a figure that there is not.
    """
    for name in figures:
        if name not in FIGURES:
            near = difflib.get_close_matches(name, FIGURES, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise UserError(f"no figure is called {name}; there are {', '.join(FIGURES)}{hint}")
    found = {name: table_files.read(tables / f"{name}.csv") for name in TABLES}
    for name in figures:
        figure = FIGURES[name](found, labels)
        for kind in ("svg", "png"):
            style.save(figure, output / f"{name}.{kind}")
            print(f"{output / name}.{kind}", flush=True)
