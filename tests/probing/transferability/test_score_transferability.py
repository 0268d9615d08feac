"""The step on stored representations of made-up texts: which rows, states and heads it reads, and what it writes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save_file
from scipy.special import softmax

from transfer_atlas import plan
from transfer_atlas.analysis import domain
from transfer_atlas.analysis.transfer_prediction import collect
from transfer_atlas.plan import State
from transfer_atlas.plan.scored import Scored, head_layout
from transfer_atlas.probing.transferability.domain_distance import centroid_distance, proxy_a_distance
from transfer_atlas.probing.transferability.leep import leep
from transfer_atlas.probing.transferability.log_me import log_me
from transfer_atlas.probing.transferability.nce import nce
from transfer_atlas.representations import storage
from transfer_atlas.settings import Settings
from transfer_atlas.steps import score_transferability
from transfer_atlas.tasks.examples import Examples
from transfer_atlas.tasks.storage import write_split
from transfer_atlas.tasks.subsets import nested_subset

WIDTH, CLASSES = 6, 3
ROWS = {"films": 90, "books": 70}
PLACE = Scored("tiny", "reviews", "films", (1, 2), 60)
ON_FILMS = {"pretrained": PLACE.pretrained, **{f"seed{n}": state for n, state in PLACE.trained.items()}}


def settings(source_type: str = "sequence_classification", **recipe: Any) -> Settings:
    task = {"files": {"train": "train.csv"}}
    scale = {"score_range": [0.0, 1.0]} if source_type == "pair_regression" else {}
    return Settings.model_validate(
        {
            "artifacts": {"encoder": {"source": "path", "path": "encoder"}},
            "models": {"tiny": {"artifact": "encoder", "layers": 2}},
            "tasks": {
                "films": {**task, "type": "sequence_classification"},
                "books": {**task, **scale, "type": source_type},
            },
            "recipes": {"fast": {"method": "finetune", "learning_rate": 1.0, **recipe}},
            "intermediates": {"reviews": {"task": "books", "recipe": "fast"}},
            "experiments": [{"models": ["tiny"], "tasks": ["films"], "recipes": ["fast"]}],
        }
    )


def texts(task: str) -> list[str]:
    return [f"{task} shared {row % 7}" for row in range(ROWS[task])]


def labels(task: str) -> np.ndarray:
    return np.random.default_rng(len(task)).integers(0, CLASSES, ROWS[task])


def store(state: State, layout: str, states: np.ndarray) -> np.ndarray:
    """[N, H] as the last layer of a state's stored training split."""
    folder = plan.representation_folder(state, layout)
    layers = np.stack([np.zeros_like(states), -states, states], axis=1).astype(np.float32)
    with storage.new_states(folder, "train", layers.shape, "float32") as array:
        array[:] = layers
    storage.write_lengths(folder, "train", np.full(len(states), 3), np.ones(len(states), dtype=np.int64))
    return layers[:, -1].copy()


@pytest.fixture
def states(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, np.ndarray]:
    """The tasks and the states that the scores read, in the working folder; states after training know more."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(1)
    for task in ROWS:
        ids = [str(row) for row in range(ROWS[task])]
        write_split(plan.task_folder(task), "train", Examples(ids, texts(task), None, labels(task)))
    directions = rng.normal(size=(CLASSES, WIDTH))[labels("films")]
    signal = {"pretrained": 0.2, "seed1": 1.0, "seed2": 1.5}
    found = {
        name: store(state, "mean", rng.normal(size=directions.shape) + signal[name] * directions)
        for name, state in ON_FILMS.items()
    }
    own = State("tiny", plan.NONE, "books", None)
    return {**found, "books": store(own, "mean", rng.normal(size=(ROWS["books"], WIDTH)) + 0.5)}


@pytest.fixture
def heads() -> Callable[[int], dict[int, dict[str, np.ndarray]]]:
    """Writes the weights after each intermediate training, whose heads have so many outputs."""

    def write(outputs: int) -> dict[int, dict[str, np.ndarray]]:
        rng = np.random.default_rng(2)
        found = {}
        for seed, state in PLACE.trained.items():
            head = {
                "weight": rng.normal(size=(outputs, WIDTH)).astype(np.float32),
                "bias": rng.normal(size=outputs).astype(np.float32),
            }
            path = plan.weights_file(state)
            path.parent.mkdir(parents=True, exist_ok=True)
            save_file({f"head.output.{name}": value for name, value in head.items()}, path)
            found[seed] = head
        return found

    return write


def run(configured: Settings) -> pd.DataFrame:
    score_transferability.run(configured, PLACE, Path("scores.csv"))
    return collect([Path("scores.csv")])


def values(table: pd.DataFrame, seed: int | None, column: str = "value") -> dict[str, float]:
    rows = table[table["seed"].isna()] if seed is None else table[table["seed"] == seed]
    return dict(zip(rows["measure"], rows[column], strict=True))


def test_scores_of_states_and_their_gains(states, heads) -> None:
    heads(CLASSES)
    table = run(settings())
    rows = nested_subset(ROWS["films"], 60, 0)
    assert set(table["examples"]) == {60} and len(table) == 3 + 3 + 2 * (3 + 2)
    expected = {name: log_me(states[name][rows], labels("films")[rows], classes=True) for name in ON_FILMS}
    before = values(table, None)
    assert before["log_me"] == expected["pretrained"]
    for seed in (1, 2):
        after, gained = values(table, seed), values(table, seed, "gain_of_score")
        assert after["log_me"] == expected[f"seed{seed}"]
        for measure in ("log_me", "h_score", "h_score_shrunk"):
            assert gained[measure] == after[measure] - before[measure] > 0
        assert np.isnan(gained["leep"]) and np.isnan(gained["nce"])
    assert all(map(np.isnan, values(table, None, "gain_of_score").values()))


def test_what_the_head_says_of_the_target(states, heads) -> None:
    rows, written = nested_subset(ROWS["films"], 60, 0), heads(4)
    table = run(settings())
    for seed, head in written.items():
        logits = states[f"seed{seed}"][rows] @ head["weight"].T.astype(np.float64) + head["bias"]
        found = values(table, seed)
        assert found["leep"] == pytest.approx(leep(softmax(logits, axis=1), labels("films")[rows]))
        assert found["nce"] == pytest.approx(nce(logits.argmax(axis=1), labels("films")[rows]))


def test_the_head_reads_states_that_are_pooled_as_in_its_training(states, heads) -> None:
    heads(2)
    same = values(run(settings()), 1)
    configured = settings(pooling="first")
    layout = head_layout(configured, PLACE)
    assert layout is not None
    for name, state in ON_FILMS.items():
        if state.seed is not None:
            store(state, layout.name, states[name][::-1])
    other = values(run(configured), 1)
    assert other["log_me"] == same["log_me"] and other["leep"] != same["leep"]


def test_distances_of_the_texts(states, heads) -> None:
    heads(CLASSES)
    found = values(run(settings()), None)
    films, books = nested_subset(ROWS["films"], 60, 0), nested_subset(ROWS["books"], 60, 0)
    read = [[texts(task)[row] for row in rows] for task, rows in (("books", books), ("films", films))]
    assert found["term_divergence"] == domain.divergence(*read)
    sides = states["books"][books], states["pretrained"][films]
    assert found["centroid_distance"] == centroid_distance(*sides)
    assert found["proxy_a_distance"] == proxy_a_distance(*sides)


def test_a_head_of_scores_has_no_leep(states, heads) -> None:
    heads(1)
    found = values(run(settings("pair_regression")), 2)
    assert np.isnan(found["leep"]) and found["nce"] < 0


def test_without_a_linear_head_no_weights_are_read(states) -> None:
    found = values(run(settings("token_labelling")), 1)
    assert np.isnan(found["leep"]) and np.isnan(found["nce"]) and np.isfinite(found["log_me"])


def test_a_training_that_diverged_has_no_scores_and_the_others_have(states, heads) -> None:
    heads(CLASSES)
    broken = states["seed1"].copy()
    broken[:] = np.nan
    store(PLACE.trained[1], "mean", broken)
    table = run(settings())
    assert all(map(np.isnan, values(table, 1).values()))
    assert all(map(np.isfinite, values(table, 2).values()))
    assert ",nan" not in Path("scores.csv").read_text().lower()


def test_the_same_bytes_again(states, heads) -> None:
    heads(CLASSES)
    for name in ("a.csv", "b.csv"):
        score_transferability.run(settings(), PLACE, Path(name))
    assert Path("a.csv").read_bytes() == Path("b.csv").read_bytes()
