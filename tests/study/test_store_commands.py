"""`store list`, `store verify` and `store clear` on runs made by hand."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

import pytest

from transfer_atlas import store_commands
from transfer_atlas.errors import UserError
from transfer_atlas.plan import Run
from transfer_atlas.settings import Settings

SENTIMENT = "tiny/none/sentiment/finetune/none/n16"
SIMILARITY = "tiny/none/similarity/finetune/none/n16"


@pytest.fixture
def digests(results: Any) -> list[str]:
    """Two finished runs of two tasks."""
    results.prepare_everything()
    return [results.finish(results.cell(name), Run(None, 1)) for name in (SENTIMENT, SIMILARITY)]


def ask(settings: Settings, action: str, **options: Any) -> None:
    """Run the command."""
    usual = {"task": None, "model": None, "unused": False, "sample": 0, "seed": 0, "yes": False}
    store_commands.run(settings, Namespace(action=action, **(usual | options)))


def without_similarity(settings: Settings) -> Settings:
    """Settings that no longer ask for the second run."""
    config = settings.model_dump(mode="json")
    config["experiments"][0]["tasks"] = ["sentiment"]
    return Settings.model_validate(config)


def test_list(results: Any, digests: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    ask(results.settings, "list")
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "2 runs"
    assert sorted(line.split()[0] for line in lines[:-1]) == sorted(digest[:12] for digest in digests)
    assert any(line.endswith(f"2.0 s  {SENTIMENT} seed=1") for line in lines)


def test_list_by_task(results: Any, digests: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    ask(results.settings, "list", task="similarity")
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == [digests[1][:12], "1"]


def test_list_what_nobody_asks_for(results: Any, digests: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    ask(without_similarity(results.settings), "list", unused=True)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith(digests[1][:12])
    assert lines[0].endswith("not asked for by the current settings")


def test_clear_only_says_what_it_would_do(results: Any, digests: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    ask(results.settings, "clear")
    assert capsys.readouterr().out == "2 runs would be removed; add --yes to do it\n"
    assert results.store.digests() == sorted(digests)


def test_clear_by_task(results: Any, digests: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    ask(results.settings, "clear", task="sentiment", yes=True)
    assert capsys.readouterr().out == "1 runs removed\n"
    assert results.store.digests() == [digests[1]]


def test_verify_sound_runs(results: Any, digests: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    ask(results.settings, "verify")
    assert capsys.readouterr().out == "checksums: 2 of 2 finished runs are sound\n"


def test_verify_finds_a_changed_file(results: Any, digests: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    (results.store.folder(digests[0]) / "predictions.parquet").write_text("other", encoding="utf-8")
    with pytest.raises(UserError, match="1 damaged and 0 different runs"):
        ask(results.settings, "verify")
    assert digests[0] in capsys.readouterr().out


def test_verify_finds_a_changed_identity(results: Any, digests: list[str]) -> None:
    file = results.store.folder(digests[0]) / "result.json"
    file.write_text(file.read_text(encoding="utf-8").replace('"seed": 1', '"seed": 2'), encoding="utf-8")
    with pytest.raises(UserError, match="1 damaged"):
        ask(results.settings, "verify")
