"""What each command of the command line does: resolve names to settings and files, then call the step."""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from transfer_atlas import estimate, plan, study
from transfer_atlas.configuration import problems
from transfer_atlas.errors import UserError
from transfer_atlas.plan import Bundle, State
from transfer_atlas.settings import Settings
from transfer_atlas.tasks import description

if TYPE_CHECKING:
    from transfer_atlas.training.cell import Job

E = TypeVar("E")

LOCK = Path("artifacts.lock")


# Heavy libraries are imported by the command that needs them: `status` must not wait for torch.


def _configured(files: list[Path]) -> Settings:
    """Settings of these files over config.yaml, or those of the latest run."""
    if not files:
        if not plan.SETTINGS_FILE.is_file() and Path("config.yaml").is_file():
            files = [Path("config.yaml")]
        else:
            return study.read_settings()
    elif Path("config.yaml").is_file() and Path("config.yaml") not in files:
        files = [Path("config.yaml"), *files]
    return problems.load(problems.read_files(files), files)


def _entry(group: Mapping[str, E], name: str, what: str) -> E:
    """The entry of this name, or a clear word that there is none."""
    if name not in group:
        raise UserError(f"no {what} is called {name}{problems.nearest(name, group)}")
    return group[name]


def _state(settings: Settings, model: str, name: str, task: str) -> State:
    """The state of this name that the plan knows."""
    known = {state.name: state for state in plan.states(settings, plan.expand(settings), model, task)}
    return _entry(known, name, f"state of {model} on {task}")


def _bundle(settings: Settings, name: str) -> Bundle:
    """The job's cells that the plan knows by this name."""
    bundles = plan.bundles(settings, plan.expand(settings))
    if name not in bundles:
        raise UserError(f"no experiment selects {name}{problems.nearest(name, bundles)}")
    return bundles[name]


# --- for people --------------------------------------------------------------------------------------------


def check(arguments: Namespace) -> None:
    """Validate, and say what is selected."""
    settings = _configured(arguments.configfile or [Path("config.yaml")])
    selected = plan.expand(settings)
    study.check_files(settings, selected)
    study.check_sizes(settings, selected)
    study.check_kept_heads(settings, selected)
    print(study.describe_plan(settings, selected, os.cpu_count()))


def status(arguments: Namespace) -> None:
    """Print what is done, running, missing."""
    from transfer_atlas import status as report

    settings = _configured(arguments.configfile)
    lines = report.orphans(settings) if arguments.orphans else report.describe(settings, arguments.cores or 1)
    print("\n".join(lines))


def store(arguments: Namespace) -> None:
    """List, verify or clear finished runs."""
    from transfer_atlas import store_commands

    store_commands.run(study.read_settings(), arguments)


def encode(arguments: Namespace) -> None:
    """Write a model's states for every word of a text."""
    folder = Path(arguments.model)
    if not folder.is_dir():
        if folder.name != arguments.model:
            raise UserError(f"{folder}: no such folder")
        settings = _configured(arguments.configfile)
        entry = _entry(settings.models, arguments.model, "model")
        folder = plan.model_folder(settings, arguments.model)
        manifest = plan.manifest_file(entry.artifact)
        if not manifest.is_file():
            raise UserError(f"the model {arguments.model} has not been downloaded; run snakemake {manifest}")
    from transfer_atlas import encode_command

    encode_command.run(folder, arguments.text, arguments.output, arguments.stateful, arguments.pieces)


def schema(arguments: Namespace) -> None:
    """Write the JSON schema and the reference table."""
    from transfer_atlas.configuration import reference

    reference.write(arguments.schema, arguments.reference)


# --- steps -------------------------------------------------------------------------------------------------


def download(arguments: Namespace) -> None:
    """Fetch one artifact."""
    from transfer_atlas.steps import download as step

    name = arguments.artifact
    step.run(name, _entry(study.read_settings().artifacts, name, "artifact"), plan.artifact_folder(name), LOCK)


def prepare_task(arguments: Namespace) -> None:
    """Prepare one task."""
    from transfer_atlas.steps import prepare_task as step

    task = _entry(study.read_settings().tasks, arguments.task, "task")
    source = Path() if task.artifact is None else plan.artifact_folder(task.artifact) / "files"
    step.run(arguments.task, task, source, plan.task_folder(arguments.task))


def compare_tasks(arguments: Namespace) -> None:
    """Count shared texts."""
    settings = study.read_settings()
    from transfer_atlas.steps import compare_tasks as step

    tasks = study.compared_tasks(settings, plan.expand(settings))
    step.run({task: plan.task_folder(task) for task in tasks}, plan.RESULTS / "tables" / "overlap.csv")


def decontaminate(arguments: Namespace) -> None:
    """Find the rows that an intermediate training leaves out."""
    settings = study.read_settings()
    from transfer_atlas.steps import decontaminate as step

    name = arguments.intermediate
    entry = _entry(settings.intermediates, name, "intermediate task")
    later = plan.later_tasks(settings, plan.expand(settings), name)
    step.run(
        name,
        entry.task,
        entry.size,
        plan.task_folder(entry.task),
        {other: plan.task_folder(other) for other in later},
        plan.left_out_file(name),
        plan.decontamination_file(name),
    )


def _train_job(settings: Settings, bundle: Bundle) -> Job:
    from transfer_atlas.training.cell import Job
    from transfer_atlas.training.store import Store

    return Job(settings, bundle, study.sources(), Store(plan.STORE), estimate.beacon_file(bundle))


def train(arguments: Namespace) -> None:
    """Fine-tune the runs of a cell."""
    settings = study.read_settings()
    from transfer_atlas.steps import train as step

    step.run(_train_job(settings, _bundle(settings, arguments.cell)))


def train_heads(arguments: Namespace) -> None:
    """Train all heads that read the same representations."""
    settings = study.read_settings()
    from transfer_atlas.steps import train_heads as step

    step.run(_train_job(settings, _bundle(settings, arguments.bundle)))


def train_sequence_heads(arguments: Namespace) -> None:
    """Train the heads of a cell that read all tokens or words."""
    settings = study.read_settings()
    from transfer_atlas.steps import train_sequence_heads as step

    step.run(_train_job(settings, _bundle(settings, arguments.cell)))


def train_intermediate(arguments: Namespace) -> None:
    """Train on an intermediate task."""
    settings = study.read_settings()
    from transfer_atlas.steps import keep_weights as step

    name = f"{arguments.intermediate}.seed{arguments.seed}"
    planned = plan.intermediate_states(settings, plan.expand(settings))
    states = {state.name: state for state in planned if state.model == arguments.model}
    state = _entry(states, name, f"state of {arguments.model}")
    step.run(_train_job(settings, plan.bundle_before(settings, state)), state)


def keep_weights(arguments: Namespace) -> None:
    """Keep the weights of a fine-tuned run."""
    settings = study.read_settings()
    from transfer_atlas.steps import keep_weights as step

    state = _state(settings, arguments.model, arguments.state, arguments.task)
    step.run(_train_job(settings, plan.bundle_before(settings, state)), state)


def probe_layers(arguments: Namespace) -> None:
    """Probe the layers of a model before and after fine-tuning."""
    settings = study.read_settings()
    from transfer_atlas.steps import probe_layers as step

    state = _state(settings, arguments.model, arguments.state, arguments.task)
    assert state.recipe is not None and state.seed is not None, f"{state.name} is no state after fine-tuning"
    task = settings.tasks[state.task]
    step.run(
        step.Place(state.model, state.task, state.recipe, str(state.size), state.seed),
        step.read_states(settings, state),
        task.type,
        task.main_metric,
        plan.measures_of(settings, state),
        plan.probes_file(state),
    )


def compare_domains(arguments: Namespace) -> None:
    """Set the gain of fine-tuning in each group against its distance from a reference corpus."""
    settings = study.read_settings()
    from transfer_atlas.steps import compare_domains as step

    step.run(settings, plan.expand(settings), plan.RESULTS / "tables")


def extract_features(arguments: Namespace) -> None:
    """Encode a task with a model state."""
    settings = study.read_settings()
    from transfer_atlas.steps import extract_features as step

    state = _state(settings, arguments.model, arguments.state, arguments.task)
    folder = plan.representation_folder(state, arguments.layout)
    step.run(settings, state, arguments.layout, folder)


def score_transferability(arguments: Namespace) -> None:
    """Score the states after an intermediate task on a target."""
    settings = study.read_settings()
    from transfer_atlas.steps import score_transferability as step

    asked = (arguments.model, arguments.intermediate, arguments.task)
    found = {scored.place: scored for scored in plan.scored(settings)}
    if asked not in found:
        raise UserError(f"no entry of transferability names {' / '.join(asked)}")
    step.run(settings, found[asked], plan.transferability_file(found[asked]))


def aggregate(arguments: Namespace) -> None:
    """Make the tables."""
    settings = study.read_settings()
    from transfer_atlas.steps import aggregate as step

    selected = plan.expand(settings)
    bundles = plan.bundles(settings, selected)
    declared = {
        plan.table_file(name): {
            cell.name: [(run.depth, run.seed, run.start) for run in cell.runs] for cell in bundle.cells
        }
        for name, bundle in bundles.items()
    }
    states = plan.intermediate_states(settings, selected)
    trainings = [(state, plan.training_file(state)) for state in states]
    counted = {task: description.describe(plan.task_folder(task))["label_counts"] for task in selected.tasks}
    label_counts = {task: counts for task, counts in counted.items() if counts is not None}
    entries = step.Entries(
        settings.models,
        settings.tasks,
        settings.recipes,
        settings.surgeries,
        study.labels(settings),
        label_counts,
        settings.intermediates,
    )
    output = plan.RESULTS / "tables"
    side = step.Side(
        searches=[plan.search_file(name) for name in bundles],
        diagnostics=[plan.probes_file(state) for state in plan.diagnosed_states(settings)],
        domains=output / "domains.csv",
        decontaminations={name: plan.decontamination_file(name) for name in plan.intermediates_of(settings, selected)},
        transferability=[plan.transferability_file(place) for place in plan.scored(settings)],
        published={paper: Path(file) for paper, file in settings.published.items()},
    )
    step.run(declared, trainings, entries, output, side)


def plot(arguments: Namespace) -> None:
    """Draw the figures."""
    from transfer_atlas.steps import plot as step

    labels = study.labels(study.read_settings())
    step.run(plan.RESULTS / "tables", list(study.FIGURES), labels, plan.RESULTS / "figures")
