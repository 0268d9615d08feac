import math

import pandas as pd
import pytest

from transfer_atlas.analysis.evidence import Evidence
from transfer_atlas.analysis.transfer_evidence import TransferEvidence
from transfer_atlas.settings import Intermediate, Model, Recipe, Task

TUNE = Recipe(method="finetune", learning_rate=0.1)
RECIPES = {
    "finetune": TUNE,
    "finetune_long": TUNE.model_copy(update={"epochs": 9}),
    "extract": TUNE.model_copy(update={"method": "extract"}),
}
TASKS = {
    "sentiment": Task(type="sequence_classification", files={"train": "t.csv"}, family="opinion", domain="books"),
    "films": Task(type="sequence_classification", files={"train": "f.csv"}, family="opinion", domain="films"),
}
MODELS = {name: Model(artifact="a", layers=1) for name in ("tiny", "large")}
INTERMEDIATES = {
    "films": Intermediate(task="films", recipe="finetune"),
    "kept": Intermediate(task="films", recipe="finetune", head="keep"),
    "shared": Intermediate(task="films", recipe="finetune", seed=7),
    "crossed": Intermediate(task="films", recipe="finetune", seed=[11, 12]),
}
COUNTS = {"sentiment": {"test": {"good": 120, "bad": 80}}}

LONG_OF = {side: ("finetune_long", side) for side in ("films", "none")}


def known(*runs: pd.DataFrame) -> TransferEvidence:
    together = pd.concat(runs, ignore_index=True)
    evidence = Evidence.of(together, MODELS, TASKS, RECIPES, COUNTS)
    return TransferEvidence.of(together, evidence, INTERMEDIATES)


def only(found: TransferEvidence, **others):
    (gain,) = found.gains(**others)
    return gain


def test_with_minus_without_by_size_and_seed(make_runs):
    gain = only(
        known(
            make_runs({1: 0.8, 2: 0.9, 3: 0.1}),
            make_runs({1: 0.7, 2: 0.95}, intermediate="films"),
            make_runs({1: 0.6, 2: 0.6}, n_train=500),
            make_runs({1: 0.7, 2: 0.7}, n_train=500, intermediate="films"),
            # Only one side: no comparison.
            make_runs({1: 0.99}, n_train=2000, intermediate="films"),
        )
    )
    assert (gain.model, gain.intermediate, gain.task) == ("tiny", "films", "sentiment")
    assert (gain.family, gain.setting) == ("opinion", "domain")
    assert list(gain.by_size) == [500, 1000] and gain.largest is gain.by_size[1000]
    assert gain.largest.by_seed == pytest.approx({1: -10.0, 2: 5.0})
    assert gain.by_size[500].by_seed == pytest.approx({1: 10.0, 2: 10.0})
    assert gain.largest.left.constant == pytest.approx(60.0) and not gain.shared_training


def test_a_seed_after_several_intermediate_trainings_is_their_mean(make_runs):
    gain = only(
        known(
            make_runs({1: 0.8, 2: 0.8}),
            make_runs({1: 0.7, 2: 0.9}, intermediate="crossed", start=11),
            make_runs({1: 0.8, 2: 0.6}, intermediate="crossed", start=12),
        )
    )
    assert gain.largest.by_seed == pytest.approx({1: -5.0, 2: -5.0}) and gain.shared_training


def test_an_undefined_score_makes_the_mean_undefined(make_runs):
    gain = only(
        known(
            make_runs({1: 0.8}),
            make_runs({1: math.nan}, intermediate="films", start=11),
            make_runs({1: 0.8}, intermediate="films", start=12),
        )
    )
    assert math.isnan(gain.largest.by_seed[1])


def test_one_intermediate_training_for_all_seeds_is_told(make_runs):
    gain = only(known(make_runs({1: 0.8, 2: 0.8}), make_runs({1: 0.7, 2: 0.9}, intermediate="shared", start=7)))
    assert gain.shared_training
    # One seed shares nothing with another.
    gain = only(known(make_runs({1: 0.8}), make_runs({1: 0.7}, intermediate="shared", start=7)))
    assert not gain.shared_training


def test_the_control_is_as_many_updates_on_the_target(make_runs):
    found = known(
        make_runs({1: 0.8, 2: 0.8}),
        make_runs({1: 0.7, 2: 0.9}, intermediate="films"),
        make_runs({1: 0.6, 2: 0.6}, intermediate="none~films"),
    )
    assert only(found, controlled=True).largest.by_seed == pytest.approx({1: 10.0, 2: 30.0})
    assert only(found).largest.by_seed == pytest.approx({1: -10.0, 2: 10.0})


def test_both_sides_choose_on_validation_among_the_same_recipes(make_runs):
    def validated(runs: pd.DataFrame, score: float) -> pd.DataFrame:
        return runs.assign(value=runs["value"].where(runs["split"] == "test", score))

    shared = [
        validated(make_runs({1: 0.8}), 0.5),
        validated(make_runs({1: 0.7}, intermediate="films"), 0.5),
        validated(make_runs({1: 0.6}, recipe="finetune_long"), 0.4),
        validated(make_runs({1: 0.1}, recipe="finetune_long", intermediate="films"), 0.6),
        # Frozen encoders are another question.
        validated(make_runs({1: 0.3}, recipe="extract"), 0.9),
        validated(make_runs({1: 0.2}, recipe="extract", intermediate="films"), 0.9),
    ]
    largest = only(known(*shared)).largest
    assert (largest.left.recipe, largest.right.recipe) == ("finetune_long", "finetune")
    assert largest.by_seed == pytest.approx({1: -70.0})
    # A recipe that one side was never run with speaks for neither.
    for side in ("films", "none"):
        one_sided = [run for run in shared if (run["recipe"].iloc[0], run["intermediate"].iloc[0]) != LONG_OF[side]]
        assert len(one_sided) == 5
        assert only(known(*one_sided)).largest.by_seed == pytest.approx({1: -10.0})


def test_zero_shot_and_surgery_and_lone_seeds_are_no_sides(make_runs):
    found = known(
        make_runs({1: 0.8}),
        make_runs({2: 0.8}, intermediate="films"),
        make_runs({1: 0.8}, n_train=0),
        make_runs({1: 0.8}, intermediate="kept", n_train=0),
        make_runs({1: 0.8}, intermediate="kept", surgery="resets", depth=0),
    )
    assert found.gains() == []


def test_gains_are_in_the_order_of_the_configuration(make_runs):
    runs = [
        make_runs({1: 0.8}, model=model, intermediate=before)
        for model in ("large", "tiny")
        for before in ("kept", "none", "films")
    ]
    places = [(gain.intermediate, gain.model) for gain in known(*runs).gains()]
    assert places == [("films", "tiny"), ("films", "large"), ("kept", "tiny"), ("kept", "large")]
