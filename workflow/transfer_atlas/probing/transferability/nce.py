"""NCE: the negative conditional entropy of the target's labels, given labels of the source task.

Tran, Nguyen & Hassner 2019, "Transferability and Hardness of Supervised Classification Tasks" (ICCV; arXiv 1908.08142),
eq. 4 and 5: -H(Y | Z) = 1/N sum_i log P(y_i | z_i) with the empirical P. The source's labels of the target's examples
are those that the source model gives them, as Nguyen et al. (2020, section 5) do where two tasks share no examples.
"""

from __future__ import annotations

import numpy as np

from transfer_atlas.probing.transferability.labels import class_indices


def nce(source_labels: np.ndarray, labels: np.ndarray) -> float:
    """Negative conditional entropy in nats: 0 where the source's labels [N] determine the target's [N], else below it.

    Raises:
        ValueError: for no examples, or different numbers of labels.
    """
    n = len(source_labels)
    if n == 0 or n != len(labels):
        raise ValueError(f"{n} and {len(labels)} labels: there must be as many, and at least one")
    z, y = class_indices(source_labels), class_indices(labels)
    joint = np.zeros((z.max() + 1, y.max() + 1))
    np.add.at(joint, (z, y), 1.0)
    conditional = joint / joint.sum(axis=1, keepdims=True)
    return float(min(np.log(conditional[z, y]).mean(), 0.0))
