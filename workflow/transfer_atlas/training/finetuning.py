"""Fine-tuning of one run: encoder, surgery and head, trained and scored."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from transfer_atlas import plan
from transfer_atlas.models import surgery
from transfer_atlas.models.classifier import Classifier
from transfer_atlas.models.dropout import replace_dropout
from transfer_atlas.models.encoder import Pretrained, fresh_encoder
from transfer_atlas.models.encoding import encoding_of
from transfer_atlas.models.heads import LinearHead
from transfer_atlas.models.vocabulary import Vocabulary, compact_copy, holding, word_embeddings
from transfer_atlas.plan import Cell, Run
from transfer_atlas.settings import Engine, Recipe, Settings, Surgery, Task
from transfer_atlas.streams import stream_seed
from transfer_atlas.tasks.description import number_of_classes
from transfer_atlas.tasks.examples import Examples
from transfer_atlas.tasks.overlap import forbidden_keys, rows_without
from transfer_atlas.tasks.storage import read_split
from transfer_atlas.tasks.subsets import nested_subset
from transfer_atlas.training import device, schedule
from transfer_atlas.training.frozen_states import with_states
from transfer_atlas.training.loop import Observer, fit, predict
from transfer_atlas.training.metrics import scores
from transfer_atlas.training.outcome import Scored, Trained, cpu_weights
from transfer_atlas.training.targets import Scaling, outputs_of, scaled, unscaled
from transfer_atlas.training.token_examples import TokenisedExamples, tokenise

_ENCODER = "encoder."


@dataclass(frozen=True)
class TaskData:
    """A task as fine-tuning needs it, read and tokenised once for all runs of a cell.

    Attributes:
        evaluation_vocabulary: Sorted ids that the evaluation splits use; their tokens are numbered by it.
        left_out: Training rows that were left out, see `leave_out`.
    """

    task: Task
    classes: int
    splits: dict[str, Examples]
    train: TokenisedExamples
    evaluation: dict[str, TokenisedExamples]
    evaluation_vocabulary: Tensor
    left_out: int

    @staticmethod
    def of(
        task: Task, classes: int, splits: dict[str, Examples], pretrained: Pretrained, left_out: int = 0
    ) -> TaskData:
        """Tokenise all splits, and say how long the texts are."""
        tokenised = {}
        for split, examples in splits.items():
            tokenised[split] = tokenise(
                pretrained.tokenizer,
                examples.texts,
                examples.pairs,
                examples.labels,
                task.max_length,
                pretrained.position_offset,
            )
            print(
                f"{split}: {len(examples)} texts, {tokenised[split].lengths.float().mean():.1f} tokens on average, "
                f"{tokenised[split].truncated} truncated at {task.max_length}",
                flush=True,
            )
        train = tokenised.pop("train")
        used = torch.unique(torch.cat([examples.vocabulary() for examples in tokenised.values()]))
        table = Vocabulary(int(used[-1]) + 1, used).lookup()
        evaluation = {split: examples.with_ids(table) for split, examples in tokenised.items()}
        return TaskData(task, classes, splits, train, evaluation, used, left_out)

    @staticmethod
    def of_cell(settings: Settings, cell: Cell, pretrained: Pretrained) -> TaskData:
        """Read a cell's task; an intermediate task without the rows that its target must not see."""
        splits = {split: read_split(plan.task_folder(cell.task), split) for split in plan.SPLITS}
        left_out = 0
        if cell.target is not None:
            evaluation = [read_split(plan.task_folder(cell.target), split) for split in ("validation", "test")]
            splits["train"], left_out = leave_out(splits["train"], *evaluation)
            print(f"{left_out} training rows of {cell.task} hold an evaluation text of {cell.target} and are left out")
        classes = number_of_classes(plan.task_folder(cell.task))
        return TaskData.of(settings.tasks[cell.task], classes, splits, pretrained, left_out)


def leave_out(train: Examples, *evaluation: Examples) -> tuple[Examples, int]:
    """Training rows of an intermediate task that hold no text of the target's evaluation splits, and how many did."""
    return rows_without(train, forbidden_keys(*evaluation))


def operate(encoder: nn.Module, entry: Surgery, keep: int | None, generator: torch.Generator) -> None:
    """Apply a surgery in place."""
    if entry.kind == "progressive":
        assert keep is not None, "a progressive surgery needs a depth"
        surgery.progressive(
            encoder, keep, init=entry.init, biases=entry.biases, layer_norm=entry.layer_norm, generator=generator
        )


def load_encoder_weights(encoder: nn.Module, weights: Path) -> None:
    """Replace the encoder's weights by its part of a finished run's, mapped from their file."""
    tensors = load_file(weights)
    states = {k.removeprefix(_ENCODER): v for k, v in tensors.items() if k.startswith(_ENCODER)}
    encoder.load_state_dict(states, assign=True)


class Starts:
    """The encoders that the runs of a cell start from, and what is computed once for each of them."""

    def __init__(self, pretrained: Pretrained, data: TaskData, engine: Engine):
        self.pretrained = pretrained
        self.data = data
        self.engine = engine
        self._frozen: dict[tuple[Path | None, int, str], TokenisedExamples] = {}
        self._rows = np.empty(0, dtype=np.int64)

    def encoder(self, start: Path | None) -> nn.Module:
        """The pretrained encoder, or that of a finished intermediate run: mapped from its file, to be copied."""
        encoder = fresh_encoder(self.pretrained)
        if start is not None:
            load_encoder_weights(encoder, start)
        return encoder

    def with_frozen_states(
        self, start: Path | None, layer: int, rows: np.ndarray, where: torch.device, precision: str
    ) -> dict[str, TokenisedExamples] | None:
        """These rows of the training split and all evaluation splits with the states of a frozen layer.

        Computed once for each start, and for the training rows again where a run asks for others; what a run gets does
        not depend on which runs came before. None where an encoder cannot go on from a layer, or is not to.
        """
        if self.engine.frozen != "cached" or not encoding_of(self.pretrained.encoder, self.engine).starts_anywhere:
            return None
        ordered = np.sort(rows)
        # One start and one set of rows at a time: the runs of a cell come in the order of their seeds.
        self._frozen = {key: found for key, found in self._frozen.items() if key[:2] == (start, layer)}
        if not np.array_equal(ordered, self._rows):
            self._frozen.pop((start, layer, "train"), None)
            self._rows = ordered
        splits = ["train", *self.data.evaluation]
        if missing := [split for split in splits if (start, layer, split) not in self._frozen]:
            encoder = self.encoder(start).to(where)
            encoding = encoding_of(encoder, self.engine)
            for split in missing:
                if split == "train":
                    examples = self.data.train.take(ordered)
                else:
                    examples = self.data.evaluation[split].with_ids(self.data.evaluation_vocabulary)
                with_them = with_states(encoding, encoder, examples, layer, where, precision)
                self._frozen[start, layer, split] = with_them
        train, *evaluation = (self._frozen[start, layer, split] for split in splits)
        taken = train.take(np.searchsorted(ordered, rows))
        return dict(zip(splits, [taken, *evaluation], strict=True))


def finetune(
    starts: Starts,
    *,
    recipe: Recipe,
    entry: Surgery,
    size: int | Literal["all"],
    run: Run,
    start: Path | None,
    keep_weights: bool,
    observer: Observer,
) -> Trained:
    """Fine-tune one run and score it on validation and test.

    Args:
        entry: The surgery; its depth is in `run`.
        start: A finished intermediate run's weights to start from, or None for the pretrained ones.
        keep_weights: Whether the result carries the trained weights.
    """
    data, engine = starts.data, starts.engine
    where = device.choose_device()
    precision = device.resolve_precision(recipe.precision, where)
    chosen = nested_subset(len(data.splits["train"]), size, run.seed)
    train, evaluation, frozen = data.train.take(chosen), data.evaluation, None
    scaling = Scaling.of(train.targets)
    source = starts.encoder(start)
    if recipe.frozen_layers is not None:
        frozen = starts.with_frozen_states(start, recipe.frozen_layers, chosen, where, precision)
    if frozen is not None:
        train = frozen.pop("train")
        evaluation = frozen

    compacted = engine.vocabulary == "compact"
    used = train.vocabulary() if compacted else torch.arange(len(word_embeddings(source)))
    encoder, vocabulary = compact_copy(source, used)
    original_rows = word_embeddings(source)[data.evaluation_vocabulary]
    del source
    init = torch.Generator().manual_seed(stream_seed(run.seed, "init"))
    # The head is drawn first, so that it is the same whatever the surgery and its depth.
    outputs = outputs_of(data.task.type, data.classes)
    head = LinearHead(starts.pretrained.hidden_size, outputs, recipe.head_dropout, init)
    operate(encoder, entry, run.depth, init)
    if recipe.dropout is not None:
        replace_dropout(encoder, recipe.dropout)
    model = Classifier(encoder, head, recipe.pooling, encoding_of(encoder, engine), recipe.frozen_layers).to(where)
    total = schedule.total_steps(len(train), recipe)

    def decay(steps: int) -> float:
        """What weight decay has left of the embedding rows that were not trained."""
        return 1.0 if recipe.frozen_layers is not None else schedule.unused_decay(recipe, steps, total)

    def evaluate(split: str, steps: int) -> np.ndarray:
        """Predictions after `steps` updates, with the vocabulary of the evaluation splits in place."""
        with holding(encoder, vocabulary, data.evaluation_vocabulary, original_rows, decay(steps)):
            return unscaled(predict(model, evaluation[split], where, precision), scaling)

    def validate(steps: int) -> float:
        outputs = evaluate("validation", steps)
        return scores(data.task.type, outputs, data.splits["validation"].labels)[data.task.main_metric]

    fitted = fit(
        model,
        replace(train.with_ids(vocabulary.lookup()), targets=scaled(train.targets, scaling)),
        recipe,
        run.seed,
        device=where,
        precision=precision,
        observer=observer,
        validate=validate if recipe.select == "best" else None,
    )
    if fitted.best_weights is not None:
        model.load_state_dict(fitted.best_weights)
    splits = {
        split: Scored(data.splits[split].ids, evaluate(split, fitted.chosen_step), data.splits[split].labels)
        for split in ("validation", "test")
    }
    kept = None
    if keep_weights:
        originals = word_embeddings(starts.encoder(start))
        with holding(encoder, vocabulary, torch.arange(len(originals)), originals, decay(fitted.chosen_step)):
            kept = cpu_weights(model)
    return Trained(fitted, len(train), data.train.truncated, splits, where, precision, kept, data.left_out)
