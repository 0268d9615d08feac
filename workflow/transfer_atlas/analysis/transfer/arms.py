"""What runs did before their target task, told from the column `intermediate` of the long table, and nowhere else.

Nothing (`none`); a training on an intermediate task (its entry); or the control of one: as many updates more on the
target task itself (`plan.control_of` the entry). Runs on no example of the target (size 0) score a model as it is.
"""

from __future__ import annotations

import pandas as pd

from transfer_atlas.analysis.runs import KEY
from transfer_atlas.plan import NONE, control_of


def direct(runs: pd.DataFrame) -> pd.Series:
    """Which rows were trained on their target task only, by its recipe."""
    return runs["intermediate"] == NONE


def control(runs: pd.DataFrame) -> pd.Series:
    """Which rows spent the updates of an intermediate task on their target task."""
    return runs["intermediate"].str.startswith(control_of(""))


def transferred(runs: pd.DataFrame) -> pd.Series:
    """Which rows come after an intermediate task."""
    return ~direct(runs) & ~control(runs)


def zero_shot(runs: pd.DataFrame) -> pd.Series:
    """Which rows were not trained on their target task at all."""
    return runs["n_train"] == 0


def by_recipe(runs: pd.DataFrame) -> pd.Series:
    """Which rows were trained on their target task as their recipe says: neither controls nor zero-shot."""
    return ~control(runs) & ~zero_shot(runs)


def repetitions(runs: pd.DataFrame) -> pd.DataFrame:
    """The rows whose seeds are repetitions: of zero-shot runs one for each intermediate training, by its seed.

    The target's seed changes nothing there, so counting it would make scores look sure that are not.
    """
    as_they_are = zero_shot(runs)
    place = [name for name in KEY if name != "seed"]
    once = runs[as_they_are].drop_duplicates(place)
    once = once.assign(seed=once["intermediate_seed"].astype("int64"))
    return pd.concat([runs[~as_they_are], once], ignore_index=True)
