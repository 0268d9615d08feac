"""The configurations that come with the repository can be planned, say how large they are, and ask what they should."""

from __future__ import annotations

import csv
import re
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from transfer_atlas import plan, study
from transfer_atlas.analysis import claims
from transfer_atlas.configuration import problems
from transfer_atlas.settings import Settings, UrlArtifact
from transfer_atlas.steps import prepare_task
from transfer_atlas.tasks.storage import read_split

ROOT = Path(__file__).parents[1]
DEFAULT = ROOT / "config.yaml"
CONFIGS = sorted((ROOT / "configs").glob("*.yaml"))
PETERS2019 = ROOT / "configs" / "peters2019.yaml"
TAMKIN2020 = ROOT / "configs" / "tamkin2020.yaml"

# A few rows of each artifact's files, in the form that its source has.
ROWS = {
    "conll-2003": "-DOCSTART- -X- -X- O\n\nU.N. NNP I-NP I-ORG\nofficial NN I-NP O\n\nEU NNP I-NP I-ORG\n. . O O\n\n",
    "sst-2": "sentence\tlabel\nhide new secretions \t0\nthat loves its characters \t1\n",
    "sick": (
        "pair_ID\tsentence_A\tsentence_B\trelatedness_score\tentailment_judgment\n"
        "1\tA group of kids\tA group of boys\t4.5\tNEUTRAL\n2\tA man\tNo man\t1.0\tCONTRADICTION\n"
        '3\tA "dog"\tAn animal\t5\tENTAILMENT\n'
    ),
    "mrpc": (
        '\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\n1\t7\t8\tHe said "no.\tHe did not.\n0\t9\t10\tOne.\tTwo.\n'
    ),
    "cola": "gj04\t1\t\tOur friends won't buy this.\ngj04\t0\t*\tThe book was by John written.\n",
    "sts": "main-captions\tMSRvid\t2012test\t0001\t5.000\tA plane.\tAn air plane.\t(c) someone\n" * 2,
}


def load(file: Path) -> Settings:
    files = [DEFAULT, file]
    return problems.load(problems.read_files(files), files)


@pytest.fixture(scope="module")
def peters2019() -> Settings:
    return load(PETERS2019)


@pytest.mark.parametrize("file", CONFIGS, ids=lambda file: file.stem)
def test_sound_and_as_large_as_it_says(file: Path) -> None:
    settings = load(file)
    selected = plan.expand(settings)
    assert selected.cells
    head = " ".join(re.findall(r"^# (.*)$", file.read_text(encoding="utf-8").split("\n\n")[0], re.M))
    for said in re.findall(r"\d+ runs in \d+ cells(?: after \d+ trials)?", head):
        assert said == study.extent(settings, selected)


def test_peters2019_says_how_large_it_is() -> None:
    assert re.search(r"\d+ runs in \d+ cells after \d+ trials", PETERS2019.read_text(encoding="utf-8"))


def test_tamkin2020_says_how_large_it_is() -> None:
    said = re.search(
        r"(\d+) runs in \d+ cells, (\d+) of them the paper's and (\d+) ours", TAMKIN2020.read_text("utf-8")
    )
    assert said is not None
    settings = load(TAMKIN2020)
    ours = next(place for place, entry in enumerate(settings.experiments) if entry.name == "initialisation")
    papers = plan.expand(settings.model_copy(update={"experiments": settings.experiments[:ours]})).runs
    every = plan.expand(settings).runs
    assert [int(number) for number in said.groups()] == [every, papers, every - papers]


@pytest.mark.parametrize(
    ("kind", "size", "trials", "places"),
    [
        ("progressive", 500, 50, range(13)),
        ("progressive", 5000, 3, range(13)),
        ("progressive", 50000, 3, range(13)),
        ("block", 5000, 10, range(1, 11)),
        ("preserve", 5000, 3, range(1, 11)),
        ("single", 5000, 3, range(1, 13)),
        ("permute", 5000, 3, range(1, 11)),
    ],
)
def test_trials_of_tamkin2020_are_those_published(kind: str, size: int, trials: int, places: range) -> None:
    """But for permutations: one trial in the paper, which leaves no interval."""
    settings = load(TAMKIN2020)
    names = [name for name, entry in settings.surgeries.items() if entry.kind == kind and "authors" in entry.init]
    first = names[0] if names else next(name for name, entry in settings.surgeries.items() if entry.kind == kind)
    cells = [
        cell
        for cell in plan.expand(settings).cells.values()
        if (cell.model, cell.surgery, cell.size) == ("bert", first, size) and settings.tasks[cell.task].paper_name
    ]
    assert {settings.tasks[cell.task].paper_name for cell in cells} >= {"SST-2", "QNLI"}
    for cell in cells:
        assert {run.depth for run in cell.runs} == set(places)
        assert {run.seed for run in cell.runs} == set(range(1, trials + 1))


def test_every_source_is_fixed(peters2019: Settings) -> None:
    for artifact in peters2019.artifacts.values():
        for url in artifact.files.values() if isinstance(artifact, UrlArtifact) else []:
            if "github" in url:
                assert re.search(r"/[0-9a-f]{12}([0-9a-f]{28})?/", url), url


def test_both_methods_with_five_seeds_on_every_task_of_table_2(peters2019: Settings) -> None:
    found: dict[tuple[str | None, str | None, str], int] = {}
    for cell in plan.expand(peters2019).cells.values():
        model, task = peters2019.models[cell.model], peters2019.tasks[cell.task]
        place = (model.paper_name, task.paper_name, peters2019.recipes[cell.recipe].method)
        found[place] = len({run.seed for run in cell.runs})
    for who in ("ELMo", "BERT-base"):
        for what in ("CoNLL-2003 NER", "SST-2", "MNLI", "SICK-E", "SICK-R", "MRPC", "STS-B"):
            assert [found.get((who, what, method)) for method in ("extract", "finetune")] == [5, 5], (who, what)


def test_its_names_are_those_of_the_published_numbers(peters2019: Settings) -> None:
    with open(Path(claims.__file__).parents[1] / "published" / "peters2019.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {row["model"] for row in rows} - {"Skip-thoughts"} <= {m.paper_name for m in peters2019.models.values()}
    assert {row["task"] for row in rows} <= {task.paper_name for task in peters2019.tasks.values()}


def test_its_splits_that_are_not_published_are_stand_ins(peters2019: Settings) -> None:
    used = {cell.task for cell in plan.expand(peters2019).cells.values()}
    assert {name for name in used if peters2019.tasks[name].stand_in} == {"mnli", "cola"}


@pytest.mark.parametrize("name", ["conll-2003", "sst-2", "sick-e", "sick-r", "mrpc", "cola", "sts-b"])
def test_its_tasks_read_the_form_of_their_files(peters2019: Settings, tmp_path: Path, name: str) -> None:
    task = peters2019.tasks[name]
    assert task.artifact is not None
    for split, file in task.files.items():
        assert isinstance(file, str)
        text = ROWS[task.artifact]
        if name == "cola" and split == "train":  # from which test is carved
            text += "".join(f"gj04\t1\t\tSentence {number}.\n" for number in range(600))
        path = tmp_path / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    prepare_task.run(name, task, tmp_path, tmp_path / "prepared")
    train = read_split(tmp_path / "prepared", "train")
    assert len(train) >= 2
    if name == "conll-2003":
        assert train.words == [["U.N.", "official"], ["EU", "."]]
    if name == "mrpc":
        assert train.texts[0] == 'He said "no.'


def test_mnli_keeps_its_genres(peters2019: Settings, tmp_path: Path) -> None:
    task = peters2019.tasks["mnli"]
    for split, file in task.files.items():
        assert isinstance(file, str)
        n = 9900 if split == "train" else 6
        columns = {
            "premise": [f"Premise {k}" for k in range(n)],
            "hypothesis": ["Hypothesis"] * n,
            "genre": [("fiction", "travel")[k % 2] for k in range(n)],
            "label": [k % 3 for k in range(n)],
        }
        path = tmp_path / file
        path.parent.mkdir(exist_ok=True)
        pq.write_table(pa.table(columns), path)
    prepare_task.run("mnli", task, tmp_path, tmp_path / "prepared")
    assert read_split(tmp_path / "prepared", "test").groups == ["fiction", "travel"] * 3
    assert len(read_split(tmp_path / "prepared", "validation")) == 9815


def test_it_is_planned_without_network(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "snakemake", "--dry-run", "--quiet", "rules", "--cores", "1"]
    command += ["--directory", str(tmp_path), "--configfile", str(DEFAULT), str(PETERS2019)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "probe_layers" in done.stdout + done.stderr
