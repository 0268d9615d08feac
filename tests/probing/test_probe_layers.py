from pathlib import Path

import numpy as np
import pytest

from transfer_atlas.analysis import diagnostics
from transfer_atlas.probing.layers import RANDOM_LABELS, RANDOM_STATES, Split
from transfer_atlas.steps import probe_layers
from transfer_atlas.steps.probe_layers import Place

PLACE = Place("minilm", "sst2", "finetune", "all", 3)
MEASURES = ("probe", "mutual_information")


def split(n: int, seed: int, shifts: tuple[float, ...]) -> Split:
    """States of 10 dimensions whose classes lie 2 `shift` apart in the layer of that shift."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, n)
    means = np.asarray(shifts)[None, :, None] * (2 * labels[:, None, None] - 1)
    return Split((rng.normal(size=(n, len(shifts), 10)) + means).astype(np.float32), labels)


def states(train: int = 300, validation: int = 400) -> dict[str, tuple[Split, Split]]:
    return {
        name: (split(train, 1, shifts), split(validation, 2, shifts))
        for name, shifts in {"pretrained": (0.0, 0.0, 0.3), "finetuned": (0.0, 0.5, 3.0)}.items()
    }


def test_table_is_what_the_analysis_reads(tmp_path: Path):
    probe_layers.run(PLACE, states(), "sequence_classification", "accuracy", MEASURES, tmp_path / "a.parquet")
    table = diagnostics.collect([tmp_path / "a.parquet"])
    assert len(table) == 3 * (2 + 4) and (table["n"] == 400).all() and table["value"].notna().all()
    probe = diagnostics.curves(table, "minilm", "sst2", "probe")
    assert probe is not None and (probe.recipe, probe.size) == ("finetune", "all")
    assert probe.at("finetuned", 0)[3] < 0.6 < 0.9 < probe.at("finetuned", 1)[3] < probe.at("finetuned", 2)[3]
    known = diagnostics.curves(table, "minilm", "sst2", "mutual_information", "bits")
    assert known is not None
    assert known.at("pretrained", 1)[3] < 0.05 < 0.1 < known.at("finetuned", 1)[3] < 0.9 < known.at("finetuned", 2)[3]
    for control in (RANDOM_LABELS, RANDOM_STATES):
        assert max(abs(known.at(control, layer)[3]) for layer in range(3)) < 0.08


def test_same_bytes_again(tmp_path: Path):
    for name in "ab":
        probe_layers.run(PLACE, states(50, 50), "sequence_classification", "accuracy", MEASURES, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_scores_and_one_measure(tmp_path: Path):
    train, validation = (split(200, seed, (1.0, 1.0)) for seed in (1, 2))
    scored = {
        "pretrained": tuple(Split(side.states, side.states[:, 1].sum(axis=1) / 5) for side in (train, validation))
    }
    probe_layers.run(PLACE, scored, "pair_regression", "pearson", ["probe"], tmp_path / "a")
    table = diagnostics.collect([tmp_path / "a"])
    assert set(table["measure"]) == {"probe"} and set(table["metric"]) == {"pearson"}
    assert table.set_index("layer")["value"][1] == pytest.approx(1, abs=1e-3)
