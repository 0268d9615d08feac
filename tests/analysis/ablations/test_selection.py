import pytest

from transfer_atlas.analysis.ablations import selection

SCORES = {1: 0.8, 2: 0.9}
HERE = ("tiny", "sentiment", "finetune", "1000", "accuracy")


def test_full_is_whole_untouched_and_without_an_intermediate_task(main, make_runs, surgeries, layers):
    others = [
        make_runs(SCORES, recipe="extract_each", depth=3),
        make_runs(SCORES, intermediate="films"),
        make_runs(SCORES, surgery="resets", depth=2),
        make_runs(SCORES, surgery="singles", depth=3),
        make_runs(SCORES, surgery="shuffled", depth=3),
    ]
    assert selection.full(main(*others), surgeries, layers) == {}
    found = selection.full(main(*others, make_runs({3: 0.7})), surgeries, layers)
    assert {place: sample.scores for place, sample in found.items()} == {HERE: {3: 0.7}}


def test_full_by_either_name_once(main, make_runs, surgeries, layers):
    names = [make_runs(SCORES, surgery=name, depth=3, digest="full") for name in ("resets", "authors")]
    found = selection.full(main(*names, make_runs({2: 0.9, 3: 0.7}, digest="full")), surgeries, layers)
    assert found[HERE].scores == {**SCORES, 3: 0.7}
    assert len(found[HERE].runs) == len(set(found[HERE].runs)) == 3


def test_depth_of_all_layers_is_the_models_own(main, make_runs, surgeries):
    rows = [make_runs(SCORES, surgery="resets", depth=3, model=model) for model in ("small", "large")]
    found = selection.full(main(*rows), surgeries, {"small": 3, "large": 6})
    assert [place[0] for place in found] == ["small"]


def test_scratch_in_the_configurations_order(main, make_runs, surgeries):
    rows = [make_runs(SCORES, surgery=name, depth=0) for name in ("authors", "careful", "resets")]
    found = selection.scratch(main(*rows, make_runs(SCORES, surgery="resets", depth=1)), surgeries)
    assert {place: list(names) for place, names in found.items()} == {HERE: ["resets", "authors", "careful"]}


@pytest.mark.parametrize(
    "change",
    [{"init": "model_default"}, {"biases": "keep"}, {"layer_norm": "keep"}, {"rate_factor": 5}],
    ids=lambda change: next(iter(change)),
)
def test_new_layers_differ_in_each_setting_of_the_scheme(surgeries, change):
    surgery = surgeries["resets"]
    assert selection.differing(surgery, surgeries["alone"]) == []  # Whatever the kind.
    assert selection.differing(surgery, surgery.model_copy(update={**change, "label": "Another"})) == list(change)
    assert selection.differing(surgeries["authors"], surgeries["careful"]) == ["biases", "rate_factor"]
