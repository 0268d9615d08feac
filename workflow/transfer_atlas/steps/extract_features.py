"""Encode a task once with one model state: states of all layers, read by all heads and probes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transfer_atlas import atomic, plan
from transfer_atlas.identity import code_digest
from transfer_atlas.layout import Layout
from transfer_atlas.models.loading import frozen_encoder, frozen_pooler, load_model
from transfer_atlas.plan import State
from transfer_atlas.representations import storage
from transfer_atlas.representations.extraction import write_states
from transfer_atlas.settings import Settings
from transfer_atlas.tasks.description import data_digest
from transfer_atlas.tasks.storage import read_split
from transfer_atlas.training import device, placement
from transfer_atlas.training.starts import load_encoder_weights
from transfer_atlas.training.task_data import length_line
from transfer_atlas.training.unit_examples import units_of


def made_of(settings: Settings, state: State, layout_name: str) -> dict[str, Any]:
    """Digests of all that decides the representations.

    Snakemake takes a small file with the same content for the same input: without them a study that was stopped after
    encoding would keep the heads trained on what was there before.
    """
    artifact = plan.manifest_file(settings.models[state.model].artifact)
    return {
        "weights": atomic.read_json(artifact if state.is_pretrained else plan.training_file(state))["digest"],
        "data": data_digest(plan.task_folder(state.task)),
        "settings": plan.representation_settings(settings, state, layout_name),
        "code": code_digest("steps.extract_features"),
    }


def run(settings: Settings, state: State, layout_name: str, folder: Path) -> None:
    """Write the representations of `state` on its task into `folder`, laid out as `layout_name` says."""
    device.prepare_process()
    placement.lease(settings.execution.runs_per_gpu)
    where = device.choose_device()
    precision = device.resolve_precision("auto", where)
    task, entry, layout = settings.tasks[state.task], settings.models[state.model], Layout.parse(layout_name)
    folder_of_model, with_pooler = plan.model_folder(settings, state.model), layout.pooled == "pooler"
    model = load_model(state.model, entry, folder_of_model, task.max_length, with_pooler)
    start = None if state.is_pretrained else plan.weights_file(state)
    if start is not None:
        load_encoder_weights(model.encoder, start)
    _, encode = frozen_encoder(model, settings.engine, where)
    pooler = frozen_pooler(model, start, where)
    truncated: dict[str, int] = {}
    shape: tuple[int, ...] = ()
    for split in plan.SPLITS:
        examples = units_of(model, read_split(plan.task_folder(state.task), split), layout, task.max_length)
        print(length_line(split, examples, task.max_length), flush=True)
        shape = write_states(
            folder,
            split,
            encode,
            examples,
            pooling=layout.pooled,
            pooler=pooler,
            width=model.hidden_size,
            layers=entry.layers,
            device=where,
            precision=precision,
            progress_seconds=settings.execution.progress_seconds,
        )
        truncated[split] = examples.truncated
    atomic.write_json(
        folder / storage.MANIFEST,
        {
            "truncated": truncated,
            "shape": list(shape[1:]),
            "precision": precision,
            "layout": layout_name,
            "made_of": made_of(settings, state, layout_name),
        },
    )
