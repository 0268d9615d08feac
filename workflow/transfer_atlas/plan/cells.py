"""What is planned: runs, the cells that they make up, the jobs that do them, and the states that runs start from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

NONE = "none"
# No entry of a configuration can be called so.
_CONTROL = f"{NONE}~"


def control_of(intermediate: str) -> str:
    """What stands for an intermediate entry where its updates are spent on the target task itself."""
    return _CONTROL + intermediate


SPLITS = ("train", "validation", "test")


@dataclass(frozen=True, order=True)
class Run:
    """One training: where a surgery acts, or which layer is probed (None where neither is asked for), and the seed.

    `start` is the seed of the intermediate training that it starts from; None where it starts from the pretrained
    encoder.
    """

    depth: int | None
    seed: int
    start: int | None = None


@dataclass(frozen=True)
class Cell:
    """All runs that differ only in seeds and surgery depth.

    `intermediate` is the entry trained before, `none`, or the `control_of` an entry. `trains` is set for intermediate
    training only: the entry that this is the training of, some of whose rows are left out. `candidate` is set
    where one of the recipe's candidates is trained (`candidates.py`): a trial, or runs whose search has ended. `kept`
    are the seeds whose trained weights another step needs.
    """

    model: str
    intermediate: str
    task: str
    recipe: str
    surgery: str
    size: int | Literal["all"]
    runs: tuple[Run, ...] = ()
    trains: str | None = None
    candidate: int | None = None
    kept: tuple[int, ...] = ()

    @property
    def before(self) -> str | None:
        """The intermediate entry whose training the runs start from; None for the pretrained encoder."""
        return None if self.intermediate == NONE or self.budget_of else self.intermediate

    @property
    def entry(self) -> str | None:
        """The intermediate entry that the runs start from or are the control of."""
        return self.before or self.budget_of

    @property
    def budget_of(self) -> str | None:
        """The intermediate entry whose updates the runs spend on their own task instead."""
        _, control, entry = self.intermediate.partition(_CONTROL)
        return entry if control else None

    @property
    def name(self) -> str:
        """What tells the cell from others."""
        # No recipe of a configuration can be called so.
        recipe = self.recipe if self.candidate is None else f"{self.recipe}~{self.candidate}"
        return f"{self.model}/{self.intermediate}/{self.task}/{recipe}/{self.surgery}/n{self.size}"


@dataclass(frozen=True)
class Bundle:
    """Cells that one job does and one table holds.

    A cell is a bundle of its own, but all feature-extraction cells whose heads read the same pooled representations
    (same model, intermediate task, task and layout) are one: starting a process takes longer than training such heads.
    """

    name: str
    cells: tuple[Cell, ...]

    @property
    def runs(self) -> list[tuple[Cell, Run]]:
        """The runs of all cells, in order."""
        return [(cell, run) for cell in self.cells for run in cell.runs]


@dataclass(frozen=True)
class Plan:
    """Everything that a configuration asks for."""

    cells: dict[str, Cell] = field(default_factory=dict)

    @property
    def tasks(self) -> list[str]:
        """Target tasks, in order of name."""
        return sorted({cell.task for cell in self.cells.values()})

    @property
    def runs(self) -> int:
        """Number of (cell, depth, seed)."""
        return sum(len(cell.runs) for cell in self.cells.values())


@dataclass(frozen=True, order=True)
class State:
    """A model state that representations are taken of: pretrained, after an intermediate task, or after fine-tuning.

    `task` is the task whose examples it reads; an intermediate training is the same for all of them. `recipe` and
    `size` are set for a state after fine-tuning on the task itself.
    """

    model: str
    intermediate: str
    task: str
    seed: int | None
    recipe: str | None = None
    size: int | Literal["all"] | None = None

    @property
    def name(self) -> str:
        """`pretrained`, intermediate task and seed, or recipe, size and seed."""
        if self.recipe is not None:
            return f"{self.recipe}~n{self.size}~seed{self.seed}"
        return "pretrained" if self.intermediate == NONE else f"{self.intermediate}.seed{self.seed}"

    @property
    def is_pretrained(self) -> bool:
        """Whether nothing was trained yet."""
        return self.intermediate == NONE and self.recipe is None

    @staticmethod
    def parse(model: str, name: str, task: str) -> State:
        """The state that is called `name` for this model and task."""
        if name == "pretrained":
            return State(model, NONE, task, None)
        if "~" in name:
            recipe, size, seed = name.split("~")
            examples = size.removeprefix("n")
            return State(
                model, NONE, task, int(seed.removeprefix("seed")), recipe, "all" if examples == "all" else int(examples)
            )
        intermediate, seed = name.rsplit(".seed", 1)
        return State(model, intermediate, task, int(seed))


def title_of(cell: Cell, run: Run) -> str:
    """How logs name a run."""
    depth = "" if run.depth is None else f" depth={run.depth}"
    start = "" if run.start in (None, run.seed) else f" start={run.start}"
    return f"{cell.name}{depth} seed={run.seed}{start}"


def keeps_weights(cell: Cell, run: Run) -> bool:
    """Whether another step needs the weights of a run."""
    return cell.trains is not None or run.seed in cell.kept
