import math

import pandas as pd
import pytest

from transfer_atlas.analysis.evidence import Contrast, Evidence, extract, finetune, in_points, mean_by_seed
from transfer_atlas.analysis.intervals import Estimate
from transfer_atlas.settings import Model, Recipe, Task

from .conftest import TASKS, model, task

# More examples of one side than of the other must not be compared.
LARGE, SMALL = 5000, 1000


def sides(evidence: Evidence, task: str = "sst") -> Contrast | None:
    return evidence.contrast(task, (("small_bert",), finetune), (("small_bert",), extract))


def test_the_recipe_is_chosen_on_validation_not_on_test(study):
    tuned = {("small_bert", "sst", "tune"): 90.0, ("small_bert", "sst", "tune_attention"): 95.0}
    scores = {**tuned, ("small_bert", "sst", "freeze"): 80.0}
    found = sides(study(scores, validation={"tune": 88.0, "tune_attention": 87.0, "freeze": 80.0}))
    assert (found.left.recipe, found.estimate.mean) == ("tune", pytest.approx(10.0))
    found = sides(study(scores, validation={"tune": 87.0, "tune_attention": 88.0, "freeze": 80.0}))
    assert found.left.recipe == "tune_attention"


def test_ties_go_to_the_first_name_and_undefined_scores_last(study):
    scores = {("small_bert", "sst", name): 90.0 for name in ("tune", "tune_attention", "freeze")}
    assert sides(study(scores)).left.recipe == "tune"
    undefined = study(scores, validation={"tune": math.nan})
    assert sides(undefined).left.recipe == "tune_attention"


def test_the_largest_size_that_both_sides_have(study):
    scores = {
        ("small_bert", "sst", "tune"): {SMALL: 85.0, LARGE: 99.0, 200: 50.0},
        ("small_bert", "sst", "freeze"): {SMALL: 80.0, 200: 10.0},
    }
    found = sides(study(scores))
    assert found.n_train == SMALL and found.estimate.mean == pytest.approx(5.0)
    del scores["small_bert", "sst", "freeze"]
    assert sides(study(scores)) is None
    assert study(scores).arm(("small_bert",), "sst", finetune).n_train == LARGE
    assert study(scores).arm(("small_bert",), "sst", extract) is None
    assert study(scores).arm(("small_bert",), "sst", finetune, n_train=7) is None


def test_differences_are_paired_by_seed(study):
    scores = {
        ("small_bert", "sst", "tune"): {1: 90.0, 2: 80.0, 9: 0.0},
        ("small_bert", "sst", "freeze"): {1: 80.0, 2: 75.0, 8: 0.0},
    }
    assert sides(study(scores)).by_seed == {1: 10.0, 2: 5.0}


def test_means_over_tasks_keep_the_seeds_that_all_have():
    assert mean_by_seed([{1: 2.0, 2: 4.0}, {2: 8.0, 3: 1.0}]) == {2: 6.0}
    assert mean_by_seed([]) == {}
    assert in_points(Estimate(0.5, 0.1, 3, 0.4, 0.6)) == Estimate(50.0, 10.0, 3, 40.0, 60.0)


def test_from_the_long_table(make_runs):
    entry = Recipe(method="finetune", learning_rate=0.1)
    recipes = {"finetune": entry, "extract": entry.model_copy(update={"method": "extract"})}
    tasks = {"sentiment": Task(type="sequence_classification", files={"train": "t.csv"})}
    runs = pd.concat(
        [
            make_runs({1: 0.8, 2: 0.9}, n_train=500),
            make_runs({1: 0.8, 2: 0.9}, n_train=500, size="all", digest="tiny sentiment finetune none none None 500"),
            make_runs({1: 0.7, 2: 0.7}, n_train=500, recipe="extract"),
            make_runs({1: 0.1, 2: 0.1}, n_train=500, intermediate="films"),
            make_runs({1: 0.1, 2: 0.1}, n_train=500, surgery="resets", depth=0),
        ]
    )
    counts = {"sentiment": {"test": {"good": 120, "bad": 80}}}
    evidence = Evidence.of(runs, {"tiny": Model(artifact="a", layers=1)}, tasks, recipes, counts)
    assert evidence.systems() == [("tiny",)] and evidence.tasks_run(("tiny",)) == ["sentiment"]
    found = evidence.contrast("sentiment", (("tiny",), finetune), (("tiny",), extract))
    assert found.by_seed == pytest.approx({1: 10.0, 2: 20.0})
    assert found.left.constant == evidence.constant("sentiment") == pytest.approx(60.0)
    # The fixture's validation scores are half a unit below those on test.
    assert evidence.scores["tiny", "sentiment"][500]["finetune"].validation == pytest.approx({1: 30.0, 2: 40.0})


OWN = {name: model("BERT-base", stand_in=False) for name in ("uncased", "cased")}
ELSEWHERE = {("uncased", "sst"): 90.0, ("uncased", "mrpc"): 85.0, ("cased", "ner"): 92.0}


def of_two_models(study, models, extra=()):
    scores = {**ELSEWHERE, **dict.fromkeys(extra, 50.0)}
    both = {(*place, recipe): score for place, score in scores.items() for recipe in ("tune", "freeze")}
    return study(both, models=models)


def test_the_papers_own_models_of_one_name_are_one_system_task_by_task(study):
    evidence = of_two_models(study, {**OWN, "small_elmo": model("ELMo")})
    assert evidence.systems() == [("uncased", "cased")] and evidence.paper_name(("uncased", "cased")) == "BERT-base"
    assert evidence.tasks_run(("uncased", "cased")) == ["ner", "sst", "mrpc"]
    assert {task: evidence.arm(("uncased", "cased"), task, finetune).model for task in ("ner", "sst", "mrpc")} == {
        **{"ner": "cased", "sst": "uncased"},
        "mrpc": "uncased",
    }
    assert evidence.systems(["small_elmo"]) == [("uncased", "cased"), ("small_elmo",)]


@pytest.mark.parametrize(
    ("models", "extra"),
    [
        # Both on SST-2.
        (OWN, [("cased", "sst")]),
        # Stand-ins are never put together: they are as unlike each other as they are unlike the paper's.
        ({name: model("BERT-base", stand_in=True) for name in OWN}, []),
        ({"uncased": model("BERT-base", stand_in=False), "cased": model("BERT-base", stand_in=True)}, []),
        ({"uncased": model("BERT-base", stand_in=False), "cased": model("ELMo", stand_in=False)}, []),
        ({"uncased": model(None, stand_in=False), "cased": model("BERT-base", stand_in=False)}, []),
    ],
)
def test_all_other_models_are_systems_of_their_own(study, models, extra):
    assert of_two_models(study, models, extra).systems() == [("uncased",), ("cased",)]


def test_two_entries_of_one_of_the_papers_tasks_are_the_same_task(study):
    tasks = {**TASKS, "phrases": task("SST-2", "sequence_classification", stand_in=True)}
    scores = {("uncased", "sst", "tune"): 90.0, ("cased", "phrases", "tune"): 90.0}
    assert study(scores, models=OWN, tasks=tasks).systems() == [("uncased",), ("cased",)]
