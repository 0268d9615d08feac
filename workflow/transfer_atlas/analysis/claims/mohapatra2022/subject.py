"""Which runs play the paper's: its models, families of tasks and settings; and how an answer over cells is judged."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import isfinite, isnan

from transfer_atlas.analysis import markdown
from transfer_atlas.analysis.claims.claim import POINTS, UNDEFINED, Claim, Verdict
from transfer_atlas.analysis.claims.comparisons import NEITHER_LEARNT, played_by
from transfer_atlas.analysis.evidence import BySeed, Contrast, mean_by_seed
from transfer_atlas.analysis.intervals import Estimate, estimate
from transfer_atlas.analysis.published.user import PrintedGain
from transfer_atlas.analysis.transfer_evidence import Gain, TransferEvidence

PAPER = "mohapatra2022"
MODELS = ("BERT", "RoBERTa", "XLNet")
# Not the paper's, but what a claim across languages has to be held against: encoders that know the target's language.
CONTROLS = ("mBERT", "XLM-R")
TEXT_CLASSIFICATION, SENTIMENT, SIMILARITY = "text classification", "sentiment analysis", "sentence similarity"
FAMILIES = (TEXT_CLASSIFICATION, SENTIMENT, SIMILARITY)
DOMAIN, CROSS_LINGUAL = "domain", "cross-lingual"
SETTINGS = (DOMAIN, CROSS_LINGUAL)
HEADS = ("keep", "drop")
DATA = "our data for the paper's (unknown)"
LARGEST = "at the largest size that both sides of a cell were run at; size 0 is no part"

Measure = Callable[[Sequence[Gain]], Estimate]
"""From cells to an answer, with `n` the cells behind it."""
Judge = Callable[[Estimate], Verdict]
Part = Callable[[Sequence[Gain]], list[Gain]]
"""From cells to some of them."""
Notes = Callable[[Sequence[Gain]], list[str]]
"""From cells to what else is told of them."""


def paper_model(paper_name: str | None) -> str | None:
    """The paper's model, or control, that an entry plays; of which size the paper's are is unknown.

    `BERT-base` plays BERT.
    """
    names = (name for name in (*MODELS, *CONTROLS) if paper_name == name or (paper_name or "").startswith(f"{name}-"))
    return next(names, None)


@dataclass(frozen=True)
class Subject:
    """The cells that the claims are about, and those that control them."""

    known: TransferEvidence
    cells: Sequence[Gain]
    """One for each model and pair of tasks: with a new head on the target if that was run, else with the head kept."""
    equal_budget: Sequence[Gain]
    """The same against as many updates on the target alone."""
    head_kept: Sequence[Gain]
    """With the head of the intermediate task, of pairs whose cell has a new one."""
    printed: Sequence[PrintedGain] = ()
    """The paper's numbers, where a user gave them."""

    @staticmethod
    def of(known: TransferEvidence, printed: Sequence[PrintedGain] = ()) -> Subject:
        """Cells are one intermediate task before a target of its own family, in one of the paper's settings.

        Of several entries that train on the same task, the first in the configuration speaks.
        """
        entries = known.pairs.intermediates

        def in_design(gain: Gain) -> bool:
            return (
                paper_model(known.evidence.models[gain.model].paper_name) is not None
                and gain.family in FAMILIES
                and known.pairs.family(gain.before) == gain.family
                and gain.setting in SETTINGS
                and entries[gain.intermediate].after is None
            )

        gains = [gain for gain in known.gains() if in_design(gain)]
        kept = {head: _by_pair(gain for gain in gains if entries[gain.intermediate].head == head) for head in HEADS}
        cells = kept["keep"] | kept["drop"]
        chosen = {(gain.model, gain.intermediate, gain.task) for gain in cells.values()}
        return Subject(
            known,
            [gain for gain in gains if (gain.model, gain.intermediate, gain.task) in chosen],
            [gain for gain in known.gains(controlled=True) if (gain.model, gain.intermediate, gain.task) in chosen],
            [gain for pair, gain in kept["keep"].items() if pair in kept["drop"]],
            printed,
        )

    def plays(self, gain: Gain) -> str:
        """The paper's model, or control, that a cell's plays."""
        name = paper_model(self.known.evidence.models[gain.model].paper_name)
        assert name is not None, f"{gain.model} plays no model of the paper"
        return name

    def papers(self, gains: Sequence[Gain]) -> list[Gain]:
        """Those of the paper's models."""
        return [gain for gain in gains if self.plays(gain) in MODELS]

    def claim(self, name: str, statement: str, threshold: str, unit: str = POINTS, note: str = "") -> Claim:
        """A claim, not run so far."""
        return Claim(name, PAPER, statement, "not run", threshold, unit=unit, note=note)

    def judged(self, claim: Claim, measure: Measure, judge: Judge, bound: str, notes: Notes) -> Claim:
        """The claim judged on the cells of all the paper's models together; each model by itself stands below it.

        What a model by itself shows decides nothing of the whole: the paper speaks of all of them.
        """
        claim = replace(claim, bound=bound)
        bare = replace(claim, note="", published=None, published_verified=None)

        def over(asked: Claim, part_of: Part) -> Claim:
            cells = part_of(self.cells)
            return self._over(asked, cells, measure, judge, notes, part_of) if cells else asked

        parts = []
        for name, entries in self.players().items():
            called = f"{name} alone" if name in MODELS else f"{name}, a control that is no part of the whole"
            for model in entries:
                part = replace(bare, part=called if len(entries) == 1 else f"{called} ({model})")
                parts.append(over(part, partial(of_model, model=model)))
            if not entries:
                parts.append(replace(bare, part=called))
        return replace(over(claim, self.papers), parts=tuple(parts))

    def players(self) -> dict[str, list[str]]:
        """The entries with cells that play each of the paper's models, and each control that was run."""
        found: dict[str, list[str]] = {name: [] for name in MODELS}
        for gain in self.cells:
            entries = found.setdefault(self.plays(gain), [])
            if gain.model not in entries:
                entries.append(gain.model)
        return found

    def played(self, claim: Claim, contrasts: Sequence[Contrast]) -> Claim:
        """The claim with what it was run on. The paper's data are unknown: ours only ever stand in."""
        evidence = self.known.evidence
        made = played_by(claim, evidence, [contrast.left for contrast in contrasts])
        return replace(made, stand_ins=(*evidence.stand_ins(made.models, []), DATA))

    def remarks(self, cells: Sequence[Gain]) -> list[str]:
        """What is told of any cells: which were left out, and what differs from a new training and a new head each."""
        kept = learnt(cells)
        out = len(cells) - len(kept)
        entries = self.known.pairs.intermediates
        counted = {
            "all seeds start from the same intermediate training": sum(gain.shared_training for gain in kept),
            "the head of the intermediate task is kept": sum(
                entries[gain.intermediate].head == "keep" for gain in kept
            ),
        }
        return [
            *([f"{out} of {len(cells)} cells left out: {NEITHER_LEARNT}"] if out else []),
            *(f"in {count} of {len(kept)} cells {what}" for what, count in counted.items() if count),
        ]

    def controls(self, part_of: Part) -> dict[str, list[Gain]]:
        """Those that tell what else the gain of a part of the cells may come from, by what they are."""
        sizes = {_pair(cell): cell.largest.n_train for cell in self.cells}
        found: dict[str, list[Gain]] = {}
        for name, gains in {
            "against as many updates on the target": part_of(self.equal_budget),
            "with the head kept": part_of(self.head_kept),
        }.items():
            if any(gain.largest.n_train != sizes[_pair(gain)] for gain in gains):
                run = sorted({gain.largest.n_train for gain in gains})
                name += f" (at {' to '.join(f'{n:,}' for n in dict.fromkeys([run[0], run[-1]]))} train examples)"
            found[name] = gains
        return found

    def _over(
        self,
        claim: Claim,
        cells: Sequence[Gain],
        measure: Measure,
        judge: Judge,
        notes: Notes,
        part_of: Part,
    ) -> Claim:
        """The claim judged on some cells, beside what the measure says of the same part of their controls."""
        kept = learnt(cells)
        claim = self.played(claim, [gain.largest for gain in cells])
        for note in (*self.remarks(cells), *(notes(kept) if kept else [])):
            claim = claim.noted(note)
        found = measure(kept)
        if kept and not found.n:
            return claim
        if isnan(found.low):
            defined = all(isfinite(gain.largest.estimate.mean) for gain in kept)
            claim = claim.noted("no interval" if defined else UNDEFINED)
        measured = {name: measure(learnt(gains)) for name, gains in self.controls(part_of).items()}
        beside = [f"{name}: {told(control)}" for name, control in measured.items() if control.n]
        return replace(claim, verdict=judge(found), estimate=found, controls="; ".join(beside))


def _pair(gain: Gain) -> tuple[str, str, str]:
    """The model and the two tasks."""
    return gain.model, gain.before, gain.task


def _by_pair(gains: Iterable[Gain]) -> dict[tuple[str, str, str], Gain]:
    """The first of each model and pair of tasks."""
    found: dict[tuple[str, str, str], Gain] = {}
    for gain in gains:
        found.setdefault(_pair(gain), gain)
    return found


def of_model(gains: Sequence[Gain], model: str) -> list[Gain]:
    """Those of one model."""
    return [gain for gain in gains if gain.model == model]


def learnt(gains: Sequence[Gain]) -> list[Gain]:
    """Those of which something follows: a side of them is better than a constant answer."""
    return [gain for gain in gains if not gain.largest.neither_learnt]


def mean_gains(cells: Sequence[Gain]) -> list[float]:
    """Each cell's mean gain over seeds."""
    return [cell.largest.estimate.mean for cell in cells]


def across_seeds(by_cell: Sequence[BySeed]) -> str:
    """What seeds alone say of the mean over cells, in a note."""
    return f"over seeds {told(estimate(list(mean_by_seed(by_cell).values())), ' seeds')}"


def told(found: Estimate, of: str = "") -> str:
    """An estimate with its interval and n, in a note."""
    low, mean, high = (markdown.number(value, signed=True, digits=2) for value in (found.low, found.mean, found.high))
    interval = "" if isnan(found.low) else f" [{low}, {high}]"
    return f"{mean}{interval}, n = {found.n}{of}"
