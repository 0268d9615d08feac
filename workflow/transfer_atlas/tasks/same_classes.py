"""Whether a training can go on with the head of the intermediate training before it: only with the same classes."""

from __future__ import annotations

from transfer_atlas import plan
from transfer_atlas.errors import UserError
from transfer_atlas.plan import Cell
from transfer_atlas.settings import Settings
from transfer_atlas.tasks.description import class_names


def check_kept_head(settings: Settings, cell: Cell) -> None:
    """Compare the classes of the cell's task with those of the intermediate task before it, both prepared.

    Raises:
        UserError: They differ, or their order does.
    """
    assert cell.before is not None, f"{cell.name} starts with a new head"
    first = settings.intermediates[cell.before].task
    names, own = (class_names(plan.task_folder(task)) for task in (first, cell.task))
    if names != own:
        raise UserError(
            f"intermediates.{cell.before}.head: keep needs the same classes in the same order; {first} has "
            f"{_told(names)} and {cell.task} has {_told(own)}; name them alike with tasks.<name>.labels, or use drop"
        )


def _told(classes: list[str] | None) -> str:
    return "none" if classes is None else ", ".join(classes)
