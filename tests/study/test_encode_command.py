"""`encode`: words of a text file to an archive of states."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModel

from transfer_atlas import __main__, plan
from transfer_atlas.models.encoder import load_pretrained
from transfer_atlas.representations import word_states

Make = Callable[..., Path]
Encode = Callable[..., tuple[int, str]]
LINES = ["w1 w2 w3", "", "w4.w5 w6", "w7", "  w8\tw9  \r"] + [f"w{k} " * (k % 7) for k in range(40)]


@pytest.fixture
def encode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Encode:
    """Run the command in this process on `text` (default: `LINES`): exit status, and what it printed or complained."""
    monkeypatch.chdir(tmp_path)
    for name in ("HF_HUB_OFFLINE", "HF_HUB_DISABLE_PROGRESS_BARS", "TRANSFORMERS_VERBOSITY"):
        monkeypatch.setenv(name, "1")  # the command sets them: given back after the test

    def run(model: Path | str, *options: str, text: str | bytes = "\n".join(LINES)) -> tuple[int, str]:
        Path("text.txt").write_bytes(text if isinstance(text, bytes) else text.encode())
        arguments = ["--model", str(model), "--text", "text.txt", "--output", "states.npz", *options]
        monkeypatch.setattr(sys, "argv", ["transfer_atlas", "encode", *arguments])
        status = __main__.main()
        printed = capsys.readouterr()
        # Progress bars of libraries, switched off too late in this process, end in a line of their own.
        return status, printed.err.splitlines(keepends=True)[-1] if status else printed.out

    return run


def archive() -> list[np.ndarray]:
    with np.load("states.npz", allow_pickle=False) as file:
        assert file.files == [str(number) for number in range(len(file.files))]
        return [file[name] for name in file.files]


@torch.no_grad()
def library_states(folder: Path, line: str) -> tuple[np.ndarray, list[str]]:
    """[layers, P, H] states of one line as transformers computes them, and its pieces."""
    tokenizer = load_pretrained(folder).tokenizer
    inputs = tokenizer(" ".join(line.split()), return_tensors="pt")
    model = AutoModel.from_pretrained(folder).eval()
    states = model(**inputs, output_hidden_states=True).hidden_states
    return torch.cat(states).numpy(), tokenizer.convert_ids_to_tokens(inputs["input_ids"][0])


@pytest.mark.parametrize("kind", ["bert", "roberta", "xlnet", "mpnet", "distilbert"])
def test_states_are_those_of_the_library(
    kind: str, make_encoder: Make, encode: Encode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of every layer and word; lines that are run together, in parts or held back do not mix."""
    monkeypatch.setattr(word_states, "HELD", (16, 120))
    monkeypatch.setattr(word_states, "AT_ONCE", (4, 30))
    lines = [line for line in LINES if "." not in line]
    assert encode(make_encoder(kind), text="\n".join(lines)) == (0, "states.npz: 44 sentences\n")
    for line, found in zip(lines, archive(), strict=True):
        expected, pieces = library_states(make_encoder(kind), line)
        own = [index for index, piece in enumerate(pieces) if piece.startswith("w")]
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected[:, own], atol=2e-5)


def test_words_of_several_pieces(make_encoder: Make, encode: Encode) -> None:
    expected, pieces = library_states(make_encoder("bert"), "w4.w5 w6")
    assert pieces == ["[CLS]", "w4", "[UNK]", "w5", "w6", "[SEP]"]
    encode(make_encoder("bert"))
    np.testing.assert_allclose(archive()[2], expected[:, [1, 4]], atol=2e-5)
    encode(make_encoder("bert"), "--pieces", "first")
    np.testing.assert_allclose(archive()[2], expected[:, [1, 4]], atol=2e-5)
    encode(make_encoder("bert"), "--pieces", "mean")
    mean = np.stack([expected[:, 1:4].mean(axis=1), expected[:, 4]], axis=1)
    np.testing.assert_allclose(archive()[2], mean, atol=2e-5)


def test_every_line_has_an_array(make_encoder: Make, encode: Encode) -> None:
    assert encode(make_encoder("bert")) == (0, "states.npz: 45 sentences\n")
    assert [array.shape for array in archive()] == [(4, len(line.split()), 32) for line in LINES]
    assert encode(make_encoder("bert"), text="\n".join(LINES) + "\n") == (0, "states.npz: 45 sentences\n")
    assert encode(make_encoder("bert"), text=b"\xef\xbb\xbfw1 w2\r\n\r\n")[0] == 0
    assert [array.shape for array in archive()] == [(4, 2, 32), (4, 0, 32)]
    assert encode(make_encoder("bert"), text="") == (0, "states.npz: 0 sentences\n")
    assert archive() == []


@pytest.mark.parametrize("options", [(), ("--stateful",)], ids=str)
def test_elmo(make_elmo: Make, encode: Encode, options: tuple[str, ...]) -> None:
    """Again gives the same bytes; only what is not stateful forgets the lines before."""
    folder = make_elmo()
    assert encode(folder, *options)[0] == 0
    first, states = Path("states.npz").read_bytes(), archive()
    assert [array.shape for array in states] == [(3, len(line.split()), 10) for line in LINES]
    assert encode(folder, *options)[0] == 0
    assert Path("states.npz").read_bytes() == first
    assert encode(folder, *options, text="\n".join(LINES[3:]))[0] == 0
    difference = max(np.abs(a - b).max(initial=0) for a, b in zip(states[3:], archive(), strict=True))
    assert difference > 1e-2 if options else difference < 1e-4


def test_stateful_goes_on_over_what_is_run_at_once(
    make_elmo: Make, encode: Encode, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_elmo()
    encode(folder, "--stateful")
    whole = archive()
    monkeypatch.setattr(word_states, "HELD", (9, 50))
    monkeypatch.setattr(word_states, "AT_ONCE", (2, 10))
    encode(folder, "--stateful")
    assert max(np.abs(a - b).max(initial=0) for a, b in zip(whole, archive(), strict=True)) < 1e-4


# --- what users can mend -----------------------------------------------------------------------------------


def test_a_sentence_longer_than_the_model(make_encoder: Make, encode: Encode) -> None:
    assert encode(make_encoder("bert"), text="w1 " * 64)[0] == 0
    Path("states.npz").unlink()
    status, text = encode(make_encoder("bert"), text="w1\n\n" + "w1 " * 65)
    assert status == 1
    assert text == "error: text.txt, line 3: has 67 pieces, but the model reads 66; split the line\n"
    assert sorted(path.name for path in Path().iterdir()) == ["text.txt"]


def test_text_that_is_not_utf_8(make_encoder: Make, encode: Encode) -> None:
    status, text = encode(make_encoder("bert"), text=b"w1\nw2\nw\xff")
    assert (status, text) == (1, "error: text.txt, line 3: is not UTF-8; convert the file\n")


def test_text_that_is_not_there(make_encoder: Make, encode: Encode) -> None:
    status, text = encode(make_encoder("bert"), "--text", "none.txt")
    assert status == 1
    assert text == "error: none.txt: cannot be read (No such file or directory)\n"


def test_options_of_the_other_kind_of_model(make_elmo: Make, make_encoder: Make, encode: Encode) -> None:
    status, text = encode(make_encoder("bert"), "--stateful")
    assert status == 1
    assert "keeps no state between sentences; leave out --stateful" in text
    assert text.count("\n") == 1
    status, text = encode(make_elmo(), "--pieces", "mean")
    assert status == 1
    assert "ELMo reads whole words; leave out --pieces" in text


def test_folders_without_a_model(encode: Encode, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    status, text = encode("empty")
    assert status == 1
    assert "config.json: not found" in text
    assert encode("empty/none") == (1, "error: empty/none: no such folder\n")


def test_models_of_the_configuration(results: Any, make_encoder: Make, encode: Encode) -> None:
    shutil.copy(Path(__file__).parents[1] / "sound_configuration.yaml", "config.yaml")
    status, text = encode("tinny")
    assert (status, text) == (1, "error: no model is called tinny; did you mean tiny?\n")
    status, text = encode("tiny")
    manifest = plan.manifest_file(results.settings.models["tiny"].artifact)
    assert (status, text) == (1, f"error: the model tiny has not been downloaded; run snakemake {manifest}\n")
    results.fetch(results.settings.models["tiny"].artifact)
    shutil.copytree(make_encoder("bert"), plan.model_folder(results.settings, "tiny"))
    assert encode("tiny")[0] == 0
    assert len(archive()) == len(LINES)
