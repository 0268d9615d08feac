"""`pooling: pooler` through the steps of a study: an intermediate task, stored representations, probes."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoModel, AutoTokenizer

from transfer_atlas import atomic, plan, study
from transfer_atlas.representations import storage
from transfer_atlas.settings import Settings
from transfer_atlas.steps import decontaminate, extract_features, keep_weights, prepare_task, train, train_heads
from transfer_atlas.tasks.storage import read_split
from transfer_atlas.training.cell import Job
from transfer_atlas.training.store import Store

TASK = {"type": "sequence_classification", "max_length": 16}
LITTLE = {
    "artifacts": {"encoder": {"source": "path", "path": "encoder"}},
    "models": {"tiny": {"artifact": "encoder", "layers": 3}},
    "tasks": {
        "target": {**TASK, "files": {"train": "target.csv"}},
        "before": {**TASK, "files": {"train": "before.csv"}},
    },
    "recipes": {
        "through": {"method": "finetune", "pooling": "pooler", "learning_rate": 1e-2, "precision": "float32"},
        "past": {"method": "finetune", "pooling": "first", "learning_rate": 1e-2, "precision": "float32"},
        "probe": {"method": "extract", "layer": "each", "pooling": "pooler", "learning_rate": 1e-2},
    },
    "intermediates": {
        "through": {"task": "before", "recipe": "through"},
        "past": {"task": "before", "recipe": "past"},
    },
    "experiments": [
        {
            "models": ["tiny"],
            "tasks": ["target"],
            "recipes": ["through", "probe"],
            "intermediates": ["none", "through", "past"],
            "seeds": 1,
        }
    ],
}


@pytest.fixture
def settings(on_the_cpu: Path, make_encoder: Callable[..., Path], sentences: Callable) -> Settings:
    """A study whose tasks are prepared, in the working folder."""
    settings = Settings.model_validate(LITTLE)
    atomic.write_json(plan.manifest_file("encoder"), {"digest": "encoder"})
    shutil.copytree(make_encoder(), plan.model_folder(settings, "tiny"))
    for seed, name in enumerate(("target", "before")):
        texts = sentences(40, seed=seed, shortest=3)
        lines = ["text,label", *(f"{text},{'high' if text > 'w5' else 'low'}" for text in texts)]
        Path(f"{name}.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
        prepare_task.run(name, settings.tasks[name], on_the_cpu, plan.task_folder(name))
    return settings


def stock_states(settings: Settings, weights: Path | None) -> Tensor:
    """transformers' pooler on each layer's [CLS] of the test texts, [N, layers + 1, H].

    Args:
        weights: Of the run whose encoder, and pooler where it has one, replace the pretrained ones.
    """
    folder = plan.model_folder(settings, "tiny")
    model = AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    if weights is not None:
        parts = {name.split(".", 1)[1]: value for name, value in load_file(weights).items()}
        model.load_state_dict(parts, strict=False)
    inputs = AutoTokenizer.from_pretrained(folder)(
        read_split(plan.task_folder("target"), "test").texts, padding=True, return_tensors="pt"
    )
    with torch.no_grad():
        layers = model(**inputs, output_hidden_states=True).hidden_states
        return torch.stack([model.pooler(layer) for layer in layers], dim=1)


def test_it_is_trained_stored_and_probed(settings: Settings) -> None:
    def job(bundle: plan.Bundle) -> Job:
        return Job(settings, bundle, study.sources(), Store(plan.STORE))

    selected = plan.expand(settings)
    for name in plan.intermediates_of(settings, selected):
        later = {task: plan.task_folder(task) for task in plan.later_tasks(settings, selected, name)}
        entry = settings.intermediates[name]
        files = plan.left_out_file(name), plan.decontamination_file(name)
        decontaminate.run(name, entry.task, entry.size, plan.task_folder(entry.task), later, *files)
    for state in plan.intermediate_states(settings, selected):
        keep_weights.run(job(plan.bundle_before(settings, state)), state)

    found = {}
    for state in plan.states(settings, selected, "tiny", "target"):
        folder = plan.representation_folder(state, "pooler")
        extract_features.run(settings, state, "pooler", folder)
        found[state.name] = storage.read_split(folder, "test").states
        weights = None if state.is_pretrained else plan.weights_file(state)
        assert found[state.name].dtype == np.float32
        np.testing.assert_allclose(found[state.name], stock_states(settings, weights), rtol=1e-4, atol=2e-5)
        if weights is not None:
            assert ("head.pooler.dense.weight" in load_file(weights)) == (state.intermediate == "through")
    assert found.keys() == {"pretrained", "through.seed1", "past.seed1"}

    for name, bundle in plan.bundles(settings, selected).items():
        step = train_heads if "extract.pooler" in name else train
        step.run(job(bundle))
        assert set(pq.read_table(plan.table_file(name))["depth"].to_pylist()) == (
            {0, 1, 2, 3} if step is train_heads else {None}
        )
