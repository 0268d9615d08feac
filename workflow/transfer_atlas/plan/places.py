"""Where everything lies."""

from __future__ import annotations

from pathlib import Path

from transfer_atlas.plan.cells import State
from transfer_atlas.settings import Settings

RESULTS = Path("results")


SETTINGS_FILE = RESULTS / "settings.json"


STORE = RESULTS / "store"


def artifact_folder(name: str) -> Path:
    """Where an artifact's manifest and files lie."""
    return RESULTS / "artifacts" / name


def manifest_file(name: str) -> Path:
    """The file that says that an artifact is complete."""
    return artifact_folder(name) / "manifest.json"


def task_folder(name: str) -> Path:
    """Where a prepared task lies."""
    return RESULTS / "tasks" / name


def table_file(name: str) -> Path:
    """The table of a bundle's runs."""
    return RESULTS / "cells" / f"{name}.parquet"


def search_file(name: str) -> Path:
    """How the hyper-parameters of a bundle's cells were chosen."""
    return RESULTS / "cells" / f"{name}.search.parquet"


def predictions_file(name: str) -> Path:
    """The predictions of a bundle's runs."""
    return RESULTS / "cells" / f"{name}.predictions.parquet"


def weights_folder(state: State) -> Path:
    """Where the weights after an intermediate task, or after fine-tuning, lie."""
    if state.recipe is not None:
        return RESULTS / "finetuned" / state.model / state.task / state.recipe / f"n{state.size}" / f"seed{state.seed}"
    return RESULTS / "intermediate" / state.model / state.intermediate / f"seed{state.seed}"


def weights_file(state: State) -> Path:
    """The encoder's and head's weights after an intermediate task, or after fine-tuning."""
    return weights_folder(state) / "model.safetensors"


def training_file(state: State) -> Path:
    """Where an intermediate training says how it went."""
    return weights_folder(state) / "run.json"


def left_out_file(intermediate: str) -> Path:
    """Which rows an intermediate training leaves out."""
    return RESULTS / "decontamination" / intermediate / "left_out.json"


def decontamination_file(intermediate: str) -> Path:
    """How many rows an intermediate training leaves out, and because of which tasks."""
    return RESULTS / "decontamination" / intermediate / "counts.json"


def representation_folder(state: State, layout_name: str) -> Path:
    """Where the representations of a state on its task lie."""
    return RESULTS / "representations" / state.model / state.name / state.task / layout_name


def representations_file(state: State, layout_name: str) -> Path:
    """The file that says that representations are complete."""
    return representation_folder(state, layout_name) / "representations.json"


def probes_file(state: State) -> Path:
    """What probes found in the layers of a state after fine-tuning."""
    place = RESULTS / "probes" / state.model / state.task / str(state.recipe)
    return place / f"n{state.size}.seed{state.seed}.csv"


def model_folder(settings: Settings, model: str) -> Path:
    """Where the pretrained encoder's files lie."""
    entry = settings.models[model]
    return artifact_folder(entry.artifact) / "files" / entry.folder
