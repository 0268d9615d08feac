"""`transfer_atlas store`: list, verify and clear finished runs.

The store is a second truth beside Snakemake's files, so it must be easy to question.
"""

from __future__ import annotations

import tempfile
from argparse import Namespace
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from transfer_atlas import atomic, plan, study
from transfer_atlas.errors import UserError
from transfer_atlas.plan import Bundle, Cell, Run
from transfer_atlas.settings import Settings
from transfer_atlas.training.store import PREDICTIONS, RESULT, Store


def _runs(settings: Settings) -> dict[str, tuple[Cell, Run]]:
    """Digest to cell and run, for all runs that the settings ask for."""
    found: dict[str, tuple[Cell, Run]] = {}
    for known in study.known_runs(settings, plan.expand(settings), Store(plan.STORE)):
        if known.digest is not None:
            found.setdefault(known.digest, (known.cell, known.run))
    return found


def _selected(store: Store, asked: dict[str, tuple[Cell, Run]], arguments: Namespace) -> list[str]:
    chosen = []
    for digest in store.digests():
        cell = asked[digest][0] if digest in asked else None
        if arguments.unused and cell is not None:
            continue
        if arguments.task and (cell is None or cell.task != arguments.task):
            continue
        if arguments.model and (cell is None or cell.model != arguments.model):
            continue
        chosen.append(digest)
    return chosen


def _name(asked: tuple[Cell, Run] | None) -> str:
    return "not asked for by the current settings" if asked is None else plan.title_of(*asked)


def _line(digest: str, result: dict[str, Any] | None, asked: tuple[Cell, Run] | None) -> str:
    state = "unfinished" if result is None else f"{result['facts']['seconds']:.1f} s"
    return f"{digest[:12]}  {state:>10}  {_name(asked)}"


def run(settings: Settings, arguments: Namespace) -> None:
    """Do what was asked on the command line.

    Raises:
        UserError: `verify` found a run that cannot be trusted.
    """
    store, asked = Store(plan.STORE), _runs(settings)
    chosen = _selected(store, asked, arguments)
    if arguments.action == "list":
        for digest in chosen:
            print(_line(digest, store.peek(digest), asked.get(digest)))
        print(f"{len(chosen)} runs")
    elif arguments.action == "clear":
        for digest in chosen:
            if arguments.yes:
                store.remove(digest)
        print(f"{len(chosen)} runs " + ("removed" if arguments.yes else "would be removed; add --yes to do it"))
    else:
        _verify(settings, store, asked, chosen, arguments.sample, arguments.seed)


def _verify(
    settings: Settings, store: Store, asked: dict[str, tuple[Cell, Run]], chosen: list[str], sample: int, seed: int
) -> None:
    finished = [digest for digest in chosen if store.peek(digest) is not None]
    bad = [digest for digest in finished if store.finished(digest) is None]
    for digest in bad:
        print(f"{store.folder(digest)}: digest or checksum does not match; it will be trained again when asked for")
    print(f"checksums: {len(finished) - len(bad)} of {len(finished)} finished runs are sound")
    again = [digest for digest in finished if digest in asked and digest not in bad]
    order = np.random.Generator(np.random.PCG64(seed)).permutation(len(again))[:sample]
    differing = 0
    for position in order:
        digest = again[position]
        same = _same_again(settings, store, digest, *asked[digest])
        differing += not same
        print(f"{digest[:12]} recomputed: {'equal' if same else 'DIFFERENT'}  {_name(asked[digest])}")
    if bad or differing:
        raise UserError(f"{plan.STORE}: {len(bad)} damaged and {differing} different runs; `store clear` forgets them")


def _same_again(settings: Settings, store: Store, digest: str, cell: Cell, run: Run) -> bool:
    """Train the run anew in a store of its own and compare bytes of the predictions and all values."""
    from transfer_atlas.steps import train, train_heads, train_sequence_heads
    from transfer_atlas.training.cell import Job

    step = train.train
    if settings.recipes[cell.recipe].method == "extract":
        step = train_sequence_heads.train if plan.layout(settings, cell).pooled is None else train_heads.train
    with tempfile.TemporaryDirectory(dir=plan.RESULTS) as scratch:
        fresh = Store(Path(scratch))
        step(Job(settings, Bundle(cell.name, (replace(cell, runs=(run,)),)), study.sources(), fresh))
        old, new = (atomic.read_json(s.folder(digest) / RESULT) for s in (store, fresh))
        # Predictions bit by bit, and every score; measured time and memory may differ.
        predictions = [(s.folder(digest) / PREDICTIONS).read_bytes() for s in (store, fresh)]
        return bool(predictions[0] == predictions[1] and old["values"] == new["values"])
