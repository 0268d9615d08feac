import os
import subprocess
import sys
import xml.etree.ElementTree as ET

import pytest

from transfer_atlas.errors import UserError
from transfer_atlas.steps import plot


def test_svg_and_png_of_every_figure(made, write_tables, tmp_path):
    plot.run(write_tables(made), list(plot.FIGURES), {}, tmp_path / "figures")
    for name in plot.FIGURES:
        assert ET.parse(tmp_path / f"figures/{name}.svg").getroot().tag.endswith("svg")
        assert (tmp_path / f"figures/{name}.png").read_bytes().startswith(b"\x89PNG")
    assert len(list((tmp_path / "figures").iterdir())) == 2 * len(plot.FIGURES)


def test_same_bytes_in_another_process(made, write_tables, tmp_path):
    folder = write_tables(made)
    plot.run(folder, list(plot.FIGURES), {}, tmp_path / "one")
    code = (
        "from pathlib import Path; from transfer_atlas.steps import plot; "
        f"plot.run(Path({str(folder)!r}), list(plot.FIGURES), {{}}, Path({str(tmp_path / 'two')!r}))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONHASHSEED": "7"})
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes(), path.name


def test_empty_tables_make_figures(made, write_tables, tmp_path):
    folder = write_tables({name: table.iloc[:0] for name, table in made.items()})
    plot.run(folder, list(plot.FIGURES), {}, tmp_path / "figures")
    assert (tmp_path / "figures/costs.png").stat().st_size > 0


def test_only_the_figures_asked_for(made, write_tables, tmp_path):
    plot.run(write_tables(made), ["costs"], {}, tmp_path / "figures")
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {"costs.svg", "costs.png"}


def test_unknown_figure(tmp_path):
    with pytest.raises(UserError, match=r"no figure is called layers_keep.*did you mean layers_kept"):
        plot.run(tmp_path, ["layers_keep"], {}, tmp_path)
