from transfer_atlas import atomic
from transfer_atlas.analysis import intermediate_training
from transfer_atlas.plan import State
from transfer_atlas.settings import Intermediate

ENTRIES = {
    "reviews": Intermediate(task="imdb", recipe="long"),
    "both": Intermediate(task="goods", recipe="long", after="reviews"),
}


def result(digest, left_out, before):
    facts = {"n_train": 600, "left_out": left_out, "steps": 76, "tokens": 38400, "seconds": 12.0}
    values = [
        {"split": split, "metric": metric, "value": 0.9, "n_examples": 500}
        for split in ("validation", "test")
        for metric in ("accuracy", "macro_f1")
    ]
    return {"digest": digest, "facts": facts, "values": values, "steps_before": before}


def test_one_row_for_each_training_split_and_metric(tmp_path):
    trainings = []
    for name, task, seed, left_out in (("reviews", "imdb", 1, 3), ("reviews", "imdb", 2, 3), ("both", "goods", 1, 5)):
        path = tmp_path / f"{name}{seed}.json"
        atomic.write_json(path, result(f"{name}{seed}", left_out, 76 if name == "both" else 0))
        trainings.append((State("tiny", name, task, seed), path))
    table = intermediate_training.collect(trainings, ENTRIES)
    assert list(table.columns) == list(intermediate_training.COLUMNS)
    assert len(table) == 3 * 2 * 2
    told = ["intermediate", "task", "after", "seed", "left_out", "steps_before"]
    rows = table[told].drop_duplicates().astype(object).where(table[told].notna(), None).to_numpy().tolist()
    assert rows == [
        ["reviews", "imdb", None, 1, 3, 0],
        ["reviews", "imdb", None, 2, 3, 0],
        ["both", "goods", "reviews", 1, 5, 76],
    ]
    assert "seconds" not in table  # measured time would make the table's bytes differ


def test_no_training_gives_the_header_only():
    table = intermediate_training.collect([], {})
    assert len(table) == 0
    assert list(table.columns) == list(intermediate_training.COLUMNS)
