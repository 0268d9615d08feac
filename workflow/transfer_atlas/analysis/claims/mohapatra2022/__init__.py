"""Claims M1 to M6 on Mohapatra & Mohapatra 2022, "(In)Effectiveness of Intermediate Task Training".

Only the paper's abstract and the start of its introduction were to be had. Its data sets, recipes and numbers are not
known to us, so this is a conceptual replication: statements are in its terms, all thresholds are ours. `subject` says
which runs are its cells. Points and slopes have their intervals over cells, because the paper speaks of most tasks;
what seeds alone would say is noted.
"""

from __future__ import annotations

from collections.abc import Sequence

from transfer_atlas.analysis.claims.claim import Claim
from transfer_atlas.analysis.claims.mohapatra2022.depends import m4, m5, m6
from transfer_atlas.analysis.claims.mohapatra2022.helps import m1, m2, m3
from transfer_atlas.analysis.claims.mohapatra2022.subject import PAPER, Subject
from transfer_atlas.analysis.published.user import PrintedGain
from transfer_atlas.analysis.transfer_evidence import TransferEvidence

__all__ = ["PAPER", "claims"]


def claims(known: TransferEvidence, printed: Sequence[PrintedGain] = ()) -> list[Claim]:
    """All claims, in their order; `printed` are the paper's numbers where a user gave them."""
    subject = Subject.of(known, printed)
    return [judge(subject) for judge in (m1, m2, m3, m4, m5, m6)]
