import pandas as pd
import pytest
from matplotlib.figure import Figure

from transfer_atlas.figures import style


def test_spread_leaves_room_and_keeps_order():
    assert style.spread([0.1, 0.5, 0.9], 0.1) == pytest.approx([0.1, 0.5, 0.9])
    assert style.spread([0.5, 0.5], 0.1) == pytest.approx([0.45, 0.55])
    assert style.spread([0.52, 0.5, 0.1], 0.1) == pytest.approx([0.56, 0.46, 0.1])
    # A pair that moves apart pushes its neighbour along.
    assert style.spread([0.5, 0.5, 0.57], 0.1) == pytest.approx([0.4233, 0.5233, 0.6233], abs=1e-3)
    assert style.spread([], 0.1) == []


def test_size_axis_names_no_two_sizes_on_top_of_each_other():
    axes = Figure().subplots()
    style.size_axis(axes, [100, 500, 7900, 8530])
    assert list(axes.get_xticks()) == [8530, 500, 100]
    assert list(axes.get_xticks(minor=True)) == [7900]
    assert axes.xaxis.get_major_formatter()(8530, 0) == "8,530"


def test_seeds_note():
    assert style.seeds_note([3, 3]) == "Means over n = 3 seeds; bars: 95 % t interval."
    assert style.seeds_note([3, 5]) == "Means over n = 3 to 5 seeds; bars: 95 % t interval."
    assert "Hollow: one seed" in style.seeds_note([1, 3])
    assert style.seeds_note([1]) == "One seed: no interval."


def test_more_recipes_than_colours_still_differ():
    looks = style.recipe_looks(pd.DataFrame({"recipe": [f"r{i}" for i in range(10)]}))
    assert len(set(looks.values())) == 10
