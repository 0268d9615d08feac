"""One block of layers reinitialised, or kept alone, against the untouched encoder."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from transfer_atlas.analysis.ablations import selection
from transfer_atlas.analysis.columns import BASELINE, LOSS, table
from transfer_atlas.analysis.samples import Compared, Row, Sample, difference, estimated, holm, samples
from transfer_atlas.settings import Surgery


def localised(main: pd.DataFrame, surgeries: Mapping[str, Surgery], layers: Mapping[str, int]) -> pd.DataFrame:
    """Blocks or single layers reinitialised, and blocks preserved: score, and score minus the full encoder's.

    Beside them the full encoder, and the one whose layers were all reinitialised in the same way; empty where not run.

    Args:
        main: the runs, of `tables.main_scores`.
        surgeries: the configuration's entries.
        layers: number of layers of each model.
    """
    full = selection.full(main, surgeries, layers)
    scratch = selection.scratch(main, surgeries)
    rows: list[Row] = []
    compared: list[Compared] = []
    acting = selection.of_kind(main, surgeries, "block", "preserve", "single")
    for key, sample in samples(acting, [*selection.PLACE, "surgery", "depth"]):
        surgery, place = surgeries[key["surgery"]], selection.place_of(key)
        whole = full.get(place)
        none = _none(scratch.get(place, {}), surgeries, surgery)
        rows.append(
            {
                **key,
                "kind": surgery.kind,
                "n_train": sample.n_train,
                "lowest": key["depth"],
                "highest": key["depth"] + (surgery.width or 1) - 1,
                **estimated(sample),
                **difference(LOSS, sample, whole),
                **estimated(whole, "full_", BASELINE),
                **estimated(none, "none_", BASELINE),
            }
        )
        compared.append((sample.runs, whole.runs if whole else ()))
    return table("localised", holm(rows, compared))


def _none(scratch: Mapping[str, Sample], surgeries: Mapping[str, Surgery], surgery: Surgery) -> Sample | None:
    """The encoder whose layers were all reinitialised in the way of `surgery`."""
    alike = (none for name, none in scratch.items() if not selection.differing(surgeries[name], surgery))
    return next(alike, None)
