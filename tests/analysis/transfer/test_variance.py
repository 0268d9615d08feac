import math

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as formulas
from scipy import stats
from statsmodels.stats.anova import anova_lm

from transfer_atlas.analysis.transfer import variance
from transfer_atlas.analysis.transfer.pairs import Pairs
from transfer_atlas.settings import Intermediate, Task

FAMILIES = ("classification", "sentiment", "similarity")
SEEDS = (1, 2, 3, 4, 5)


def task(family: str, language: str) -> Task:
    return Task(type="sequence_classification", files={"train": "t.csv"}, family=family, language=language, domain="d")


@pytest.fixture
def pairs() -> Pairs:
    """Eighteen targets, half of them in German, six of each of three families, and an intermediate task of each."""
    targets = {f"t{i:02}": task(FAMILIES[i % 3], "en" if i % 2 else "de") for i in range(18)}
    sources = {family: task(family, "en").model_copy(update={"domain": "other"}) for family in FAMILIES}
    return Pairs(targets | sources, {family: Intermediate(task=family, recipe="tune") for family in FAMILIES})


def runs(target: float, cell: float, noise: float, seeds=SEEDS, tasks=18, models=("bert", "roberta"), draw=3):
    """Main scores with an effect of the setting of 0.04 and of roberta of 0.02, and these deviations."""
    draws = np.random.default_rng(draw)
    rows = []
    for i in range(tasks):
        name, source = f"t{i:02}", FAMILIES[i % 3]
        of_target = draws.normal(0, target)
        for model in models:
            for n_train in (200, 2000):
                gain = of_target + draws.normal(0, cell) + (0.04 if i % 2 else 0) + (0.02 if model == "roberta" else 0)
                for seed in seeds:
                    shared = {"model": model, "task": name, "recipe": "tune", "method": "finetune", "surgery": "none"}
                    shared |= {"depth": None, "metric": "accuracy", "split": "test", "size": str(n_train)}
                    shared |= {"n_train": n_train, "seed": seed, "steps": 9, "steps_before": 0}
                    for arm, value in (("none", 0.5), (source, 0.5 + gain + draws.normal(0, noise))):
                        start = None if arm == "none" else seed
                        run = f"{model} {name} {n_train} {arm} {seed}"
                        rows.append(
                            {**shared, "intermediate": arm, "intermediate_seed": start, "value": value, "run": run}
                        )
    return pd.DataFrame(rows)


def told(table: pd.DataFrame, analysis: str) -> dict[str, dict]:
    rows = table[table["analysis"] == analysis].to_dict("records")
    return {row["part"]: row for row in rows}


def test_a_planted_effect_and_planted_scatter_are_found(pairs):
    found = told(variance.variance(runs(target=0.03, cell=0.015, noise=0.008, draw=8), pairs), "mixed model")
    domain = found["setting: domain minus cross-lingual"]
    assert domain["low"] < 0.04 < domain["high"] and domain["p"] < 0.05
    roberta = found["model: roberta minus bert"]
    assert roberta["low"] < 0.02 < roberta["high"] and roberta["high"] - roberta["low"] < 0.02
    assert found["log2 size"]["low"] < 0 < found["log2 size"]["high"]
    sds = [found[part]["sd"] for part in ("between targets", "between cells", "seed noise")]
    assert sds == [pytest.approx(0.03, rel=0.5), pytest.approx(0.015, rel=0.3), pytest.approx(0.008, rel=0.1)]
    # Settings and families vary over targets, models and sizes within them.
    assert domain["df"] == 18 - 4 and roberta["df"] == 72 - 18 - 2
    # Each target has one intermediate task only.
    assert math.isnan(found["between pairs"]["sd"]) and "not told apart" in found["between pairs"]["note"]


def both_languages(pairs: Pairs, main: pd.DataFrame, cross: float) -> tuple[Pairs, pd.DataFrame]:
    """Each target after an English and after a German intermediate task; gains across languages differ."""
    others = {f"{family}_de": task(family, "de").model_copy(update={"domain": "other"}) for family in FAMILIES}
    entries = {name: Intermediate(task=name, recipe="tune") for name in others}
    both = Pairs({**pairs.tasks, **others}, {**pairs.intermediates, **entries})
    after = main[main["intermediate"] != "none"]
    german = after.assign(intermediate=after["intermediate"] + "_de", run=after["run"] + "_de")
    together = pd.concat([after, german], ignore_index=True)
    across = [
        both.setting(*pair) == "cross-lingual" for pair in zip(together["intermediate"], together["task"], strict=True)
    ]
    shift = np.random.default_rng(5).normal(0, 0.004, len(together)) + cross * np.array(across)
    return both, pd.concat([main[main["intermediate"] == "none"], together.assign(value=together["value"] + shift)])


def test_a_setting_that_varies_over_pairs_has_their_degrees_of_freedom(pairs):
    main = runs(target=0.03, cell=0.01, noise=0.005, seeds=(1, 2, 3), tasks=6)
    found = told(variance.variance(*reversed(both_languages(pairs, main, cross=-0.05))), "mixed model")
    setting = found["setting: domain minus cross-lingual"]
    assert setting["low"] < 0.05 < setting["high"] and setting["df"] == 12 - 6 - 1
    # Twelve pairs of two models at two sizes each.
    assert found["model: roberta minus bert"]["df"] == found["log2 size"]["df"] == 48 - 12 - 2
    assert found["family: sentiment minus classification"]["df"] == 6 - 3


def test_an_effect_without_degrees_of_freedom_has_no_interval(pairs):
    """One target alone has two pairs, and tells all there is of the setting."""
    both, main = both_languages(pairs, runs(0.03, 0.01, 0.005, seeds=(1, 2, 3), tasks=6), cross=-0.05)
    kept = ~main["intermediate"].str.endswith("_de") | (main["task"] == "t00")
    tasks = {name: entry.model_copy(update={"language": "de"}) for name, entry in both.tasks.items() if name == "t00"}
    english = {
        name: entry.model_copy(update={"language": "en"}) for name, entry in both.tasks.items() if name[1:].isdigit()
    }
    told_apart = Pairs({**both.tasks, **english, **tasks}, both.intermediates)
    found = told(variance.variance(main[kept], told_apart), "mixed model")
    setting = found["setting: domain minus cross-lingual"]
    assert math.isfinite(setting["coefficient"]) and math.isnan(setting["low"]) and math.isnan(setting["p"])
    assert setting["note"] == "no interval: too few pairs within their targets"


def test_in_a_balanced_design_the_components_are_those_of_mean_squares(pairs):
    """Restricted maximum likelihood agrees with the method of moments where no component is at 0."""
    main = runs(target=0.03, cell=0.015, noise=0.008)
    found = told(variance.variance(main, pairs), "mixed model")
    gains = variance.gains(main, pairs).assign(log2=lambda rows: np.log2(rows["n_train"]))
    within = gains["gain"] - gains.groupby(["model", "task", "n_train"])["gain"].transform("mean")
    noise = (within**2).sum() / (len(gains) * 4 / 5)
    means = gains.groupby(["model", "task", "n_train", "log2", "family", "setting"])["gain"].mean().reset_index()
    between = anova_lm(formulas.ols("gain ~ C(task) + C(model) + log2", means).fit())
    cells = between.loc["Residual", "mean_sq"] - noise / 5
    by_task = means.groupby(["task", "family", "setting"])["gain"].mean().reset_index()
    residual = anova_lm(formulas.ols("gain ~ C(family) + C(setting)", by_task).fit()).loc["Residual", "mean_sq"]
    targets = residual - between.loc["Residual", "mean_sq"] / 4
    for part, expected in (("seed noise", noise), ("between cells", cells), ("between targets", targets)):
        assert found[part]["sd"] == pytest.approx(math.sqrt(expected), rel=1e-3), part


def test_anova_of_cells_is_that_of_their_means(pairs):
    main = runs(target=0.03, cell=0.015, noise=0.008)
    found = told(variance.variance(main, pairs), "anova of cells")
    means = variance.gains(main, pairs).groupby(["model", "task", "n_train", "family", "setting"])["gain"].mean()
    frame = means.reset_index().assign(log2=lambda rows: np.log2(rows["n_train"]))
    other = anova_lm(formulas.ols("gain ~ C(model) + C(family) + C(setting) + log2", frame).fit(), typ=2)
    assert list(found) == ["model", "family", "setting", "log2 size", "residual"]
    columns = {"df": "df", "sum_sq": "sum_sq", "F": "F", "p": "PR(>F)"}
    for part, name in zip(found, other.index, strict=True):
        for ours, theirs in columns.items():
            assert found[part][ours] == pytest.approx(other.loc[name, theirs], nan_ok=True), (part, ours)


def test_anova_of_seeds_splits_all_there_is(pairs):
    main = runs(target=0.03, cell=0.015, noise=0.008)
    found = told(variance.variance(main, pairs), "anova of seeds")
    assert list(found) == ["model", "pair", "size", "interactions", "seed noise"]
    gains = variance.gains(main, pairs)["gain"]
    # Balanced: the sums of squares add up, and so do the degrees of freedom.
    assert sum(row["sum_sq"] for row in found.values()) == pytest.approx(((gains - gains.mean()) ** 2).sum())
    assert [row["df"] for row in found.values()] == [1, 17, 1, 72 - 20, 72 * 4]
    assert found["pair"]["p"] < 1e-6 and found["seed noise"]["sd"] == pytest.approx(0.008, rel=0.1)


def test_noise_alone_is_called_noise(pairs):
    main = runs(target=0, cell=0, noise=0.01)
    found = told(variance.variance(main, pairs), "anova of seeds")
    assert found["interactions"]["p"] > 0.01


@pytest.mark.parametrize(
    ("kept", "analysis", "words"),
    [
        ({"tasks": 2}, "mixed model", "not fitted: 8 cells of 2 target tasks"),
        ({"seeds": (1,)}, "mixed model", "not fitted"),
        ({"seeds": (1,)}, "anova of seeds", "not made: several cells with several seeds"),
        ({"tasks": 1, "models": ("bert",)}, "anova of cells", "not made: 2 cells are too few"),
        ({}, "crossed seeds", "no intermediate task has a list of seeds"),
    ],
)
def test_too_little_says_so(pairs, kept, analysis, words):
    table = variance.variance(runs(target=0.03, cell=0.01, noise=0.01, **kept), pairs)
    (row,) = table[table["analysis"] == analysis].to_dict("records")
    assert words in row["note"]
    assert all(math.isnan(row[name]) for name in ("coefficient", "sd", "sum_sq", "F", "p"))


def test_what_cannot_be_told_apart_is_named(pairs):
    """All cross-lingual targets are of one family and the others of the other two."""
    tasks = {
        name: entry.model_copy(update={"language": "de" if entry.family == "similarity" else "en"})
        for name, entry in pairs.tasks.items()
        if name.startswith("t")
    }
    aliased = Pairs({**pairs.tasks, **tasks}, pairs.intermediates)
    table = variance.variance(runs(target=0.02, cell=0.01, noise=0.01), aliased)
    for analysis in ("mixed model", "anova of cells"):
        assert told(table, analysis)["setting"]["note"] == "not told apart from model, family"


def test_crossed_seeds_by_hand(pairs):
    """Two intermediate seeds by three target seeds: the scatter is planted between intermediate seeds."""
    scores = {(5, 1): 0.60, (5, 2): 0.61, (5, 3): 0.62, (6, 1): 0.70, (6, 2): 0.72, (6, 3): 0.71}
    main = runs(0.0, 0.0, 0.01, seeds=(1, 2, 3), tasks=1, models=("bert",))
    main = main[main["n_train"] == 200]
    one = main[main["intermediate"] != "none"].iloc[0].to_dict()
    crossed = [
        {**one, "seed": seed, "intermediate_seed": start, "value": value, "run": f"{start} {seed}"}
        for (start, seed), value in scores.items()
    ]
    table = variance.variance(pd.concat([main[main["intermediate"] == "none"], pd.DataFrame(crossed)]), pairs)
    found = told(table, "crossed seeds")
    frame = pd.DataFrame([(*key, value) for key, value in scores.items()], columns=["start", "seed", "value"])
    other = anova_lm(formulas.ols("value ~ C(start) + C(seed)", frame).fit())
    start, noise = other.loc["C(start)"], other.loc["Residual"]
    assert found["intermediate seed"]["F"] == pytest.approx(start["F"])
    assert found["intermediate seed"]["p"] == pytest.approx(start["PR(>F)"])
    assert found["intermediate seed"]["sd"] == pytest.approx(math.sqrt((start["mean_sq"] - noise["mean_sq"]) / 3))
    seed = max(0.0, (other.loc["C(seed)", "mean_sq"] - noise["mean_sq"]) / 2)
    assert found["target seed"]["sd"] == pytest.approx(math.sqrt(seed))
    assert found["target seed"]["p"] == pytest.approx(stats.f.sf(found["target seed"]["F"], 2, 2))
    assert found["both together, and noise"]["sd"] == pytest.approx(math.sqrt(noise["mean_sq"]))


def test_same_numbers_whatever_the_order_of_the_runs(pairs):
    main = runs(target=0.03, cell=0.015, noise=0.008)
    shuffled = main.sample(frac=1, random_state=0)
    pd.testing.assert_frame_equal(variance.variance(main, pairs), variance.variance(shuffled, pairs), check_exact=True)
