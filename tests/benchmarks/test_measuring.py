"""What the benchmarks measure with: processes, ratios, sentences, records."""

from __future__ import annotations

import csv
import gzip
import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from benchmarks import figures, finetune, memory, record
from benchmarks.figures import Figure
from benchmarks.finetune import System
from benchmarks.process import run, run_side_by_side
from benchmarks.sentences import sentences
from transfer_atlas.errors import UserError

# --- processes ------------------------------------------------------------------------------------------------


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_core_seconds_are_those_of_the_child_and_its_children() -> None:
    work = "import time\nwhile time.process_time() < 0.3: pass"
    usage = run(python(f"import subprocess, sys\n{work}\nsubprocess.run([sys.executable, '-c', {work!r}])"))
    assert usage.core_seconds >= 0.6


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the peak is read from /proc")
def test_a_peak_is_seen_although_the_process_starts_counting_anew() -> None:
    code = (
        "import time\nblock = bytearray(300_000_000)\ntime.sleep(0.2)\ndel block\n"
        "open('/proc/self/clear_refs', 'w').write('5')\ntime.sleep(0.2)"
    )
    assert 0.3 < run(python(code)).peak_gb < 0.4


def test_a_failure_says_which_command_and_why() -> None:
    with pytest.raises(RuntimeError, match=r"raise SystemExit.* ended with status 3\n(.*\n)*no luck"):
        run(python("import sys; print('no luck', file=sys.stderr); raise SystemExit(3)"))


def test_side_by_side_runs_all_and_never_more_at_a_time_than_asked(tmp_path: Path) -> None:
    code = "import time; start = time.time(); time.sleep(0.3); print(start, time.time())"
    usages = run_side_by_side([python(code)] * 3, at_a_time=2)
    spans = [tuple(map(float, usage.output.split())) for usage in usages]
    assert len(spans) == 3
    assert max(sum(start <= moment < end for start, end in spans) for moment, _ in spans) <= 2


# --- figures --------------------------------------------------------------------------------------------------


def test_interval_of_a_ratio_is_welchs_on_logarithms() -> None:
    above, below = [30.0, 33.0, 29.0, 35.0], [10.0, 11.0, 10.5]
    found = figures.ratio(above, below)
    expected = stats.ttest_ind(np.log(above), np.log(below), equal_var=False).confidence_interval()
    assert found.mean == pytest.approx(math.exp(np.mean(np.log(above)) - np.mean(np.log(below))))
    assert (found.low, found.high) == pytest.approx(tuple(np.exp([expected.low, expected.high])))


def test_a_ratio_of_single_values_has_no_interval() -> None:
    figure = figures.of(figures.ratio([6.0], [2.0, 2.0]), "x", "")
    assert (figure.value, figure.n, figure.low, figure.high) == (pytest.approx(3.0), 1, None, None)


@pytest.mark.parametrize(
    ("figure", "met", "verdict"),
    [
        (Figure("", 31.0, "x", 5, target=30.0, at_least=True), True, "met"),
        (Figure("", 24.0, "x", 5, target=30.0, at_least=True), False, "missed by 6.00 (20%)"),
        (Figure("", 6.0, "s", 5, target=5.0, at_least=False), False, "missed by 1.00 (20%)"),
        (Figure("", 0.1, "", 5, -0.1, 0.3, must_hold=0.0), True, "met"),
        (Figure("", 0.2, "", 5, 0.1, 0.3, must_hold=0.0), False, "missed: not in the interval"),
        (Figure("", 0.2, "", 1, must_hold=0.0), None, "needs two seeds"),
        (Figure("", 0.2, "", 1), None, ""),
    ],
)
def test_verdicts(figure: Figure, met: bool | None, verdict: str) -> None:
    assert figure.met is met
    assert record.verdict(figure) == verdict


def test_systems_are_compared_by_cost_and_paired_by_seed() -> None:
    found = {
        figure.name: figure
        for figure in finetune.compare(
            {
                "ours": System([2.0, 2.0], [1.0, 1.0], {1: 0.7, 2: 0.8}),
                "default": System([70.0, 70.0], [60.0, 60.0], {2: 0.8, 1: 0.7}),
                "best": System([8.0, 8.0], [5.0, 5.0], {1: 0.5, 2: 0.6}),
            }
        )
    }
    assert found["Trainer default / ours, core-seconds"].value == pytest.approx(35)
    assert found["Trainer default / ours, core-seconds"].met
    assert found["Trainer best / ours, core-seconds of training and evaluation"].value == pytest.approx(5)
    assert found["accuracy, ours - Trainer default"].met
    assert found["accuracy, ours - Trainer best"].value == pytest.approx(0.2)
    assert found["accuracy, ours - Trainer best"].met is False


# --- sentences ------------------------------------------------------------------------------------------------


@pytest.fixture
def sst2(tmp_path: Path) -> Path:
    """A folder like GLUE's: one text of the validation split is a training text, too."""
    with gzip.open(tmp_path / "train.tsv.gz", "wt", encoding="utf-8") as stream:
        stream.write("sentence\tlabel\n" + "".join(f'a "film {k} \t{k % 2}\n' for k in range(40)))
    (tmp_path / "validation.tsv").write_text(
        "sentence\tlabel\n" + "".join(f'a "film {k} \t{k % 2}\n' for k in (3, 90, 91))
    )
    return tmp_path


def test_sentences_are_the_same_at_every_call_and_no_test_text_is_trained_on(sst2: Path) -> None:
    found = sentences(sst2, sst2, n_train=20, n_test=3)
    assert found == sentences(sst2, sst2, n_train=20, n_test=3)
    assert found.train[:5] == sentences(sst2, sst2, n_train=5, n_test=3).train
    assert len(set(found.train)) == 20
    assert [text for text, _ in found.test] == ['a "film 3', 'a "film 90', 'a "film 91']
    assert not {text for text, _ in found.train} & {text for text, _ in found.test}


def test_sentences_are_written_with_a_validation_of_both_classes(sst2: Path, tmp_path: Path) -> None:
    sentences(sst2, sst2, n_train=20, n_test=3).write(tmp_path / "data")
    with open(tmp_path / "data" / "validation.csv", encoding="utf-8", newline="") as stream:
        assert [row["label"] for row in csv.DictReader(stream)] == ["0", "1"]


def test_too_few_sentences_are_the_users_to_mend(sst2: Path) -> None:
    with pytest.raises(UserError, match="SST-2: 39 training and 3 test rows; 500 and 3 are needed"):
        sentences(sst2, sst2, n_train=500, n_test=3)


def test_made_up_texts_are_of_both_classes() -> None:
    found = memory.made_up(50, 20)
    assert (len(found.train), len(found.test)) == (50, 20)
    assert {label for _, label in found.train} == {0, 1}


# --- records --------------------------------------------------------------------------------------------------

RESULTS = {
    "a": {"figures": [Figure("ratio", 24.0, "x", 5, 22.0, 26.0, target=30.0, at_least=True)], "raw": [1.0, math.nan]},
    "gpu": {"skipped": "needs a CUDA device"},
    "e": {"failed": "snakemake ended with status 1\nlong story"},
}
TITLES = {"a": "(a) Ratio", "gpu": "(gpu) GPU", "e": "(e) Planning"}


def test_a_record_says_where_what_and_how_far_from_the_target(tmp_path: Path) -> None:
    where = record.machine()
    tables = record.table(RESULTS, TITLES)
    written = record.write(tmp_path, record.document(RESULTS, where, quick=False), tables)
    assert [path.suffix for path in sorted(tmp_path.iterdir())] == [".json", ".md"]
    saved = json.loads(written.with_name(written.name.removesuffix(".md") + ".json").read_text(encoding="utf-8"))
    assert saved["machine"].keys() >= {"processor", "cores", "bfloat16", "torch"}
    (figure,) = saved["benchmarks"]["a"]["figures"]
    assert (figure["value"], figure["n"], figure["low"], figure["target"], figure["met"]) == (24, 5, 22, 30, False)
    assert saved["benchmarks"]["a"]["raw"] == [1.0, None]
    text = written.read_text(encoding="utf-8")
    assert f"torch {saved['machine']['torch']}" in text
    assert "| ratio | 24.0 x | 22.0 to 26.0 | 5 | ≥ 30.0 | missed by 6.00 (20%) |" in " ".join(text.split())
    assert "Skipped: needs a CUDA device." in text
    assert "Failed: snakemake ended with status 1." in text


def test_a_part_never_replaces_a_whole(tmp_path: Path) -> None:
    where = record.machine()
    whole, quick = (record.document(RESULTS, where, quick) for quick in (False, True))
    written = {
        record.write(tmp_path, whole, ""),
        record.write(tmp_path, quick, ""),
        record.write(tmp_path, whole, "", ["a"]),
    }
    assert len(written) == 3
