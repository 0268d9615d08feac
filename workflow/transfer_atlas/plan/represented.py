"""The states whose representations a plan may ask for."""

from __future__ import annotations

from transfer_atlas.plan.cells import Plan, State
from transfer_atlas.plan.scored import scored_states
from transfer_atlas.plan.states import diagnosed_states, states_of
from transfer_atlas.settings import Settings


def states(settings: Settings, selected: Plan, model: str, task: str) -> list[State]:
    """The states of a model on a task that runs start from, whose layers are diagnosed, or that are scored."""
    cells = [cell for cell in selected.cells.values() if (cell.model, cell.task) == (model, task)]
    started = [state for cell in cells for state in states_of(settings, cell)]
    others = [*diagnosed_states(settings), *scored_states(settings)]
    return list(dict.fromkeys([*started, *(s for s in others if (s.model, s.task) == (model, task))]))
