"""The command line as people meet it: one line for what they can mend, and no waiting for torch."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from transfer_atlas import __main__, study

SOUND = Path(__file__).parents[1] / "sound_configuration.yaml"


def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """Run a command in this process: exit status, and what it printed (errors, if there are any)."""
    monkeypatch.setattr(sys, "argv", ["transfer_atlas", *arguments])
    for name in ("HF_HUB_OFFLINE", "HF_HUB_DISABLE_PROGRESS_BARS", "TRANSFORMERS_VERBOSITY"):
        monkeypatch.setenv(name, "1")  # the command sets them: given back after the test
    status = __main__.main()
    printed = capsys.readouterr()
    return status, printed.err or printed.out


@pytest.mark.parametrize(
    "arguments",
    [
        ("status",),
        ("store", "list"),
        ("train", "a/none/b/c/none/n1"),
        ("aggregate",),
        ("plot",),
    ],
    ids=lambda arguments: arguments[0],
)
def test_without_settings(
    results: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
) -> None:
    status, text = command(monkeypatch, capsys, *arguments)
    assert status == 1
    assert text == "error: results/settings.json not found; run snakemake here first\n"


@pytest.mark.parametrize("step", ["train", "train_heads"])
def test_unknown_cell(
    results: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], step: str
) -> None:
    study.write_settings(results.settings)
    name = {"train": "tiny/none/{}/finetune/none/n16", "train_heads": "tiny/none/{}/extract.mean"}[step]
    status, text = command(monkeypatch, capsys, step, name.format("sentimant"))
    assert status == 1
    assert text == (
        f"error: no experiment selects {name.format('sentimant')}; did you mean {name.format('sentiment')}?\n"
    )


def test_check_of_a_sound_configuration(
    results: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    status, text = command(monkeypatch, capsys, "check", "--configfile", str(SOUND))
    assert status == 0
    assert text.startswith("Study small: ")


def test_check_lays_files_over_the_default_configuration(
    results: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(SOUND, "config.yaml")
    Path("mine.yaml").write_text("study: mine\n", encoding="utf-8")
    status, text = command(monkeypatch, capsys, "check", "--configfile", "mine.yaml")
    assert status == 0
    assert text.startswith("Study mine: ")


def test_check_of_a_broken_configuration(
    results: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(SOUND, "config.yaml")
    Path("mine.yaml").write_text("stduy: mine\n", encoding="utf-8")
    status, text = command(monkeypatch, capsys, "check", "--configfile", "mine.yaml")
    assert status == 1
    assert text.startswith('error: mine.yaml:1: stduy is "mine": no such setting; allowed are study, ')
    assert text.endswith("; did you mean study?\n")
    assert text.count("\n") == 1


def test_check_names_a_task_file_that_is_not_there(
    results: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("pairs.tsv").unlink()
    status, text = command(monkeypatch, capsys, "check", "--configfile", str(SOUND))
    assert status == 1
    assert text.startswith("error: tasks.")
    assert "files.train: pairs.tsv not found; " in text
    assert text.count("\n") == 1


def test_check_of_a_missing_file(
    results: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    status, text = command(monkeypatch, capsys, "check", "--configfile", "missing.yaml")
    assert status == 1
    assert text == "error: missing.yaml: No such file or directory; name an existing configuration file\n"


def test_status_of_the_latest_run(
    results: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    study.write_settings(results.settings)
    status, text = command(monkeypatch, capsys, "status", "--cores", "2")
    assert status == 0
    assert "left on 2 cores" in text


def test_schema_and_reference_are_written(
    results: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    status, _ = command(monkeypatch, capsys, "schema", "--schema", "a/schema.json", "--reference", "b/settings.md")
    assert status == 0
    assert "properties" in json.loads(Path("a/schema.json").read_text(encoding="utf-8"))
    assert Path("b/settings.md").read_text(encoding="utf-8").startswith("# Settings")


@pytest.mark.parametrize(
    "arguments",
    [["status"], ["status", "--orphans"], ["check", "--configfile", str(SOUND)]],
    ids=lambda arguments: " ".join(arguments[:2]),
)
def test_what_people_type_does_not_wait_for_torch(results: Any, arguments: list[str]) -> None:
    study.write_settings(results.settings)
    program = (
        "import sys; from transfer_atlas import __main__\n"
        f"sys.argv = ['transfer_atlas', *{arguments!r}]\n"
        "assert __main__.main() == 0\n"
        "print(sorted({'torch', 'transformers', 'datasets', 'pandas', 'sklearn', 'pyarrow'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
