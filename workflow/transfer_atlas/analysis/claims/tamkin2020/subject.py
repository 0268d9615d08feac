"""Who plays the paper's encoder, tasks and train sizes, and with which surgery: what every claim asks for."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from transfer_atlas.analysis.ablations.selection import differing
from transfer_atlas.analysis.claims.claim import Bound, Claim
from transfer_atlas.analysis.claims.comparisons import with_published
from transfer_atlas.analysis.evidence import Arm, Evidence
from transfer_atlas.analysis.layer_evidence import PROGRESSIVE, Curve, LayerEvidence, Place
from transfer_atlas.analysis.published import Published, find
from transfer_atlas.settings import Surgery

PAPER = "tamkin2020"
BERT = "BERT-base"
SST2, QNLI, COLA = "SST-2", "QNLI", "CoLA"
TASKS = (SST2, QNLI, COLA)
LAYERS, WIDTH = 12, 3
OURS = "ours, set from the authors' preliminary plots"
AUTHORS = Surgery(kind="progressive", init="authors_code", biases="keep", layer_norm="reset")


class Size(Enum):
    """The paper's train sizes. ONLY is 5,000 too, of what it tried at no other size: any size may play it."""

    SMALL = "small"
    MIDDLE = "middle"
    LARGE = "large"
    ONLY = "only"

    def played_by(self, sizes: Collection[int], all_of: int | None) -> int | None:
        """The size (examples) that plays this one, if any does.

        SMALL is 500, else the smallest that was run, up to 1,000. MIDDLE is 5,000, else the largest of 1,000 to 20,000
        that plays no other part, else the one that plays LARGE. LARGE is 50,000, else the whole train set from 8,000.
        ONLY is 5,000, else the size that is nearest by its ratio to that.
        """
        small = 500 if 500 in sizes else min((n for n in sizes if n <= 1_000), default=None)
        large = all_of if all_of in sizes and all_of is not None and all_of >= 8_000 else None
        large = 50_000 if 50_000 in sizes else large
        between = [n for n in sizes if 1_000 <= n <= 20_000 and n != small]
        middle = 5_000 if 5_000 in sizes else max([n for n in between if n != large] or between, default=None)
        only = min(sizes, key=lambda n: (max(n / 5_000, 5_000 / n), n), default=None)
        return {Size.SMALL: small, Size.MIDDLE: middle, Size.LARGE: large, Size.ONLY: only}[self]

    def of(self, paper_task: str) -> int:
        """Examples in the paper: CoLA has no 50,000, its largest size is all of it."""
        large = 8_551 if paper_task == COLA else 50_000
        return {Size.SMALL: 500, Size.MIDDLE: 5_000, Size.LARGE: large, Size.ONLY: 5_000}[self]


PLOTS = {
    (SST2, Size.SMALL): ("zap-n-tune plots", "500"),
    (SST2, Size.MIDDLE): ("zap-n-tune plots", "5000"),
    (SST2, Size.LARGE): ("zap-n-tune plots", "50000"),
    (QNLI, Size.MIDDLE): ("zap-n-tune plots", "5000"),
    (COLA, Size.MIDDLE): ("zap-n-tune plots", "5000"),
    (COLA, Size.LARGE): ("re-init plots", "full"),
}
"""Where the authors' preliminary curve of a task and train size is, as plots and group of the published numbers."""
NOT_RESET = "the authors' preliminary runs did not reset LayerNorms (inferred)"
"""What the published numbers' `source` says of all these plots."""


def printed(paper_task: str, size: Size, kept: int, variant: str = "") -> Published | None:
    """The authors' preliminary score with so many layers kept."""
    plots, group = PLOTS.get((paper_task, size), ("", ""))
    return find(PAPER, plots, BERT, paper_task, f"k={kept}{variant}", group)


@dataclass(frozen=True)
class Subject:
    """A model that plays the paper's, and the progressive surgery that it is judged by; None: nobody, nothing."""

    known: LayerEvidence
    model: str | None
    progressive: str | None

    @staticmethod
    def of(known: LayerEvidence, model: str | None) -> Subject:
        """The model, judged by the authors' surgery if that was run, else by the first at the usual learning rate."""
        if model is None:
            return Subject(known, None, None)
        usual = [name for name in progressive(known, model) if known.surgeries[name].rate_factor == 1]
        authors = [name for name in usual if differing(known.surgeries[name], AUTHORS) == []]
        return Subject(known, model, next(iter(authors + usual), None))

    @property
    def evidence(self) -> Evidence:
        """What is known of untouched encoders."""
        return self.known.evidence

    @property
    def layers(self) -> int:
        """Layers of the model; the paper's if nobody plays it."""
        return LAYERS if self.model is None else self.evidence.models[self.model].layers

    def depth(self, kept: int) -> int:
        """As large a share of the model's layers as this is of the paper's 12."""
        return round(kept * self.layers / LAYERS)

    def run_with(self, kind: str) -> str | None:
        """The surgery of a kind that is judged: of the same scheme as the progressive one and of width 3 if it can be.

        The scheme is what new weights, biases, LayerNorms and learning rate are like.
        """
        names = [] if self.model is None else self.known.run_with(self.model)
        entries = {name: self.known.surgeries[name] for name in names if self.known.surgeries[name].kind == kind}
        like = self.known.surgeries[self.progressive] if self.progressive else AUTHORS
        return min(
            entries, key=lambda name: (differing(entries[name], like) != [], entries[name].width != WIDTH), default=None
        )

    def claim(
        self, name: str, statement: str, threshold: str, surgery: str | None, kept: Sequence[int] = (), note: str = ""
    ) -> Claim:
        """A claim about the model, not run so far, with notes on what differs from the paper.

        Args:
            surgery: the entry that it is judged by.
            kept: depths of the paper's 12 layers that it asks for.
        """
        models = () if self.model is None else (self.model,)
        claim = Claim(name, PAPER, statement, "not run", threshold, models=models, note=note)
        claim = replace(claim, stand_ins=tuple(self.evidence.stand_ins(models, [])))
        if surgery is not None and (told := unlike_authors(surgery, self.known.surgeries[surgery])):
            claim = claim.noted(told)
        moved = [f"{k} is {self.depth(k)}" for k in kept if self.depth(k) != k]
        return claim.noted(f"of {self.layers} layers instead of {LAYERS}, k = {', '.join(moved)}") if moved else claim

    def entries(self, paper_task: str) -> list[str]:
        """Tasks that play the paper's."""
        return [name for name, entry in self.evidence.tasks.items() if entry.paper_name == paper_task]

    def stage(self, task: str, paper_task: str, size: Size, *surgeries: str) -> Stage | None:
        """Where all these surgeries were run at the train size that plays the paper's; None if nowhere."""
        if self.model is None:
            return None
        sizes = self.known.sizes(self.model, task, *surgeries)
        n_train = size.played_by(sizes, self.known.all_of.get((self.model, task)))
        place = None if n_train is None else self.known.place(self.model, task, n_train, *surgeries)
        return None if place is None else Stage(self, paper_task, size, place, surgeries)


@dataclass(frozen=True)
class Stage:
    """A place that plays the paper's task at one of its train sizes."""

    subject: Subject
    paper_task: str
    size: Size
    place: Place
    surgeries: tuple[str, ...]

    @property
    def curves(self) -> list[Curve]:
        """Scores by depth of each surgery."""
        return [self.subject.known.curve(self.place, surgery) for surgery in self.surgeries]

    @property
    def curve(self) -> Curve:
        """Scores by depth of the only, or first, surgery."""
        return self.curves[0]

    @property
    def full(self) -> Arm | None:
        """The untouched encoder."""
        return self.subject.known.full(self.place)

    @property
    def probes(self) -> Curve | None:
        """Scores of the model's probes on this task, at their own train size."""
        return self.subject.known.probes(self.place.model, self.place.task)

    @property
    def note(self) -> str:
        """How its train size differs from the paper's."""
        wanted = self.size.of(self.paper_task)
        return "" if self.place.n_train == wanted else f"{self.place.n_train:,} train examples instead of {wanted:,}"


Judge = Callable[..., Claim]
"""From a part of a claim, not run so far, and its stages to the part judged; not run still where scores are missing."""


def part_of(
    claim: Claim,
    subject: Subject,
    paper_task: str,
    sizes: Sequence[Size],
    surgeries: Sequence[str | None],
    judge: Judge,
    bound: Bound | str,
    about: str = "",
    published: Published | None = None,
) -> list[Claim]:
    """A part about a task of the paper: on its own data if that was run, else on each that stands in for it.

    Args:
        sizes: train sizes of the stages that the judge is given.
        surgeries: all run at each stage; None is one that the grid lacks.
        about: what the part is about, beside task and sizes.
        published: the authors' number, shown where nothing was run; else the judge says whether it can be compared.
    """
    named = ", ".join([paper_task, " and ".join(f"{size.of(paper_task):,}" for size in sizes), *filter(None, [about])])
    bare = replace(claim, part=named, note="", bound=str(bound))
    wanted = [surgery for surgery in surgeries if surgery is not None]
    made: dict[str, Claim] = {}
    for task in subject.entries(paper_task) if len(wanted) == len(surgeries) else []:
        stages = [subject.stage(task, paper_task, size, *wanted) for size in sizes]
        if all(stages):
            notes = dict.fromkeys(stage.note for stage in stages if stage is not None and stage.note)
            made[task] = judge(replace(bare, note="; ".join(notes)), *stages)
    run = {task: part for task, part in made.items() if part.verdict != "not run"}
    chosen = {task: part for task, part in run.items() if not subject.evidence.tasks[task].stand_in} or run
    if not chosen:
        return [with_published(next(iter(made.values()), bare), published)]
    if any(subject.known.surgeries[name].layer_norm == "reset" for name in wanted):
        chosen = {task: part if part.published is None else part.noted(NOT_RESET) for task, part in chosen.items()}
    several = len(chosen) > 1
    return [replace(part, part=f"{named} ({task})") if several else part for task, part in chosen.items()]


def progressive(known: LayerEvidence, model: str) -> list[str]:
    """Progressive surgeries that the model was run with."""
    return [name for name in known.run_with(model) if known.surgeries[name].kind == PROGRESSIVE]


def unlike_authors(name: str, entry: Surgery) -> str:
    """In which settings a surgery differs from the paper's; empty where in none."""
    told = [] if entry.kind == "permute" else [f"{key} {getattr(entry, key)}" for key in differing(entry, AUTHORS)]
    if entry.width not in (None, WIDTH):
        told.append(f"blocks of {entry.width} layers instead of {WIDTH}")
    return f"surgery {name}: {', '.join(told)}" if told else ""
