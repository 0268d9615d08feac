import pandas as pd
import pytest
from scipy import stats

from transfer_atlas.analysis.tables import COLUMNS
from transfer_atlas.analysis.transfer.signs import signs


def effects(gains: dict[tuple[str, str, int], float], **others) -> pd.DataFrame:
    """The table `intermediate` with these gains by (model, task, train examples)."""
    rows = [
        {
            **{"model": model, "intermediate": "films", "task": task, "recipe": "tune", "method": "finetune"},
            **{"head": "drop", "size": str(n), "n_train": n, "difference": gain},
            "family": "sentiment" if task < "c" else "similarity",
            "setting": "domain" if task in "ac" else "cross-lingual",
            **others,
        }
        for (model, task, n), gain in gains.items()
    ]
    return pd.DataFrame(rows, columns=COLUMNS["intermediate"])


GAINS = {
    (model, task, n): {"a": -0.03, "b": 0.01, "c": -0.02, "d": 0.0}[task] - (0.005 if n == 200 and task != "d" else 0.0)
    for model in ("x", "y")
    for task in "abcd"
    for n in (200, 2000)
}


def told(table: pd.DataFrame, **factors: str) -> dict:
    """The row for these values of factors, all others together."""
    wanted = [factors.get(name) for name in ("model", "family", "setting", "size")]
    columns = table[["model", "family", "setting", "size"]].astype(object)
    (row,) = table[[found == wanted for found in columns.where(columns.notna(), None).to_numpy().tolist()]].to_dict(
        "records"
    )
    return row


def test_wins_losses_and_ties_over_all():
    row = told(signs(effects(GAINS)))
    assert [row[name] for name in ("cells", "losses", "wins", "ties")] == [16, 8, 4, 4]
    assert row["share_losses"] == pytest.approx(8 / 12)
    assert row["p"] == pytest.approx(stats.binomtest(8, 12).pvalue)
    # The exact interval's ends: 2.5 % of the probability lie beyond each.
    assert stats.binom.sf(7, 12, row["low"]) == pytest.approx(0.025)
    assert stats.binom.cdf(8, 12, row["high"]) == pytest.approx(0.025)
    test = stats.ttest_1samp(list(GAINS.values()), 0)
    assert row["mean_gain"] == pytest.approx(sum(GAINS.values()) / 16)
    assert (row["mean_low"], row["mean_high"]) == pytest.approx(tuple(test.confidence_interval()))


def test_every_value_of_a_factor_has_a_row_and_every_combination():
    table = signs(effects(GAINS))
    # Two models, families, settings and sizes: one row over all, two for each factor, and their combinations.
    assert len(table) == 1 + 4 * 2 + 16
    assert told(table, family="sentiment")["cells"] == 8
    assert told(table, setting="domain")["losses"] == 8
    row = told(table, model="x", family="similarity", setting="cross-lingual", size="200")
    assert (row["cells"], row["ties"]) == (1, 1)
    assert pd.isna(row["share_losses"]) and pd.isna(row["p"])
    assert table["size"].dropna().unique().tolist() == ["200", "2000"]


def test_two_names_of_one_size_are_one_cell():
    twice = pd.concat([effects(GAINS), effects({key: g for key, g in GAINS.items() if key[2] == 2000}, size="all")])
    table = signs(twice)
    assert told(table)["cells"] == 16
    assert told(table, size="all")["cells"] == 8


def test_recipes_and_kept_heads_are_not_mixed_and_frozen_encoders_left_out():
    table = signs(
        pd.concat([effects(GAINS), effects(GAINS, head="keep"), effects(GAINS, method="extract", recipe="frozen")])
    )
    assert table.groupby(["recipe", "head"])["cells"].max().to_dict() == {("tune", "drop"): 16, ("tune", "keep"): 16}
