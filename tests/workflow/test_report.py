"""Snakemake's own report holds every table and figure with its caption."""

from __future__ import annotations

import json
import re

from little_study import REPOSITORY, LittleStudy


def words(text: str) -> str:
    """The first words of a text without markup."""
    return " ".join(re.findall(r"[a-z]+", re.sub(r"<[^>]*>|[*`]", " ", text.lower()))[:5])


def test_report_builds_with_captions(finished: LittleStudy) -> None:
    report = finished.folder / "report.html"
    finished.run("--report", str(report))
    page = report.read_text(encoding="utf-8")
    report.unlink()
    start = re.search(r"var results = (?=\{)", page)
    assert start is not None
    shown, _ = json.JSONDecoder().raw_decode(page, start.end())

    made = [path for place in ("tables", "figures") for path in (finished.results / place).iterdir()]
    assert made
    assert shown.keys() == {str(path.relative_to(finished.folder)) for path in made}
    for path in made:
        written = (REPOSITORY / "workflow" / "report" / f"{path.stem}.rst").read_text(encoding="utf-8")
        assert words(shown[str(path.relative_to(finished.folder))]["caption"]) == words(written)
    assert "how a pretrained encoder is best put to use" in page
