"""A task as training reads it: its splits, laid out for a model and a head."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from transfer_atlas import atomic, plan
from transfer_atlas.layout import Layout, layout_of
from transfer_atlas.models.elmo.pretrained import PretrainedElmo
from transfer_atlas.models.encoder import Pretrained
from transfer_atlas.plan import Cell
from transfer_atlas.settings import Settings, Task
from transfer_atlas.tasks.description import class_names
from transfer_atlas.tasks.examples import Examples
from transfer_atlas.tasks.storage import read_split
from transfer_atlas.training.unit_examples import UnitExamples, units_of


def length_line(split: str, examples: UnitExamples, max_length: int) -> str:
    """What a log says of the lengths of a split."""
    inputs = examples.inputs.lengths
    return (
        f"{split}: {len(inputs)} texts, {inputs.float().mean():.1f} tokens on average, "
        f"{examples.truncated} truncated at {max_length}"
    )


@dataclass(frozen=True)
class TaskData:
    """A task as fine-tuning needs it, read and tokenised once for all runs of a cell.

    Attributes:
        names: Of the classes, in order; None for regression.
        splits: The prepared examples, and `units` the same as the model reads them.
        left_out: Training rows that were left out (`tasks.decontamination`).
    """

    task: Task
    names: Sequence[str] | None
    layout: Layout
    splits: dict[str, Examples]
    units: dict[str, UnitExamples]
    left_out: int

    @property
    def labelling(self) -> bool:
        """Whether words are labelled, rather than texts."""
        return self.task.type == "token_labelling"

    @staticmethod
    def of(
        task: Task,
        names: Sequence[str] | None,
        splits: dict[str, Examples],
        model: Pretrained | PretrainedElmo,
        layout: Layout,
        left_out: int = 0,
    ) -> TaskData:
        """Tokenise all splits, and say how long the texts are."""
        units = {split: units_of(model, examples, layout, task.max_length) for split, examples in splits.items()}
        for split, examples in units.items():
            print(length_line(split, examples, task.max_length), flush=True)
        return TaskData(task, names, layout, splits, units, left_out)

    @staticmethod
    def of_cell(settings: Settings, cell: Cell, model: Pretrained | PretrainedElmo) -> TaskData:
        """Read a cell's task; of an intermediate task only the rows that later tasks are not scored on."""
        splits = {split: read_split(plan.task_folder(cell.task), split) for split in plan.SPLITS}
        left_out = 0
        if cell.trains is not None:
            for split, ids in atomic.read_json(plan.left_out_file(cell.trains))["left_out"].items():
                splits[split] = splits[split].without(set(ids))
                print(
                    f"{len(ids)} {split} rows of {cell.task} hold an evaluation text of a later task and are left out"
                )
                left_out = len(ids) if split == "train" else left_out
        task = settings.tasks[cell.task]
        layout = layout_of(task, settings.models[cell.model], settings.recipes[cell.recipe])
        return TaskData.of(task, class_names(plan.task_folder(cell.task)), splits, model, layout, left_out)
