from transfer_atlas import atomic
from transfer_atlas.analysis import intermediate_training
from transfer_atlas.plan import State


def result(digest, left_out):
    facts = {"n_train": 600, "left_out": left_out, "steps": 76, "tokens": 38400, "seconds": 12.0}
    values = [
        {"split": split, "metric": metric, "value": 0.9, "n_examples": 500}
        for split in ("validation", "test")
        for metric in ("accuracy", "macro_f1")
    ]
    return {"digest": digest, "facts": facts, "values": values}


def test_one_row_for_each_training_split_and_metric(tmp_path):
    trainings = []
    for seed, left_out in ((1, 3), (2, 5)):
        path = tmp_path / f"seed{seed}.json"
        atomic.write_json(path, result(f"digest{seed}", left_out))
        trainings.append((State("tiny", "reviews", "sentiment", seed), path))
    table = intermediate_training.collect(trainings)
    assert list(table.columns) == list(intermediate_training.COLUMNS)
    assert len(table) == 2 * 2 * 2
    assert table.groupby("seed")["left_out"].unique().map(list).to_dict() == {1: [3], 2: [5]}
    assert set(table["target"]) == {"sentiment"}
    assert "seconds" not in table  # measured time would make the table's bytes differ


def test_no_training_gives_the_header_only():
    table = intermediate_training.collect([])
    assert len(table) == 0
    assert list(table.columns) == list(intermediate_training.COLUMNS)
