"""From cells to tables: every declared run, checked, then everything drawn from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from transfer_atlas import atomic
from transfer_atlas.analysis import (
    ablations,
    diagnostics,
    findings,
    guidelines,
    intermediate_training,
    mohapatra2022,
    mohapatra2022_page,
    peters2019,
    peters2019_page,
    search,
    tables,
    tamkin2020_page,
    transfer_prediction,
)
from transfer_atlas.analysis.claims import claim
from transfer_atlas.analysis.claims import mohapatra2022 as mohapatra2022_claims
from transfer_atlas.analysis.claims import peters2019 as peters2019_claims
from transfer_atlas.analysis.claims import tamkin2020 as tamkin2020_claims
from transfer_atlas.analysis.constant_answers import Counts
from transfer_atlas.analysis.evidence import Evidence
from transfer_atlas.analysis.layer_evidence import LayerEvidence
from transfer_atlas.analysis.published import user
from transfer_atlas.analysis.runs import Declared, collect
from transfer_atlas.analysis.transfer import decontamination, effects, signs, variance
from transfer_atlas.analysis.transfer.pairs import Pairs
from transfer_atlas.analysis.transfer_evidence import TransferEvidence
from transfer_atlas.plan import State
from transfer_atlas.settings import Intermediate, Model, Recipe, Surgery, Task


@dataclass(frozen=True)
class Entries:
    """The entries of the configuration that say what was run, and how they are called."""

    models: Mapping[str, Model]
    tasks: Mapping[str, Task]
    recipes: Mapping[str, Recipe]
    surgeries: Mapping[str, Surgery]
    labels: Mapping[str, str]
    """Names to show, by name of the entry; entries without one show their own name."""
    label_counts: Mapping[str, Mapping[str, Counts]] = field(default_factory=dict)
    """How often each label occurs, by task and split, from the tasks' statistics."""
    intermediates: Mapping[str, Intermediate] = field(default_factory=dict)


@dataclass(frozen=True)
class Side:
    """Files of what is made beside the runs."""

    searches: Sequence[Path] = ()
    """Trials by which hyper-parameters were chosen."""
    diagnostics: Sequence[Path] = ()
    """What each layer knows before and after fine-tuning (`steps.probe_layers`)."""
    domains: Path | None = None
    """Gains by group of a task, with the group's divergence from a reference corpus (`steps.compare_domains`)."""
    decontaminations: Mapping[str, Path] = field(default_factory=dict)
    """Rows that each intermediate task had to leave out (`steps.decontaminate`)."""
    transferability: Sequence[Path] = ()
    """Scores of states before any training on the target (`steps.score_transferability`)."""
    published: Mapping[str, Path] = field(default_factory=dict)
    """A user's copy of a paper's numbers, by paper, where these are not known to us."""


def run(
    files: Mapping[Path, Declared],
    trainings: Sequence[tuple[State, Path]],
    entries: Entries,
    output: Path,
    side: Side = Side(),
) -> None:
    """Write all tables and the findings into the folder `output`.

    Args:
        files: for each file of results/cells the cells and runs that it must hold.
        trainings: each state after an intermediate task, and the file that says how its training went.
        entries: the configuration's entries.
        output: the folder; its other files are left alone.
        side: files of what is made beside the runs.

    Raises:
        UserError: a declared run is missing or incomplete, or a file of published numbers is not as it should be.
    """
    runs = collect(files)
    main = tables.main_scores(runs, entries.tasks)
    layers = {name: model.layers for name, model in entries.models.items()}
    made = {
        "scores": tables.scores(runs, entries.tasks),
        "finetune_vs_extract": tables.finetune_vs_extract(main),
        **_transfer(main, entries, side),
        "costs": tables.costs(runs),
        **ablations.tables(main, entries.surgeries, layers),
    }
    found = findings.find(made, entries.labels)
    tables.write_runs(runs, output / "runs.csv")
    made["intermediate_training"] = intermediate_training.collect(trainings, entries.intermediates)
    made["search"] = search.collect(side.searches)
    evidence = Evidence.of(runs, entries.models, entries.tasks, entries.recipes, entries.label_counts)
    layered = LayerEvidence.of(runs, evidence, entries.surgeries)
    transfer = TransferEvidence.of(runs, evidence, entries.intermediates)
    printed = [number for path in side.published.values() for number in user.read(path)]
    made |= _papers(evidence, layered, transfer, printed, side)
    for name, table in made.items():
        tables.write(table, output / f"{name}.csv")
        print(f"{name}: {len(table)} rows", flush=True)
    page = peters2019_page.page(made["peters2019"], made["peters2019_analyses"], made["claims"], entries.labels)
    atomic.write_text(output / "peters2019.md", page)
    atomic.write_text(output / "tamkin2020.md", tamkin2020_page.page(made, entries.labels))
    beside = mohapatra2022.beside_published(transfer, printed)
    atomic.write_text(output / "mohapatra2022.md", mohapatra2022_page.page(made, entries.labels, beside))
    atomic.write_text(output / "guidelines.md", guidelines.page(made["guidelines"], entries.labels))
    atomic.write_json(output / "findings.json", found.data)
    atomic.write_text(output / "findings.txt", "".join(f"{line}\n" for line in found.lines))
    print("\n".join(found.lines), flush=True)


def _transfer(main: pd.DataFrame, entries: Entries, side: Side) -> dict[str, pd.DataFrame]:
    """What intermediate tasks change, and whether that can be known before."""
    pairs = Pairs(entries.tasks, entries.intermediates)
    changed = effects.intermediate(main, pairs)
    scored = transfer_prediction.collect(side.transferability)
    return {
        "intermediate": changed,
        "zero_shot": effects.zero_shot(main, pairs, entries.label_counts),
        "transfer_signs": signs.signs(changed),
        "transfer_variance": variance.variance(main, pairs),
        "transferability": scored,
        "transfer_prediction": transfer_prediction.predict(scored, changed),
        "decontamination": decontamination.collect(side.decontaminations),
    }


def _papers(
    evidence: Evidence,
    layered: LayerEvidence,
    transfer: TransferEvidence,
    printed: Sequence[user.PrintedGain],
    side: Side,
) -> dict[str, pd.DataFrame]:
    """The papers' tables, claims and guidelines."""
    probed = diagnostics.collect(side.diagnostics)
    genres = None if side.domains is None else tables.read(side.domains)
    claims = peters2019_claims.claims(evidence, genres, probed)
    every = [*claims, *tamkin2020_claims.claims(layered), *mohapatra2022_claims.claims(transfer, printed)]
    return {
        "diagnostics": probed,
        "peters2019": peters2019.table2(evidence),
        "peters2019_analyses": peters2019.analyses(evidence, genres),
        "claims": claim.table(every),
        "guidelines": guidelines.table(evidence, claims),
    }
