"""Claims K1 to K15 of Tamkin et al. 2020, "Investigating Transferability in Pretrained Language Models".

The paper's numbers are in figures that no source has: thresholds are set from preliminary plots in the authors'
repository, which are not the paper's final ones. `subject` says who plays the paper's encoder, tasks and train sizes.
"""

from __future__ import annotations

from transfer_atlas.analysis.claims.claim import Claim
from transfer_atlas.analysis.claims.tamkin2020.blocks import k8, k12
from transfer_atlas.analysis.claims.tamkin2020.curves import k1, k2, k3, k4, k5, k6, k13
from transfer_atlas.analysis.claims.tamkin2020.permutations import k10, k11
from transfer_atlas.analysis.claims.tamkin2020.probing import k7, k9
from transfer_atlas.analysis.claims.tamkin2020.sensitivity import k15
from transfer_atlas.analysis.claims.tamkin2020.subject import BERT, PAPER, Subject
from transfer_atlas.analysis.claims.tamkin2020.variants import k14
from transfer_atlas.analysis.layer_evidence import LayerEvidence

__all__ = ["PAPER", "claims"]


def claims(known: LayerEvidence) -> list[Claim]:
    """All claims of the paper, in its order: one for each model that plays the paper's and was run with surgeries."""
    subjects = [Subject.of(known, model) for model in known.models(BERT)] or [Subject.of(known, None)]
    judges = (k1, k2, k3, k4, k5, k6, k7, k8, k9, k10, k11, k12, k13, k14, k15)
    return [judge(subject) for judge in judges for subject in subjects]
