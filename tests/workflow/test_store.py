"""The store of finished runs can be questioned: ignored, listed, verified, cleared."""

from __future__ import annotations

import json
from pathlib import Path

from little_study import HEADS_CELL, HEADS_FILE, RUNS_IN_STORE, SIMILARITY_FILE, LittleStudy


def runs_of(study: LittleStudy, name: str) -> list[Path]:
    """Store folders of the runs that `store list` calls by this name."""
    lines = study.atlas("store", "list").out.splitlines()
    short = [line.split()[0] for line in lines if name in line]
    return [next((study.results / "store").glob(f"*/{digest}*")) for digest in short]


def test_ignoring_the_store_computes_the_same_anew(study: LittleStudy, finished: LittleStudy) -> None:
    before = study.stored()
    assert study.run_jobs(HEADS_FILE, "--forcerun", HEADS_FILE, "--config", "store=ignore") == {HEADS_CELL}

    log = study.log(HEADS_CELL)
    assert log.count(" steps in ") == 2
    assert "taken from the store" not in log
    after = study.stored()
    assert after.keys() == before.keys()
    assert sum(after[path] != before[path] for path in after) == 2
    assert study.differing(finished) == []

    # Only asked for once: the next forced call takes them from the store again.
    study.run(HEADS_FILE, "--forcerun", HEADS_FILE)
    assert study.log(HEADS_CELL).count("taken from the store") == 2


def test_list_names_every_run(finished: LittleStudy) -> None:
    call = finished.atlas("store", "list")
    assert call.status == 0
    assert call.out.splitlines()[-1] == f"{RUNS_IN_STORE} runs"
    assert sum("tiny/none/similarity/patient/none/nall seed=" in line for line in call.out.splitlines()) == 2
    assert finished.atlas("store", "list", "--task", "similarity").out.splitlines()[-1] == "2 runs"
    assert finished.atlas("store", "list", "--unused").out.splitlines()[-1] == "0 runs"


def test_verify_recomputes_and_finds_all_sound(finished: LittleStudy) -> None:
    call = finished.atlas("store", "verify", "--task", "similarity", "--sample", "1")
    assert call.status == 0, call.words
    assert "checksums: 2 of 2 finished runs are sound" in call.out
    assert call.out.count("recomputed: equal") == 1


def test_verify_finds_tampered_predictions(study: LittleStudy) -> None:
    folder, _ = runs_of(study, "tiny/none/sentiment/extract")
    path = folder / "predictions.parquet"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)

    call = study.atlas("store", "verify", "--sample", "0")
    assert call.status == 1
    assert str(folder.relative_to(study.folder)) in call.out
    assert f"checksums: {RUNS_IN_STORE - 1} of {RUNS_IN_STORE} finished runs are sound" in call.out
    assert len(call.err.splitlines()) == 1

    # Nor is it used: the job trains this run anew and takes the other.
    study.run(HEADS_FILE, "--forcerun", HEADS_FILE)
    assert study.log(HEADS_CELL).count(" steps in ") == 1
    assert study.log(HEADS_CELL).count("taken from the store") == 1
    assert study.atlas("store", "verify", "--sample", "0").status == 0


def tamper_with_score(folder: Path) -> None:
    """Make a run look better than it was."""
    path = folder / "result.json"
    result = json.loads(path.read_text(encoding="utf-8"))
    result["values"][0]["value"] += 0.01
    path.write_text(json.dumps(result), encoding="utf-8")


def tamper_with_seed(folder: Path) -> None:
    """Make a run look like another."""
    path = folder / "result.json"
    result = json.loads(path.read_text(encoding="utf-8"))
    result["identity"]["settings"]["seed"] += 1
    path.write_text(json.dumps(result), encoding="utf-8")


def test_verify_finds_a_tampered_identity(study: LittleStudy) -> None:
    folder, _ = runs_of(study, "tiny/none/similarity")
    tamper_with_seed(folder)
    call = study.atlas("store", "verify", "--sample", "0")
    assert call.status == 1
    assert str(folder.relative_to(study.folder)) in call.out


def test_verify_finds_a_tampered_score(study: LittleStudy) -> None:
    folder, _ = runs_of(study, "tiny/none/similarity")
    tamper_with_score(folder)
    call = study.atlas("store", "verify", "--sample", "0")
    assert call.status == 1
    assert str(folder.relative_to(study.folder)) in call.out


def test_clear_forgets_what_was_chosen_and_only_when_told_so(study: LittleStudy) -> None:
    assert "2 runs would be removed" in study.atlas("store", "clear", "--task", "similarity").out
    assert len(study.stored()) == RUNS_IN_STORE
    assert "2 runs removed" in study.atlas("store", "clear", "--task", "similarity", "--yes").out
    assert len(study.stored()) == RUNS_IN_STORE - 2
    # The cell's table is still there, so nothing is missing.
    assert study.plan(SIMILARITY_FILE) == set()
