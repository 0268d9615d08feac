"""The README says what the workflow does."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

TOP = Path(__file__).parent.parent
README = (TOP / "README.md").read_text(encoding="utf-8")


def test_rule_graph_is_the_workflow_s() -> None:
    """The drawn arrows are those that Snakemake finds."""
    command = [sys.executable, "-m", "snakemake", "--rulegraph", "mermaid-js"]
    printed = subprocess.run(command, cwd=TOP, capture_output=True, text=True, check=True).stdout
    names = dict(re.findall(r"(id\d+)\[(\w+)\]", printed))
    actual = {(names[a], names[b]) for a, b in re.findall(r"(id\d+) --> (id\d+)", printed)}
    drawn = set(re.findall(r"^    (\w+) --> (\w+)$", README, re.MULTILINE))
    assert actual
    assert drawn == actual


def test_links_lead_somewhere() -> None:
    """Every relative link and picture of the README exists."""
    links = [link for link in re.findall(r"\]\(([^)]+)\)", README) if "://" not in link]
    assert links
    assert [link for link in links if not (TOP / link).exists()] == []


def test_own_task_has_eight_lines() -> None:
    """The example of one's own task is as short as promised."""
    example = re.search(r"```yaml\n(.*?)```", README, re.DOTALL)
    assert example is not None
    assert len(example.group(1).strip().splitlines()) == 8
