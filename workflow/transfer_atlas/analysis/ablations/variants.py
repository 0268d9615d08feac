"""Progressive surgeries side by side: what another way of reinitialising does to the curve."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from transfer_atlas.analysis.ablations.selection import PLACE, curves, differing
from transfer_atlas.analysis.columns import DIFFERENCE, table
from transfer_atlas.analysis.samples import Compared, Row, Sample, difference, estimated, holm, mean, samples
from transfer_atlas.settings import Surgery


def surgery_variants(main: pd.DataFrame, surgeries: Mapping[str, Surgery], layers: Mapping[str, int]) -> pd.DataFrame:
    """Each progressive surgery against the configuration's first that was run there (the reference).

    One row for each depth that both have, and one without depth: the mean over those of them where a layer is
    reinitialised, at the seeds that have them all. With all layers kept both are the same run, which is no test.

    Args:
        main: the runs, of `tables.main_scores`.
        surgeries: the configuration's entries; their order says which is the reference.
        layers: number of layers of each model.
    """
    at: dict[tuple[str, ...], dict[str, dict[int, Sample]]] = {}
    for key, sample in samples(curves(main, surgeries, layers), [*PLACE, "surgery", "depth"]):
        place = tuple(key[name] for name in PLACE)
        at.setdefault(place, {}).setdefault(key["surgery"], {})[int(key["depth"])] = sample
    rows: list[Row] = []
    compared: list[Compared] = []
    for place, by_surgery in at.items():
        reference, *variants = (name for name in surgeries if name in by_surgery)
        here = dict(zip(PLACE, place, strict=True))
        for variant in variants:
            sides = by_surgery[reference], by_surgery[variant]
            for depth, left, right in _pairs(*sides, layers[here["model"]]):
                rows.append(
                    {
                        **here,
                        "n_train": left.n_train,
                        "reference": reference,
                        "variant": variant,
                        "changed": changed(surgeries[reference], surgeries[variant]),
                        "depth": depth,
                        **estimated(left, "reference_"),
                        **estimated(right, "variant_"),
                        **difference(DIFFERENCE, right, left),
                    }
                )
                compared.append((right.runs, left.runs))
    return table("surgery_variants", holm(rows, compared, mean_of="depth"))


def changed(reference: Surgery, variant: Surgery) -> str:
    """What reinitialised layers get from `variant` for what they get from `reference`."""
    return (
        "; ".join(
            f"{name}: {getattr(variant, name)} for {getattr(reference, name)}" for name in differing(reference, variant)
        )
        or "nothing"
    )


def _pairs(
    reference: Mapping[int, Sample], variant: Mapping[int, Sample], layers: int
) -> list[tuple[int | None, Sample, Sample]]:
    """Both samples at each depth that both have, and their means over depths below `layers`."""
    common = sorted(reference.keys() & variant.keys())
    pairs: list[tuple[int | None, Sample, Sample]] = [(depth, reference[depth], variant[depth]) for depth in common]
    reinitialised = [depth for depth in common if depth < layers]
    if reinitialised:
        means = [mean([side[depth] for depth in reinitialised]) for side in (reference, variant)]
        pairs.append((None, means[0], means[1]))
    return pairs
