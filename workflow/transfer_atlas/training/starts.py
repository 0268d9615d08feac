"""Encoders that runs start from: what is loaded and computed once for all runs of a cell."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from transfer_atlas import plan
from transfer_atlas.models.dropout import replace_dropout
from transfer_atlas.models.elmo.characters import Words
from transfer_atlas.models.elmo.pretrained import PretrainedElmo, elmo_depths, elmo_frozen_parts
from transfer_atlas.models.encoder import Pretrained, depths, fresh_encoder, frozen_parts
from transfer_atlas.models.encoding import encoding_of
from transfer_atlas.models.loading import load_model
from transfer_atlas.models.network import Network
from transfer_atlas.models.packing import PackedBatch
from transfer_atlas.models.pooler import Pooler, pooler_after
from transfer_atlas.models.vocabulary import Vocabulary, compact_copy, holding, word_embeddings
from transfer_atlas.plan import Cell
from transfer_atlas.settings import Engine, Recipe, Settings
from transfer_atlas.training.frozen_states import with_states
from transfer_atlas.training.task_data import TaskData
from transfer_atlas.training.unit_examples import UnitExamples

_ENCODER = "encoder."


def load_encoder_weights(encoder: nn.Module, weights: Path) -> None:
    """Replace the encoder's weights by its part of a finished run's, mapped from their file."""
    tensors = load_file(weights)
    states = {k.removeprefix(_ENCODER): v for k, v in tensors.items() if k.startswith(_ENCODER)}
    encoder.load_state_dict(states, assign=True)


@dataclass(frozen=True)
class Begun:
    """A run before its first update.

    Attributes:
        encoder: To be trained.
        train: The run's training examples.
        network: Encoder and this head, to be trained.
        evaluating: Within the context it opens the network reads the examples it gives, of this split. Its other
            argument is what weight decay has left of embeddings that were not trained.
        whole: Within the context it opens the network holds all its weights.
        pooler: To be trained with the head that reads it; None where none does.
    """

    encoder: nn.Module
    train: UnitExamples
    network: Callable[[nn.Module], Network]
    evaluating: Callable[[str, float], AbstractContextManager[UnitExamples]]
    whole: Callable[[float], AbstractContextManager[None]]
    pooler: Pooler | None = None


class Starts(Protocol):
    """The encoders of a cell's runs."""

    data: TaskData
    hidden_size: int

    def begin(self, start: Path | None, rows: np.ndarray, recipe: Recipe, where: torch.device, precision: str) -> Begun:
        """Start a run on these training rows.

        Args:
            start: A finished intermediate run's weights, or None for the pretrained ones.
        """
        ...


class ElmoStarts:
    """Runs of ELMo."""

    def __init__(self, pretrained: PretrainedElmo, data: TaskData):
        self.data = data
        self.hidden_size = pretrained.hidden_size
        self._pretrained = pretrained

    def begin(self, start: Path | None, rows: np.ndarray, recipe: Recipe, where: torch.device, precision: str) -> Begun:
        """See `Starts`."""
        encoder = self._pretrained.fresh(recipe.dropout or 0.0)
        if start is not None:
            load_encoder_weights(encoder, start)
        encoder.to(where)

        def encode(words: Words) -> list[Tensor]:
            # A module here would become a part of the network once more.
            return encoder.forward(words)

        def network(head: nn.Module) -> Network:
            frozen = [] if recipe.frozen_layers is None else elmo_frozen_parts(encoder, recipe.frozen_layers)
            return Network(encoder, head, self.data.labelling, encode, elmo_depths(encoder), frozen)

        @contextmanager
        def evaluating(split: str, decay: float) -> Iterator[UnitExamples]:
            yield self.data.units[split]

        @contextmanager
        def whole(decay: float) -> Iterator[None]:
            yield

        return Begun(encoder, self.data.units["train"].take(rows), network, evaluating, whole)


class TransformerStarts:
    """Runs of an encoder of transformers, whose vocabulary is compacted while it trains."""

    def __init__(self, pretrained: Pretrained, data: TaskData, engine: Engine):
        self.data = data
        self.hidden_size = pretrained.hidden_size
        self.pretrained = pretrained
        self.engine = engine
        evaluation = {split: units for split, units in data.units.items() if split != "train"}
        # Sorted ids that the evaluation splits use; their tokens are numbered by it.
        self.evaluation_vocabulary = torch.unique(
            torch.cat([units.tokens.vocabulary() for units in evaluation.values()])
        )
        table = Vocabulary(int(self.evaluation_vocabulary[-1]) + 1, self.evaluation_vocabulary).lookup()
        self.evaluation = {s: units.with_inputs(units.tokens.with_ids(table)) for s, units in evaluation.items()}
        self._frozen: dict[tuple[Path | None, int, str], UnitExamples] = {}
        self._rows = np.empty(0, dtype=np.int64)

    def encoder(self, start: Path | None) -> nn.Module:
        """The pretrained encoder, or that of a finished intermediate run: mapped from its file, to be copied."""
        encoder = fresh_encoder(self.pretrained)
        if start is not None:
            load_encoder_weights(encoder, start)
        return encoder

    def with_frozen_states(
        self, start: Path | None, layer: int, rows: np.ndarray, where: torch.device, precision: str
    ) -> dict[str, UnitExamples] | None:
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
        splits = ["train", *self.evaluation]
        if missing := [split for split in splits if (start, layer, split) not in self._frozen]:
            encoder = self.encoder(start).to(where)
            encoding = encoding_of(encoder, self.engine)
            for split in missing:
                if split == "train":
                    units = self.data.units["train"].take(ordered)
                    tokens = units.tokens
                else:
                    units = self.evaluation[split]
                    tokens = units.tokens.with_ids(self.evaluation_vocabulary)
                found = with_states(encoding, encoder, tokens, layer, where, precision)
                self._frozen[start, layer, split] = units.with_inputs(found)
        train, *evaluation = (self._frozen[start, layer, split] for split in splits)
        taken = train.take(np.searchsorted(ordered, rows))
        return dict(zip(splits, [taken, *evaluation], strict=True))

    def begin(self, start: Path | None, rows: np.ndarray, recipe: Recipe, where: torch.device, precision: str) -> Begun:
        """See `Starts`."""
        train, evaluation, frozen = self.data.units["train"].take(rows), self.evaluation, None
        source = self.encoder(start)
        if recipe.frozen_layers is not None:
            frozen = self.with_frozen_states(start, recipe.frozen_layers, rows, where, precision)
        if frozen is not None:
            train = frozen.pop("train")
            evaluation = frozen
        compacted = self.engine.vocabulary == "compact"
        used = train.tokens.vocabulary() if compacted else torch.arange(len(word_embeddings(source)))
        encoder, vocabulary = compact_copy(source, used)
        originals = word_embeddings(source)[self.evaluation_vocabulary]
        del source
        if recipe.dropout is not None:
            replace_dropout(encoder, recipe.dropout)

        def network(head: nn.Module) -> Network:
            encoding = encoding_of(encoder, self.engine)
            parts = [] if recipe.frozen_layers is None else frozen_parts(encoder, recipe.frozen_layers)
            first = recipe.frozen_layers or 0

            def encode(batch: PackedBatch) -> list[Tensor]:
                return encoding(batch, first=0 if batch.states is None else first)

            return Network(encoder, head, self.data.labelling, encode, depths(encoder), parts)

        @contextmanager
        def evaluating(split: str, decay: float) -> Iterator[UnitExamples]:
            with holding(encoder, vocabulary, self.evaluation_vocabulary, originals, decay):
                yield evaluation[split]

        @contextmanager
        def whole(decay: float) -> Iterator[None]:
            rows_of_all = word_embeddings(self.encoder(start))
            with holding(encoder, vocabulary, torch.arange(len(rows_of_all)), rows_of_all, decay):
                yield

        renumbered = train.with_inputs(train.tokens.with_ids(vocabulary.lookup()))
        pooler = None if self.pretrained.pooler is None else pooler_after(self.pretrained.pooler, start)
        return Begun(encoder, renumbered, network, evaluating, whole, pooler)


def starts_of(settings: Settings, cell: Cell) -> Starts:
    """Load a cell's model and task.

    Raises:
        UserError: The model's or the task's files are missing or wrong.
    """
    entry, task = settings.models[cell.model], settings.tasks[cell.task]
    with_pooler = settings.recipes[cell.recipe].pooling == "pooler"
    model = load_model(cell.model, entry, plan.model_folder(settings, cell.model), task.max_length, with_pooler)
    data = TaskData.of_cell(settings, cell, model)
    if isinstance(model, PretrainedElmo):
        return ElmoStarts(model, data)
    return TransformerStarts(model, data, settings.engine)
