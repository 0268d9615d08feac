"""What the gain of an intermediate task depends on, and how much of it is scatter.

Four analyses of the gains by seed, fine-tuning only, each recipe and each way with the intermediate head by itself:

- `mixed model`: gain ~ model + family + setting + log2 of the train examples, with random intercepts of targets, of
  pairs (intermediate and target task) and of cells (pair, model and size), by restricted maximum likelihood; what
  remains is the noise of seeds. Intervals and p are Student's t, with the degrees of freedom of what a factor varies
  over (the containment method): targets, pairs within them, or cells within these.
- `anova of cells`: type II on the cells' means over seeds, for the same factors, against the scatter of cells. It takes
  all cells for independent, so p is too small for what varies over targets or pairs; the mixed model's is not.
- `anova of seeds`: type II on the gains by seed for model, pair and size, what they do only together, and their noise:
  whether differences between what was run are more than seeds.
- `crossed seeds`: where target seeds were run after several seeds of the intermediate training each, how much of the
  score's scatter is due to either (two-way random effects, by the method of moments).

Differences of accuracy and of correlation are analysed together. What was run may not suffice for an analysis, or for a
factor of it: a row then says so in `note`, without numbers.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
import statsmodels.formula.api as formulas
from scipy import stats
from statsmodels.stats.anova import anova_lm

from transfer_atlas.analysis.columns import table
from transfer_atlas.analysis.evidence import POINTS
from transfer_atlas.analysis.intervals import CONFIDENCE
from transfer_atlas.analysis.samples import Row
from transfer_atlas.analysis.tables import whole
from transfer_atlas.analysis.transfer import arms
from transfer_atlas.analysis.transfer.effects import gains
from transfer_atlas.analysis.transfer.pairs import Pairs

SIZE = "log2 size"
FACTORS = ("model", "family", "setting", SIZE)
CELL = ["model", "pair", "n_train"]
# A component whose variance is a smaller share than this of all is 0 but for where the optimiser stopped.
NEGLIGIBLE = 1e-6
# What factors vary over, from the coarsest.
WITHIN = {"task": "target tasks", "pair": "pairs within their targets", "cell": "cells within their pairs"}


def variance(main: pd.DataFrame, pairs: Pairs) -> pd.DataFrame:
    """The four analyses, one row for each of their parts.

    Args:
        main: the runs, of `tables.main_scores`.
        pairs: what kind of transfer they make.

    Returns:
        `coefficient`, `low` and `high` are differences of gains in natural units (of `log2 size`: for each doubling of
        the target's train examples); `sd` is that of a component of the scatter.
    """
    measured = gains(main, pairs)
    measured = measured[measured["method"] == "finetune"]
    measured = measured.assign(
        pair=measured["intermediate"] + " " + measured["task"],
        # Optimisers stop early where everything is of the order of 0.01.
        gain=measured["gain"] * POINTS,
        **{SIZE: np.log2(measured["n_train"].to_numpy(dtype="float64"))},
    )
    rows: list[Row] = []
    for (recipe, head), group in measured.groupby(["recipe", "head"]):
        # The runs of size 2000 and of all 2000 examples are the same.
        by_seed = group.drop_duplicates([*CELL, "seed"]).dropna(subset="gain")
        parts = [*_mixed(by_seed), *_cells(by_seed), *_seeds(by_seed)]
        parts += _crossed(_tables(main, pairs, str(recipe), str(head)))
        rows += [{"recipe": recipe, "head": head, **part} for part in parts]
    return table("transfer_variance", rows)


def _mixed(by_seed: pd.DataFrame) -> Iterator[Row]:
    shared: Row = {"analysis": "mixed model", "observations": len(by_seed)}
    targets = by_seed["task"].nunique()
    kept, left_out = _estimable(by_seed, FACTORS)
    cells = by_seed.drop_duplicates(CELL)
    level_of, freedom = _freedom(cells, kept)
    if freedom["task"] < 1 or freedom["pair"] + freedom["cell"] < 1 or len(cells) == len(by_seed):
        yield {
            **shared,
            "note": f"not fitted: {len(cells)} cells of {targets} target tasks and their seeds are too few",
        }
        return
    named = by_seed.rename(columns={SIZE: "log2_size"})
    named["cell"] = named[CELL].astype("str").agg(" ".join, axis=1)
    components = {"between pairs": "pair", "between cells": "cell"}
    if named.groupby("task")["pair"].nunique().max() == 1:
        del components["between pairs"]
    if named.groupby("pair")["cell"].nunique().max() == 1:
        del components["between cells"]
    random = {column: f"0 + C({column})" for column in components.values()}
    model = formulas.mixedlm(_formula(kept), named, groups="task", re_formula="1", vc_formula=random or None)
    with warnings.catch_warnings():
        # Of components at 0, which the rows tell; and of failures, which `converged` does.
        warnings.simplefilter("ignore")
        try:
            # Those that climb along gradients get stuck where a component is 0.
            fitted = model.fit(reml=True, method=["powell", "nm"], xtol=1e-8, ftol=1e-10)
            converged = bool(fitted.converged) and bool(np.isfinite(fitted.bse_fe).all())
        except (np.linalg.LinAlgError, ValueError):
            converged = False
    if not converged:
        yield {**shared, "note": "not fitted: the optimiser did not converge"}
        return
    for term, coefficient in fitted.fe_params.items():
        factor, part = _term(str(term), named)
        level = "task" if factor is None else level_of[factor]
        df = freedom[level]
        if df < 1:
            known = {"coefficient": coefficient / POINTS, "df": df}
            yield {**shared, "part": part, **known, "note": f"no interval: too few {WITHIN[level]}"}
            continue
        error = float(fitted.bse_fe[term])
        half = float(stats.t.ppf(0.5 + CONFIDENCE / 2, df)) * error
        ends = {"low": (coefficient - half) / POINTS, "high": (coefficient + half) / POINTS}
        p = float(2 * stats.t.sf(abs(coefficient) / error, df))
        yield {**shared, "part": part, "coefficient": coefficient / POINTS, **ends, "df": df, "p": p}
    yield from ({**shared, "part": factor, "note": note} for factor, note in left_out.items())
    variances = dict(zip(fitted.model.exog_vc.names, np.atleast_1d(fitted.vcomp), strict=True))
    found = {"between targets": float(fitted.cov_re.iloc[0, 0])}
    found |= {name: float(variances[column]) for name, column in components.items()}
    found["seed noise"] = float(fitted.scale)
    for name in ("between targets", "between pairs", "between cells", "seed noise"):
        if name not in found:
            each = "target" if name == "between pairs" else "pair"
            yield {**shared, "part": name, "note": f"not told apart: there is one for each {each}"}
            continue
        at_zero = found[name] < NEGLIGIBLE * sum(found.values())
        sd = 0.0 if at_zero else math.sqrt(found[name]) / POINTS
        yield {**shared, "part": name, "sd": sd, "note": "none beyond the other scatter" if at_zero else None}


def _freedom(cells: pd.DataFrame, factors: Sequence[str]) -> tuple[dict[str, str], dict[str, int]]:
    """The coarsest of targets, pairs and cells that each factor varies over, and the degrees of freedom of all three.

    Those of a level are what its levels above and the factors that vary over them or it leave of it.
    """
    level_of: dict[str, str] = {}
    freedom: dict[str, int] = {}
    for level, above in (("task", []), ("pair", ["task"]), ("cell", ["pair"])):
        rows = cells if level == "cell" else cells.drop_duplicates(level)
        for factor in factors:
            if level == "cell" or cells.groupby(level)[factor].nunique().max() == 1:
                level_of.setdefault(factor, level)
        freedom[level] = len(rows) - _rank(rows, [*above, *level_of])
    return level_of, freedom


def _cells(by_seed: pd.DataFrame) -> Iterator[Row]:
    keys = [*CELL, "family", "setting", SIZE]
    means = by_seed.groupby(keys)[["gain"]].mean().reset_index()
    shared: Row = {"analysis": "anova of cells", "observations": len(means)}
    kept, left_out = _estimable(means, FACTORS)
    if not kept or len(means) <= _rank(means, kept):
        yield {**shared, "note": f"not made: {len(means)} cells are too few for the factors"}
        return
    for name, row in _type_two(means, kept).iterrows():
        spread = {"df": row["df"], "sum_sq": row["sum_sq"] / POINTS**2}
        part = "residual" if name == "Residual" else str(name)
        yield {**shared, "part": part, **spread, "F": row["F"], "p": row["PR(>F)"]}
    yield from ({**shared, "part": factor, "note": note} for factor, note in left_out.items())


def _seeds(by_seed: pd.DataFrame) -> Iterator[Row]:
    shared: Row = {"analysis": "anova of seeds", "observations": len(by_seed)}
    cells = by_seed.groupby(CELL)["gain"]
    noise, noise_df = float(((by_seed["gain"] - cells.transform("mean")) ** 2).sum()), len(by_seed) - cells.ngroups
    kept, left_out = _estimable(by_seed, ("model", "pair", "size"))
    if not kept or noise_df == 0 or noise == 0:
        yield {**shared, "note": "not made: several cells with several seeds each are too few, or have no noise"}
        return
    found = _type_two(by_seed, kept)
    parts = {str(name): (float(row["sum_sq"]), int(row["df"])) for name, row in found.iterrows()}
    residual, residual_df = parts.pop("Residual")
    if (together := residual_df - noise_df) > 0:
        parts["interactions"] = (residual - noise, together)
    for name, (sum_sq, df) in parts.items():
        ratio = (sum_sq / df) / (noise / noise_df)
        p = float(stats.f.sf(ratio, df, noise_df))
        yield {**shared, "part": name, "df": df, "sum_sq": sum_sq / POINTS**2, "F": ratio, "p": p}
    yield {
        **shared,
        "part": "seed noise",
        "sd": math.sqrt(noise / noise_df) / POINTS,
        "df": noise_df,
        "sum_sq": noise / POINTS**2,
    }
    yield from ({**shared, "part": factor, "note": note} for factor, note in left_out.items())


def _crossed(scores: Sequence[np.ndarray]) -> Iterator[Row]:
    """`scores`: [intermediate seeds, target seeds] of each cell that has several of both."""
    shared: Row = {"analysis": "crossed seeds", "observations": sum(cell.size for cell in scores)}
    if not scores:
        yield {**shared, "note": "not made: no intermediate task has a list of seeds, crossed with several of a target"}
        return
    sum_sq, dfs = np.zeros(3), np.zeros(3)
    # Scores behind each mean over one of the two seeds, weighted by their degrees of freedom.
    behind = np.zeros(2)
    for cell in scores:
        starts, seeds = (cell.mean(axis=axis) - cell.mean() for axis in (1, 0))
        rest = cell - cell.mean() - starts[:, None] - seeds[None, :]
        df = np.array([len(starts) - 1, len(seeds) - 1, (len(starts) - 1) * (len(seeds) - 1)])
        sum_sq += [len(seeds) * (starts**2).sum(), len(starts) * (seeds**2).sum(), (rest**2).sum()]
        dfs += df
        behind += df[:2] * [len(seeds), len(starts)]
    mean_sq = sum_sq / dfs
    for i, part in enumerate(("intermediate seed", "target seed")):
        component = max(0.0, mean_sq[i] - mean_sq[2]) / (behind[i] / dfs[i])
        ratio = mean_sq[i] / mean_sq[2] if mean_sq[2] else math.nan
        p = float(stats.f.sf(ratio, dfs[i], dfs[2]))
        spread = {"sd": math.sqrt(component), "df": dfs[i], "sum_sq": sum_sq[i]}
        yield {**shared, "part": part, **spread, "F": ratio, "p": p}
    spread = {"sd": math.sqrt(mean_sq[2]), "df": dfs[2], "sum_sq": sum_sq[2]}
    yield {**shared, "part": "both together, and noise", **spread}


def _tables(main: pd.DataFrame, pairs: Pairs, recipe: str, head: str) -> list[np.ndarray]:
    """Scores after an intermediate task, [intermediate seeds, target seeds], of cells that have several of both."""
    runs = whole(main)
    runs = runs[arms.transferred(runs) & ~arms.zero_shot(runs) & (runs["recipe"] == recipe)]
    runs = runs[[pairs.head(name, "finetune") == head for name in runs["intermediate"]]]
    found = []
    for _, cell in runs.groupby(["model", "intermediate", "task", "n_train"]):
        # Size 2000 and all of 2000 examples are the same runs.
        cell = cell.drop_duplicates(["intermediate_seed", "seed"])
        scores = cell.pivot(index="intermediate_seed", columns="seed", values="value").to_numpy(dtype="float64")
        if min(scores.shape) > 1 and np.isfinite(scores).all():
            found.append(scores)
    return found


def _estimable(rows: pd.DataFrame, factors: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """The factors whose effects can be told, in order, and why the others cannot."""
    kept: list[str] = []
    left_out: dict[str, str] = {}
    for factor in factors:
        if rows[factor].nunique() < 2:
            left_out[factor] = "one value only"
        elif _rank(rows, [*kept, factor]) < _columns(rows, [*kept, factor]).shape[1]:
            left_out[factor] = f"not told apart from {', '.join(kept)}"
        else:
            kept.append(factor)
    return kept, left_out


def _columns(rows: pd.DataFrame, factors: Sequence[str]) -> np.ndarray:
    """The design [rows, coefficients] of an intercept and these factors."""
    columns = [np.ones(len(rows))]
    for factor in factors:
        values = rows[factor]
        if factor == SIZE:
            columns.append(values.to_numpy(dtype="float64"))
        else:
            columns += [(values == level).to_numpy(dtype="float64") for level in sorted(set(values))[1:]]
    return np.column_stack(columns)


def _rank(rows: pd.DataFrame, factors: Sequence[str]) -> int:
    return int(np.linalg.matrix_rank(_columns(rows, factors)))


def _formula(factors: Sequence[str]) -> str:
    terms = ["log2_size" if factor == SIZE else f"C({factor})" for factor in factors]
    return f"gain ~ {' + '.join(terms or ['1'])}"


def _type_two(rows: pd.DataFrame, factors: Sequence[str]) -> pd.DataFrame:
    """The table of a type II analysis of variance, its rows called as the factors are."""
    fitted = formulas.ols(_formula(factors), rows.rename(columns={SIZE: "log2_size"})).fit()
    names = dict(zip(_formula(factors).removeprefix("gain ~ ").split(" + "), factors, strict=True))
    return anova_lm(fitted, typ=2).rename(index=names)


def _term(name: str, rows: pd.DataFrame) -> tuple[str | None, str]:
    """The factor, and `setting: domain minus cross-lingual`, for statsmodels' `C(setting)[T.domain]`."""
    if not name.startswith("C("):
        return (None, "intercept") if name == "Intercept" else (SIZE, SIZE)
    factor, _, level = name.removeprefix("C(").removesuffix("]").partition(")[T.")
    return factor, f"{factor}: {level} minus {min(rows[factor])}"
