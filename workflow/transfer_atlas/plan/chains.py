"""Intermediate entries in a row: what is trained before and after each, and how many updates they take."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

from transfer_atlas.plan.cells import Plan
from transfer_atlas.settings import Settings
from transfer_atlas.updates import total_steps


@dataclass(frozen=True)
class Decontaminated:
    """What is left of an intermediate task.

    Attributes:
        digest: Of the rows left out; None where none was.
        train_rows: Training rows that are left.
    """

    digest: str | None
    train_rows: int


def chain_of(settings: Settings, intermediate: str) -> list[str]:
    """The entries trained one after the other up to this one, itself last."""
    chain = [intermediate]
    while (before := settings.intermediates[chain[0]].after) is not None:
        chain.insert(0, before)
    return chain


def intermediates_of(settings: Settings, selected: Plan) -> list[str]:
    """Every intermediate entry that the plan trains, or counts the updates of, in the configuration's order."""
    last = {name for cell in selected.cells.values() if (name := cell.entry)}
    last |= {name for entry in settings.transferability for name in entry.intermediates}
    used = {entry for name in last for entry in chain_of(settings, name)}
    return [name for name in settings.intermediates if name in used]


def later_tasks(settings: Settings, selected: Plan, intermediate: str) -> list[str]:
    """Every task that the plan trains on, or scores, after an intermediate entry: its texts must not be seen there."""
    found: set[str] = set()
    pairs = {(name, cell.task) for cell in selected.cells.values() if (name := cell.entry)}
    for entry in settings.transferability:
        pairs |= set(product(entry.intermediates, entry.tasks))
    for name, target in pairs:
        chain = chain_of(settings, name)
        if intermediate in chain:
            links = chain[chain.index(intermediate) + 1 :]
            found |= {settings.intermediates[link].task for link in links} | {target}
    # A chain may come back to a task; its own texts are no leak.
    return sorted(found - {settings.intermediates[intermediate].task})


def updates_of(settings: Settings, intermediate: str, decontaminated: Callable[[str], Decontaminated]) -> int:
    """Updates of an intermediate training and of those before it."""
    steps = 0
    for name in chain_of(settings, intermediate):
        entry = settings.intermediates[name]
        rows = decontaminated(name).train_rows if entry.size == "all" else int(entry.size)
        steps += total_steps(rows, settings.recipes[entry.recipe])
    return steps
