"""Which layers carry the benefit of pretraining (Tamkin et al. 2020): tables of runs with surgery, and of probes."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from transfer_atlas.analysis.ablations.curves import layer_gains, layer_probes, layer_scores, layers_kept
from transfer_atlas.analysis.ablations.localised import localised
from transfer_atlas.analysis.ablations.permutations import permutation_correlations, permutations
from transfer_atlas.analysis.ablations.variants import surgery_variants
from transfer_atlas.settings import Surgery


def tables(main: pd.DataFrame, surgeries: Mapping[str, Surgery], layers: Mapping[str, int]) -> dict[str, pd.DataFrame]:
    """All tables of ablations by name.

    Args:
        main: the runs, of `tables.main_scores`.
        surgeries: the configuration's entries, in its order.
        layers: number of layers of each model.
    """
    return {
        "layers_kept": layers_kept(main, surgeries, layers),
        "layer_gains": layer_gains(main, surgeries, layers),
        "layer_probes": layer_probes(main),
        "layer_scores": layer_scores(main, surgeries, layers),
        "localised": localised(main, surgeries, layers),
        "permutations": permutations(main, surgeries, layers),
        "permutation_correlations": permutation_correlations(main, surgeries),
        "surgery_variants": surgery_variants(main, surgeries, layers),
    }
