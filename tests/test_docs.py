"""What the documentation shows works."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from transfer_atlas import plan
from transfer_atlas.configuration import problems
from transfer_atlas.settings import Artifact, Settings, Task

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
BLOCKS = [
    pytest.param(block, id=f"{page.name} {number}")
    for page in PAGES
    if page.is_file()
    for number, block in enumerate(re.findall(r"^```yaml\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S), 1)
]


@pytest.mark.parametrize("block", BLOCKS)
def test_configurations_work(block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A whole configuration is laid over config.yaml; a part names settings that exist."""
    monkeypatch.chdir(tmp_path)
    if block.startswith(" "):
        # Lines that show one setting each, some in two ways.
        names = re.findall(r"^ {4}(\w+):", block, re.M)
        known = {*Task.model_fields, *(name for kind in Artifact.__origin__.__args__ for name in kind.model_fields)}
        assert names
        assert set(names) <= known
        return
    config: dict[str, Any] = yaml.safe_load(block)
    assert set(config) <= set(Settings.model_fields)
    file = Path("mine.yaml")
    file.write_text(block, encoding="utf-8")
    files = [ROOT / "config.yaml", file]
    settings = problems.load(problems.read_files(files), files)
    assert plan.expand(settings).cells


def test_a_task_takes_eight_lines() -> None:
    page = (ROOT / "docs" / "adding_a_task.md").read_text(encoding="utf-8")
    first = re.findall(r"^```yaml\n(.*?)^```", page, re.M | re.S)[0]
    assert len(first.splitlines()) == 8


@pytest.mark.parametrize("page", [page for page in PAGES if page.is_file()], ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    def anchors(text: str) -> set[str]:
        titles = re.findall(r"^#+ (.*)$", text, re.M)
        return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}

    for target in re.findall(r"\]\((?!https?://)([^)]+)\)", page.read_text(encoding="utf-8")):
        file, _, anchor = target.partition("#")
        path = page.parent / file if file else page
        assert path.exists(), target
        assert not anchor or anchor in anchors(path.read_text(encoding="utf-8")), target
