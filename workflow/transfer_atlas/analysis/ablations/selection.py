"""The runs that a table of ablations is made of: those of a kind of surgery, and what they are compared with.

Surgery is done to encoders without an intermediate task only, so nothing here tells intermediate tasks apart.
"""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from transfer_atlas.analysis.runs import ordered
from transfer_atlas.analysis.samples import Place, Row, Sample, grouped, samples
from transfer_atlas.settings import Surgery

# Where one surgery is compared with another, or with none.
PLACE = ("model", "task", "recipe", "size", "metric")
# What a reinitialised layer gets. Encoders with no pretrained layer left differ in nothing else.
SCHEME = ("init", "biases", "layer_norm", "rate_factor")


def place_of(row: Row) -> Place:
    """Where a run is compared with others."""
    return tuple(row[name] for name in PLACE)


def of_kind(main: pd.DataFrame, surgeries: Mapping[str, Surgery], *kinds: str) -> pd.DataFrame:
    """The runs with surgery of these kinds."""
    return main[main["surgery"].isin([name for name, surgery in surgeries.items() if surgery.kind in kinds])]


def full(main: pd.DataFrame, surgeries: Mapping[str, Surgery], layers: Mapping[str, int]) -> dict[Place, Sample]:
    """The untouched encoders by place: runs without surgery, and those whose progressive surgery keeps all layers.

    Args:
        layers: number of layers of each model.
    """
    return {place_of(key): sample for key, sample in samples(_untouched(main, surgeries, layers), PLACE)}


def curves(main: pd.DataFrame, surgeries: Mapping[str, Surgery], layers: Mapping[str, int]) -> pd.DataFrame:
    """The runs with progressive surgery; each curve ends in the untouched encoder, by whatever name that was run.

    Args:
        layers: number of layers of each model.
    """
    progressive = of_kind(main, surgeries, "progressive")
    here = progressive[[*PLACE, "surgery"]].drop_duplicates()
    ends = _untouched(main, surgeries, layers).drop(columns="surgery").merge(here, on=list(PLACE))
    ends["depth"] = ends["model"].map(layers).astype(main["depth"].dtype)
    return pd.concat([progressive[~_keeps_all(progressive, layers)], ends[main.columns]], ignore_index=True)


def scratch(main: pd.DataFrame, surgeries: Mapping[str, Surgery]) -> dict[Place, dict[str, Sample]]:
    """The encoders with all layers reinitialised, by place and progressive surgery in the configuration's order."""
    progressive = of_kind(main, surgeries, "progressive")
    found = grouped(progressive[progressive["depth"] == 0], PLACE, "surgery")
    return {place: {name: at[name] for name in surgeries if name in at} for place, at in found.items()}


def differing(one: Surgery, other: Surgery) -> list[str]:
    """The settings of the scheme by which reinitialised layers get something else from one surgery than from the other.

    Whatever the surgeries' kinds; empty where new layers get the same.
    """
    return [name for name in SCHEME if getattr(one, name) != getattr(other, name)]


def _untouched(main: pd.DataFrame, surgeries: Mapping[str, Surgery], layers: Mapping[str, int]) -> pd.DataFrame:
    """The runs of untouched encoders, one for each place and seed."""
    whole = main[(main["surgery"] == "none") & main["depth"].isna() & (main["intermediate"] == "none")]
    progressive = of_kind(main, surgeries, "progressive")
    # One run, with one digest, by whatever name it was asked for.
    runs = pd.concat([whole, progressive[_keeps_all(progressive, layers)]])
    return ordered(runs).drop_duplicates([*PLACE, "seed"])


def _keeps_all(progressive: pd.DataFrame, layers: Mapping[str, int]) -> pd.Series:
    """Which of the runs with progressive surgery keep all layers."""
    return (progressive["depth"] == progressive["model"].map(layers)).fillna(False).astype(bool)
