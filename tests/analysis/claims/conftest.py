"""A made-up study whose entries play the models and tasks of a paper, with chosen scores."""

from collections.abc import Callable

import pytest

from transfer_atlas.analysis.evidence import Evidence, Scores
from transfer_atlas.settings import Model, Recipe, Task

SEEDS = (1, 2, 3, 4, 5)
# Deviations of five seeds, with mean 0.
SPREAD = dict(zip(SEEDS, (-0.2, -0.1, 0.0, 0.1, 0.2), strict=True))
PLAYED = {
    "ner": ("CoNLL-2003 NER", "token_labelling"),
    "sst": ("SST-2", "sequence_classification"),
    "mnli": ("MNLI", "pair_classification"),
    "sick_e": ("SICK-E", "pair_classification"),
    "sick_r": ("SICK-R", "pair_regression"),
    "mrpc": ("MRPC", "pair_classification"),
    "stsb": ("STS-B", "pair_regression"),
    "cola": ("CoLA", "sequence_classification"),
}
FILES = {"train": "train.csv"}


def model(paper_name: str | None, stand_in: bool = True) -> Model:
    return Model(artifact="a", layers=2, paper_name=paper_name, stand_in=stand_in)


def task(paper_name: str | None, kind: str, stand_in: bool = False) -> Task:
    extra = {"score_range": [0.0, 5.0]} if kind == "pair_regression" else {}
    extra |= {"tags": "bio"} if kind == "token_labelling" else {}
    return Task(type=kind, files=FILES, paper_name=paper_name, stand_in=stand_in, **extra)


RECIPES = {
    "tune": Recipe(method="finetune", learning_rate=1e-3),
    "tune_attention": Recipe(method="finetune", learning_rate=1e-3, head="bi_attention", pairs="separate"),
    "tune_crf": Recipe(method="finetune", learning_rate=1e-3, head="crf"),
    "tune_crf_gradual": Recipe(method="finetune", learning_rate=1e-3, head="crf", unfreeze_epochs=1),
    "tune_lstm": Recipe(method="finetune", learning_rate=1e-3, head="bilstm_crf"),
    "freeze": Recipe(method="extract", learning_rate=1e-3),
    "freeze_separate": Recipe(method="extract", learning_rate=1e-3, head="esim", pairs="separate"),
    "freeze_crf": Recipe(method="extract", learning_rate=1e-3, head="crf"),
    "freeze_lstm": Recipe(method="extract", learning_rate=1e-3, head="bilstm_crf"),
}
MODELS = {"small_elmo": model("ELMo"), "small_bert": model("BERT-base"), "other": model(None)}
TASKS = {name: task(*played) for name, played in PLAYED.items()}


@pytest.fixture
def study() -> Callable[..., Evidence]:
    """`study({(model, task, recipe): score}, ...)`: the score (points) is the mean of five seeds, on validation too.

    A score may be a dict of seeds, or of sizes to such.
    """

    def made(scores, models=MODELS, tasks=TASKS, recipes=RECIPES, validation=None, counts=None) -> Evidence:
        found: dict = {}
        for (name, data, recipe), given in scores.items():
            by_size = given if isinstance(given, dict) and min(given) > 50 else {1000: given}
            for n_train, score in by_size.items():
                test = score if isinstance(score, dict) else {seed: score + SPREAD[seed] for seed in SEEDS}
                chosen_by = (validation or {}).get(recipe)
                seen = test if chosen_by is None else dict.fromkeys(test, chosen_by)
                found.setdefault((name, data), {}).setdefault(n_train, {})[recipe] = Scores(seen, test)
        return Evidence(models, tasks, recipes, found, counts or {})

    return made


@pytest.fixture
def gains(study) -> Callable[..., Evidence]:
    """`gains({model: {task: gain}})`: extraction at 80 points, fine-tuning `gain` above, the gain's sd about 0.02."""

    def made(wanted, **others) -> Evidence:
        scores = {}
        for name, of_model in wanted.items():
            for data, gain in of_model.items():
                scores[name, data, "freeze"] = 80.0
                scores[name, data, "tune"] = {seed: 80.0 + gain + 1.1 * SPREAD[seed] for seed in SEEDS}
        return study(scores, **others)

    return made
