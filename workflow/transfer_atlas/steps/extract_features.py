"""Encode a task once with one model state: pooled states of all layers, read by all heads and probes."""

from __future__ import annotations

from pathlib import Path

from transfer_atlas import atomic, plan
from transfer_atlas.models.encoder import load_pretrained
from transfer_atlas.plan import State
from transfer_atlas.representations import storage
from transfer_atlas.representations.extraction import pooled_states
from transfer_atlas.settings import Settings
from transfer_atlas.tasks.storage import read_split
from transfer_atlas.training import device, placement
from transfer_atlas.training.finetuning import load_encoder_weights
from transfer_atlas.training.token_examples import tokenise


def run(settings: Settings, state: State, pooling: str, folder: Path) -> None:
    """Write the representations of `state` on its task into `folder`."""
    device.prepare_process()
    placement.lease(settings.execution.runs_per_gpu)
    where = device.choose_device()
    precision = device.resolve_precision("auto", where)
    task = settings.tasks[state.task]
    model = settings.models[state.model]
    pretrained = load_pretrained(plan.model_folder(settings, state.model), model.layers, task.max_length)
    if state.intermediate != plan.NONE:
        load_encoder_weights(pretrained.encoder, plan.weights_file(state))
    truncated = {}
    for split in plan.SPLITS:
        examples = read_split(plan.task_folder(state.task), split)
        tokenised = tokenise(
            pretrained.tokenizer,
            examples.texts,
            examples.pairs,
            examples.labels,
            task.max_length,
            pretrained.position_offset,
        )
        print(f"{split}: {len(examples)} texts, {int(tokenised.lengths.sum()):,} tokens", flush=True)
        states = pooled_states(
            pretrained.encoder,
            tokenised,
            pooling,
            where,
            precision,
            settings.engine,
            settings.execution.progress_seconds,
        )
        storage.write_split(folder, split, states, tokenised.lengths.numpy())
        truncated[split] = tokenised.truncated
    atomic.write_json(
        folder / storage.MANIFEST,
        {"truncated": truncated, "shape": list(states.shape[1:]), "precision": precision, "pooling": pooling},
    )
