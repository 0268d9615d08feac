import pandas as pd
import pytest

from transfer_atlas.analysis.evidence import Evidence, extract
from transfer_atlas.analysis.layer_evidence import LayerEvidence, Place
from transfer_atlas.settings import Model, Recipe, Surgery, Task

RECIPES = {
    "finetune_long": Recipe(method="finetune", learning_rate=0.1, epochs=9),
    "finetune": Recipe(method="finetune", learning_rate=0.1),
    "extract": Recipe(method="extract", learning_rate=0.1),
    "extract_each": Recipe(method="extract", learning_rate=0.1, layer="each"),
}
SURGERIES = {
    "bottom": Surgery(kind="progressive"),
    "other_bottom": Surgery(kind="progressive", init="authors_code"),
    "third": Surgery(kind="progressive", biases="reset"),
    "blocks": Surgery(kind="block", width=1),
    "never_run": Surgery(kind="single"),
}
MODELS = {"other": Model(artifact="a", layers=3), "tiny": Model(artifact="a", layers=2, paper_name="BERT-base")}
TASKS = {"sentiment": Task(type="sequence_classification", files={"train": "t.csv"})}
COUNTS = {"sentiment": {"test": {"good": 60, "bad": 40}}}


@pytest.fixture
def known(make_runs):
    def made(*frames: pd.DataFrame) -> LayerEvidence:
        runs = pd.concat(frames)
        return LayerEvidence.of(runs, Evidence.of(runs, MODELS, TASKS, RECIPES, COUNTS), SURGERIES)

    return made


@pytest.fixture
def frames(make_runs):
    return [
        make_runs({1: 0.9, 2: 0.8}),
        make_runs({1: 0.5, 2: 0.5}, surgery="bottom", depth=0),
        make_runs({1: 0.6, 3: 0.7}, surgery="bottom", depth=1),
        make_runs({1: 0.7}, surgery="blocks", depth=1),
    ]


PLACE = Place("tiny", "sentiment", "finetune", 1000)


def test_a_progressive_curve_ends_in_the_untouched_encoder(known, frames, make_runs):
    found = known(*frames)
    curve = found.curve(PLACE, "bottom")
    assert curve.depths == [0, 1, 2] and curve.constant == pytest.approx(60)
    assert {depth: dict(scores.test) for depth, scores in curve.by_depth.items()} == {
        0: pytest.approx({1: 50.0, 2: 50.0}),
        1: pytest.approx({1: 60.0, 3: 70.0}),
        2: pytest.approx({1: 90.0, 2: 80.0}),
    }
    # The fixture's validation scores are half a unit below those on test.
    assert curve.by_depth[1].validation == pytest.approx({1: 10.0, 3: 20.0})
    assert found.curve(PLACE, "blocks").depths == [1]
    # Whichever of the two was run stands for both.
    instead = known(*frames[1:], make_runs({1: 0.9, 2: 0.8}, surgery="bottom", depth=2))
    assert instead.full(PLACE) == found.full(PLACE)
    assert found.full(PLACE).test == pytest.approx({1: 90.0, 2: 80.0})
    assert known(*frames[1:]).full(PLACE) is None


def test_sides_of_a_comparison(known, frames):
    curve = known(*frames).curve(PLACE, "bottom")
    assert curve.arm(7) is None
    assert (curve.arm(1).recipe, curve.arm(1).n_train, curve.arm(1).constant) == ("finetune", 1000, pytest.approx(60))
    assert curve.by_seed([2, 0]) == {1: pytest.approx([90.0, 50.0]), 2: pytest.approx([80.0, 50.0])}
    # Seed 1 alone was run at all depths.
    assert curve.average([0, 1, 2]).test == {1: pytest.approx(200 / 3)}


def test_probes_are_of_the_largest_size_and_no_side_of_finetune_or_extract(known, frames, make_runs):
    probes = [
        make_runs({1: 0.55}, recipe="extract_each", depth=0, n_train=1000),
        make_runs({1: 0.65}, recipe="extract_each", depth=1, n_train=3000, size="all"),
    ]
    found = known(*frames, *probes)
    curve = found.probes("tiny", "sentiment")
    assert (curve.place.n_train, curve.place.recipe, curve.depths) == (3000, "extract_each", [1])
    assert found.probes("other", "sentiment") is None
    assert found.evidence.arm(("tiny",), "sentiment", extract) is None
    assert set(found.evidence.scores["tiny", "sentiment"]) == {1000}


def test_places_sizes_and_names(known, frames, make_runs):
    more = [
        make_runs({1: 0.6}, surgery="bottom", depth=0, n_train=2000, size="2000", digest="same"),
        make_runs({1: 0.6}, surgery="bottom", depth=0, n_train=2000, size="all", digest="same"),
        make_runs({1: 0.6}, surgery="bottom", depth=0, recipe="finetune_long"),
        make_runs({1: 0.6}, surgery="bottom", depth=0, n_train=50, intermediate="films"),
        make_runs({1: 0.6}, model="other", n_train=50),
    ]
    found = known(*frames, *more)
    assert found.models("BERT-base") == ["tiny"]
    assert found.run_with("tiny") == ["bottom", "blocks"] and found.run_with("other") == []
    assert found.sizes("tiny", "sentiment", "bottom") == [1000, 2000]
    assert found.sizes("tiny", "sentiment", "bottom", "blocks") == [1000]
    assert found.all_of == {("tiny", "sentiment"): 2000}
    # The first recipe in the configuration that was run with all of them.
    assert found.place("tiny", "sentiment", 1000, "bottom").recipe == "finetune_long"
    assert found.place("tiny", "sentiment", 1000, "bottom", "blocks") == PLACE
    assert found.place("tiny", "sentiment", 500, "bottom") is None


def test_a_study_without_surgeries_knows_nothing_of_layers(known, make_runs):
    found = known(make_runs({1: 0.9}))
    assert not found.operated and not found.probed and found.models("BERT-base") == []


def test_what_two_surgeries_share(known, frames, make_runs):
    more = [
        make_runs({1: 0.4, 3: 0.4}, surgery="other_bottom", depth=0),
        make_runs({1: 0.4}, surgery="other_bottom", depth=1),
        make_runs({1: 0.4}, surgery="other_bottom", depth=0, n_train=50),
    ]
    shared = known(*frames, *more).shared_by("bottom", "other_bottom")
    assert list(shared.operated) == [PLACE] and list(shared.operated[PLACE]) == ["bottom", "other_bottom"]
    seeds = {
        surgery: {depth: sorted(scores.test) for depth, scores in shared.curve(PLACE, surgery).by_depth.items()}
        for surgery in ("bottom", "other_bottom")
    }
    # The untouched encoder (depth 2) is the same runs for both.
    assert seeds == {surgery: {0: [1], 1: [1], 2: [1, 2]} for surgery in seeds}
    assert shared.curve(PLACE, "bottom").by_depth[1].validation == pytest.approx({1: 10.0})
    assert shared.curve(PLACE, "other_bottom").by_depth[0].test == pytest.approx({1: 40.0})
    # Also where a surgery that is left out ran it.
    third = make_runs({5: 0.9}, surgery="third", depth=2)
    assert 5 in known(*frames, *more, third).shared_by("bottom", "other_bottom").full(PLACE).test
