"""Trainings that take a tenth of a second: a tiny encoder, a dozen texts, a handful of updates."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from transfer_atlas.layout import Layout
from transfer_atlas.models.elmo.pretrained import PretrainedElmo, load_pretrained_elmo
from transfer_atlas.models.encoder import Pretrained
from transfer_atlas.models.loading import frozen_encoder
from transfer_atlas.plan import NO_SURGERY
from transfer_atlas.representations import storage
from transfer_atlas.representations.extraction import write_states
from transfer_atlas.settings import Engine, Recipe, Surgery, Task
from transfer_atlas.surgeries import Operation, operation
from transfer_atlas.tasks.examples import Examples
from transfer_atlas.training import device, fit_and_score
from transfer_atlas.training.checkpoint import load_snapshot, save_snapshot
from transfer_atlas.training.finetuning import finetune
from transfer_atlas.training.head_training import FeatureData, HeadRun, train_heads
from transfer_atlas.training.loop import Snapshot
from transfer_atlas.training.outcome import Trained
from transfer_atlas.training.sequence_heads import StateData, StoredUnits, train_sequence_head
from transfer_atlas.training.starts import ElmoStarts, Starts, TransformerStarts
from transfer_atlas.training.task_data import TaskData

# With --import-mode=importlib a folder of tests is not on the path by itself.
sys.path.insert(0, str(Path(__file__).parent))

DIGEST = "d" * 64
JOINT = Layout("tokens", False, None, None)


class Killed(Exception):
    """What the tests' observer raises to end a training."""


class Watch:
    """An observer that remembers losses and, with a `path`, keeps a checkpoint and ends the training at a step."""

    def __init__(self, path: Path | None = None, kill_at: int | None = None):
        self.path = path
        self.kill_at = kill_at
        self.losses: list[float] = []
        self.tokens: list[int] = []
        self.first_step: int | None = None
        self.total = 0

    def start(self, total_steps: int) -> Snapshot | None:
        self.total = total_steps
        return load_snapshot(self.path, DIGEST) if self.path else None

    def step(self, step: int, total: int, loss: Tensor, tokens: int, snapshot: Callable[[], Snapshot]) -> None:
        self.first_step = step if self.first_step is None else self.first_step
        self.losses.append(float(loss))
        self.tokens.append(tokens)
        if step == self.kill_at:
            assert self.path is not None
            save_snapshot(self.path, snapshot(), DIGEST)
            raise Killed


def task_of(kind: str) -> Task:
    scores = {"score_range": [0.0, 5.0]} if kind == "pair_regression" else {}
    return Task.model_validate({"type": kind, "files": {"train": "train.csv"}, "max_length": 16, **scores})


@pytest.fixture
def processor() -> str:
    """The device that trainings of a test run on; tests that need another one override this fixture."""
    return "cpu"


@pytest.fixture(autouse=True)
def on_processor(processor: str, monkeypatch: pytest.MonkeyPatch) -> None:
    device.prepare_process()
    monkeypatch.setattr(device, "choose_device", lambda: torch.device(processor))


@pytest.fixture(scope="session")
def watch() -> type[Watch]:
    return Watch


@pytest.fixture(scope="session")
def killed() -> type[Killed]:
    return Killed


@pytest.fixture(scope="session")
def recipe() -> Callable[..., Recipe]:
    """A recipe of 9 updates on a dozen examples, in float32; keywords change it. `drop`: dropout everywhere."""

    def of(drop: float = 0.0, **changes: Any) -> Recipe:
        settings = {
            "method": "finetune",
            "learning_rate": 1e-3,
            "epochs": 3,
            "batch_size": 5,
            "dropout": drop,
            "head_dropout": drop,
            "precision": "float32",
        }
        return Recipe.model_validate({**settings, **changes})

    return of


@pytest.fixture(scope="session")
def splits(sentences: Callable[..., list[str]]) -> Callable[..., dict[str, Examples]]:
    """Random texts with random labels, of all task types. Training texts use half of the words, the others all."""

    def of(kind: str = "sequence_classification", n_train: int = 12, classes: int = 3) -> dict[str, Examples]:
        made = {}
        for seed, (split, n) in enumerate({"train": n_train, "validation": 9, "test": 7}.items()):
            random = np.random.default_rng(seed)
            words = 45 if split == "train" else 90
            labels = random.uniform(0, 5, n) if kind == "pair_regression" else random.integers(0, classes, n)
            made[split] = Examples(
                ids=[f"{split}.csv:{row}" for row in range(n)],
                texts=sentences(n, seed=seed, words=words),
                pairs=None if kind == "sequence_classification" else sentences(n, seed=seed + 10, words=words),
                labels=labels,
            )
        return made

    return of


@pytest.fixture(scope="session")
def pretrained(load: Callable[..., Pretrained]) -> Pretrained:
    """The tiny BERT that most trainings start from."""
    return load("bert")


@pytest.fixture(scope="session")
def task_data(splits: Callable[..., dict[str, Examples]], pretrained: Pretrained) -> Callable[..., TaskData]:
    """Random texts tokenised for an encoder, by default the tiny BERT."""

    def of(kind: str = "sequence_classification", encoder: Pretrained = pretrained, **sizes: int) -> TaskData:
        names = None if kind == "pair_regression" else [f"class {k}" for k in range(sizes.get("classes", 3))]
        return TaskData.of(task_of(kind), names, splits(kind, **sizes), encoder, JOINT)

    return of


@pytest.fixture(scope="session")
def feature_data(splits: Callable[..., dict[str, Examples]]) -> Callable[..., FeatureData]:
    """Random representations [N, 4, 16] of random texts."""

    def of(kind: str = "sequence_classification", **sizes: int) -> FeatureData:
        examples = splits(kind, **sizes)
        random = np.random.default_rng(3)
        return FeatureData(
            task_of(kind),
            sizes.get("classes", 3),
            examples,
            {name: random.normal(size=(len(part), 4, 16)).astype(np.float32) for name, part in examples.items()},
            {name: random.integers(3, 12, size=len(part)) for name, part in examples.items()},
            truncated=dict.fromkeys(("train", "validation", "test"), 0),
        )

    return of


@pytest.fixture(scope="session")
def tune(pretrained: Pretrained) -> Callable[..., Trained]:
    """Fine-tune one run; by default the tiny BERT, without surgery, on all examples, keeping the weights.

    `starts` is for runs of one cell, which share it.
    """

    def run(
        data: TaskData,
        recipe: Recipe,
        *,
        encoder: Pretrained = pretrained,
        seed: int = 1,
        size: Any = "all",
        surgery: Surgery = NO_SURGERY,
        depth: int | None = None,
        start: Path | None = None,
        observer: Watch | None = None,
        engine: Engine | None = None,
        starts: Starts | None = None,
        keep_head: bool = False,
        more_updates: int = 0,
        keep_weights: bool = True,
    ) -> Trained:
        return finetune(
            starts or TransformerStarts(encoder, data, engine or Engine()),
            recipe=recipe,
            surgery=surgery,
            operation=Operation()
            if depth is None
            else operation(surgery, depth, encoder.encoder.config.num_hidden_layers),
            size=size,
            seed=seed,
            start=start,
            keep_head=keep_head,
            more_updates=more_updates,
            keep_weights=keep_weights,
            observer=observer or Watch(),
        )

    return run


@pytest.fixture
def elmo(make_elmo: Callable[..., Path]) -> PretrainedElmo:
    """A tiny ELMo that is wide enough to learn."""
    wide = {"projection_dim": 16, "dim": 24, "cell_clip": 3.0, "proj_clip": 3.0}
    return load_pretrained_elmo(make_elmo(lstm=wide, char_cnn={"filters": [[1, 4], [2, 8], [4, 12]]}))


@pytest.fixture
def tune_elmo(elmo: PretrainedElmo, tune: Callable[..., Trained]) -> Callable[..., Trained]:
    """Fine-tune the tiny ELMo; arguments as for `tune`."""

    def run(data: TaskData, recipe: Recipe, starts: Starts | None = None, **settings: Any) -> Trained:
        return tune(data, recipe, starts=starts or ElmoStarts(elmo, data), **settings)

    return run


@pytest.fixture
def state_data(tmp_path: Path, pretrained: Pretrained) -> Callable[..., StateData]:
    """The states of a task's units as an encoder, by default the tiny BERT, gives them: stored and read again."""

    def of(data: TaskData, model: Pretrained | PretrainedElmo = pretrained, precision: str = "float32") -> StateData:
        cpu = torch.device("cpu")
        _, encode = frozen_encoder(model, Engine(), cpu)
        layers = 2 if isinstance(model, PretrainedElmo) else 3
        folder, units = tmp_path / "representations" / data.layout.name, {}
        for split, examples in data.units.items():
            write_states(
                folder,
                split,
                encode,
                examples,
                pooling=None,
                width=model.hidden_size,
                layers=layers,
                device=cpu,
                precision=precision,
                progress_seconds=1e9,
            )
            stored = storage.read_split(folder, split)
            units[split] = StoredUnits.of(data.splits[split], data.layout, stored.states, stored.units, stored.lengths)
        return StateData(
            data.task,
            data.names,
            data.layout,
            data.splits,
            units,
            {split: part.truncated for split, part in data.units.items()},
        )

    return of


@pytest.fixture(scope="session")
def tune_sequence_head() -> Callable[..., Trained]:
    """Train one head on stored states."""

    def run(
        data: StateData, recipe: Recipe, *, seed: int = 1, size: Any = "all", observer: Watch | None = None
    ) -> Trained:
        return train_sequence_head(data, recipe, size, seed, observer or Watch())

    return run


@pytest.fixture(scope="session")
def tune_head() -> Callable[..., Trained]:
    """Train one head on representations."""

    def run(
        data: FeatureData, recipe: Recipe, *, seed: int = 1, size: Any = "all", observer: Watch | None = None
    ) -> Trained:
        (trained,) = train_heads([HeadRun(data, recipe, size, seed)], observer or Watch())
        return trained

    return run


@pytest.fixture
def resumed(tmp_path: Path) -> Callable[..., tuple[Trained, Watch]]:
    """Kill a training at these updates, one after the other, and let it go on from its checkpoint to the end."""

    def run(
        train: Callable[..., Trained], *steps: int, meanwhile: Callable[[], Any] = lambda: None
    ) -> tuple[Trained, Watch]:
        path = tmp_path / "checkpoint"
        path.unlink(missing_ok=True)
        for step in steps:
            with pytest.raises(Killed):
                train(observer=Watch(path, kill_at=step))
        meanwhile()
        watch = Watch(path)
        return train(observer=watch), watch

    return run


@pytest.fixture
def assert_resumes(
    resumed: Callable[..., tuple[Trained, Watch]], assert_same_bits: Callable[[Trained, Trained], None]
) -> Callable[[Callable[..., Trained]], None]:
    """Killed at any update, a training ends in the bits of one never killed."""

    def check(train: Callable[..., Trained]) -> None:
        whole = train()
        total = whole.fitted.steps
        assert total >= 6
        for step in range(1, total + 1):
            again, watch = resumed(train, step)
            assert_same_bits(whole, again)
            assert watch.first_step == (step + 1 if step < total else None)

    return check


@pytest.fixture(scope="session")
def assert_same_bits() -> Callable[[Trained, Trained], None]:
    """Two trainings gave the same predictions and weights, bit for bit, at the same cost."""

    def check(first: Trained, second: Trained) -> None:
        for split in ("validation", "test"):
            assert np.array_equal(first.splits[split].outputs, second.splits[split].outputs), split
        assert (first.weights is None) == (second.weights is None)
        for name, weight in (first.weights or {}).items():
            assert torch.equal(weight, (second.weights or {})[name]), name
        for fact in ("steps", "tokens", "chosen_step"):
            assert getattr(first.fitted, fact) == getattr(second.fitted, fact), fact

    return check


@pytest.fixture
def initial(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Tensor]]:
    """Fills with each run's weights before its first update."""
    states: list[dict[str, Tensor]] = []
    fit = fit_and_score.fit

    def spy(model: torch.nn.Module, *arguments: Any, **options: Any) -> Any:
        states.append(copy.deepcopy(model.state_dict()))
        return fit(model, *arguments, **options)

    monkeypatch.setattr(fit_and_score, "fit", spy)
    return states
