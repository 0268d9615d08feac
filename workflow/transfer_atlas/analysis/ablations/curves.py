"""Score against depth: of encoders that keep their bottom layers (progressive surgery), and of probes.

Arguments are alike: `main` is the runs, of `tables.main_scores`, `surgeries` the configuration's entries, `layers` the
number of layers of each model. A curve ends in the untouched encoder wherever that was run, with or without surgery.
"""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from transfer_atlas.analysis.ablations.selection import curves
from transfer_atlas.analysis.columns import GAIN, GAIN_OVER_SCRATCH, table
from transfer_atlas.analysis.samples import Compared, Row, difference, estimated, grouped, holm, samples
from transfer_atlas.settings import Surgery

CURVE = ["model", "intermediate", "task", "recipe", "surgery", "size", "metric"]


def layers_kept(main: pd.DataFrame, surgeries: Mapping[str, Surgery], layers: Mapping[str, int]) -> pd.DataFrame:
    """Score against pretrained layers kept, and the gain over keeping none."""
    rows: list[Row] = []
    compared: list[Compared] = []
    for place, depths in grouped(curves(main, surgeries, layers), CURVE, "depth").items():
        for depth, sample in depths.items():
            # Depth 0 is what the others are compared with; without it there is nothing to compare.
            none = depths.get(0) if depth > 0 else None
            rows.append(
                {
                    **dict(zip(CURVE, place, strict=True)),
                    "n_train": sample.n_train,
                    "depth": depth,
                    **estimated(sample),
                    **difference(GAIN_OVER_SCRATCH, sample, none),
                }
            )
            compared.append((sample.runs, none.runs if none else ()))
    return table("layers_kept", holm(rows, compared))


def layer_gains(main: pd.DataFrame, surgeries: Mapping[str, Surgery], layers: Mapping[str, int]) -> pd.DataFrame:
    """What each layer adds to those below it: keeping the bottom `layer` minus keeping one less, if both were run."""
    rows: list[Row] = []
    compared: list[Compared] = []
    for place, depths in grouped(curves(main, surgeries, layers), CURVE, "depth").items():
        for layer, sample in depths.items():
            if layer - 1 in depths:
                below = depths[layer - 1]
                rows.append(
                    {
                        **dict(zip(CURVE, place, strict=True)),
                        "n_train": sample.n_train,
                        "layer": layer,
                        **difference(GAIN, sample, below),
                    }
                )
                compared.append((sample.runs, below.runs))
    return table("layer_gains", holm(rows, compared))


def layer_probes(main: pd.DataFrame) -> pd.DataFrame:
    """Score of a linear head on each layer of the frozen encoder; layer 0 is the embeddings."""
    keys = ["model", "intermediate", "task", "recipe", "size", "metric", "depth"]
    probes = main[(main["surgery"] == "none") & main["depth"].notna()]
    return table(
        "layer_probes",
        [
            {**key, "layer": key["depth"], "n_train": sample.n_train, **estimated(sample)}
            for key, sample in samples(probes, keys)
        ],
    )


def layer_scores(main: pd.DataFrame, surgeries: Mapping[str, Surgery], layers: Mapping[str, int]) -> pd.DataFrame:
    """The score of every single run of a curve."""
    return table("layer_scores", curves(main, surgeries, layers))
