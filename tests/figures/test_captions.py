"""The report's captions are Jinja in reStructuredText; Snakemake renders them as done here."""

from pathlib import Path
from types import SimpleNamespace

import jinja2
import pytest
from docutils.core import publish_parts

from transfer_atlas import study
from transfer_atlas.steps.plot import FIGURES

REPORT = Path(__file__).parents[2] / "workflow" / "report"
CONFIG = {
    "study": "my study",
    "models": {"tiny": {}, "small": {}},
    "tasks": {"films": {"label": "Film reviews"}},
    "experiments": [{"models": ["tiny"]}],
}


@pytest.mark.parametrize("path", sorted(REPORT.glob("*.rst")), ids=lambda path: path.stem)
@pytest.mark.parametrize("config", [CONFIG, {}], ids=["config", "empty"])
def test_caption_renders_without_a_warning(path, config):
    template = jinja2.Environment(undefined=jinja2.StrictUndefined).from_string(path.read_text())
    text = template.render(snakemake=SimpleNamespace(config=config, params=SimpleNamespace()), files={}, categories={})
    html = publish_parts(text, writer="html", settings_overrides={"halt_level": 2, "report_level": 2})["body"]
    assert "system-message" not in html and "{{" not in html
    if config and path.stem == "workflow":
        assert "my study" in html and "tiny, small" in html and "Film reviews" in html


def test_every_table_and_figure_has_a_caption():
    wanted = {*(Path(table).stem for table in study.TABLES), *FIGURES, "workflow"}
    assert wanted == {path.stem for path in REPORT.glob("*.rst")}
