"""From a configuration to cells, runs and identities."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from transfer_atlas import plan
from transfer_atlas.configuration import problems
from transfer_atlas.identity import PACKAGE, code_digest, digest_of, modules_behind
from transfer_atlas.plan import NONE, Cell, Decontaminated, Run, Sources, State
from transfer_atlas.settings import Settings
from transfer_atlas.updates import steps_per_epoch, total_steps, with_more_updates

SOUND = Path(__file__).parent / "sound_configuration.yaml"
SOURCES = Sources(
    artifact=lambda name: f"artifact {name}",
    data=lambda name: f"data {name}",
    decontaminated=lambda name: Decontaminated(None, 100),
)
FIRST = Run(None, 1)
# The first run after an intermediate training with its own seed.
AFTER = Run(None, 1, 1)
PLAIN = Cell("tiny", NONE, "sentiment", "finetune", NONE, 16)
AFTER_TOPICS = Cell("tiny", "topics", "sentiment", "finetune", NONE, 16)
EXTRACT = Cell("tiny", NONE, "sentiment", "extract", NONE, 16)
ABLATED = Cell("tiny", NONE, "sentiment", "finetune", "reset_top", 16)


def changed(*keys: str, to: Any) -> Settings:
    """The sound configuration with one setting changed."""
    config = problems.read_files([SOUND])
    over = to
    for key in reversed(keys):
        over = {key: over}
    return Settings.model_validate(problems.merge(config, over if keys else {}))


@pytest.fixture
def settings() -> Settings:
    return changed(to=None)


def digest(settings: Settings, cell: Cell, run: Run = FIRST, sources: Sources = SOURCES) -> str:
    """The digest of a run."""
    return digest_of(plan.run_identity(settings, cell, run, sources))


# --- which cells and runs ----------------------------------------------------------------------------------


def test_every_combination_is_a_cell(settings: Settings) -> None:
    cells = plan.expand(settings).cells
    grid = {
        f"tiny/{intermediate}/{task}/{recipe}/none/n{size}"
        for intermediate in ("none", "topics")
        for task in ("sentiment", "similarity")
        for recipe in ("finetune", "extract")
        for size in (16, "all")
    }
    assert set(cells) == {*grid, "tiny/none/sentiment/finetune/reset_top/n16"}
    assert list(cells) == sorted(cells)


def test_runs_of_a_cell_are_its_depths_and_seeds(settings: Settings) -> None:
    cells = plan.expand(settings).cells
    assert cells["tiny/none/sentiment/extract/none/n16"].runs == (Run(None, 1), Run(None, 2))
    assert cells["tiny/none/sentiment/finetune/reset_top/n16"].runs == tuple(
        Run(depth, seed) for depth in (0, 2) for seed in (1, 2, 3)
    )


def experiments(*entries: dict[str, Any]) -> Settings:
    """The sound configuration with other experiments."""
    usual = {"models": ["tiny"], "tasks": ["sentiment"], "recipes": ["finetune"], "sizes": [16]}
    return changed("experiments", to=[usual | entry for entry in entries])


def test_a_cell_that_several_experiments_ask_for_is_there_once_with_the_runs_of_all() -> None:
    selected = plan.expand(experiments({"seeds": [1, 2]}, {"seeds": [2, 5], "sizes": [16, 32]}))
    assert [len(cell.runs) for cell in selected.cells.values()] == [3, 2]
    assert [run.seed for run in selected.cells[PLAIN.name].runs] == [1, 2, 5]
    assert selected.runs == 5


def test_depths_all_is_every_number_of_layers() -> None:
    (cell,) = plan.expand(experiments({"surgeries": ["reset_top"], "seeds": 1})).cells.values()
    assert [run.depth for run in cell.runs] == [0, 1, 2]


def test_surgery_is_for_fine_tuning_of_the_pretrained_model_only() -> None:
    selected = plan.expand(
        experiments(
            {
                "surgeries": ["none", "reset_top"],
                "recipes": ["finetune", "extract"],
                "intermediates": ["none", "topics"],
            }
        )
    )
    assert [name for name in selected.cells if "reset_top" in name] == [ABLATED.name]


def test_order_of_experiments_does_not_matter() -> None:
    entries: list[dict[str, Any]] = [{"seeds": [3, 1]}, {"seeds": [2]}, {"sizes": ["all"]}]
    assert plan.expand(experiments(*entries)) == plan.expand(experiments(*reversed(entries)))


def test_tasks_of_a_plan_are_its_targets(settings: Settings) -> None:
    assert plan.expand(settings).tasks == ["sentiment", "similarity"]


# --- which cells are one job -------------------------------------------------------------------------------


def test_cells_that_read_the_same_representations_are_one_job(settings: Settings) -> None:
    bundles = plan.bundles(settings, plan.expand(settings))
    heads = {name: [cell.name for cell in bundle.cells] for name, bundle in bundles.items() if "/extract." in name}
    assert heads == {
        f"tiny/{intermediate}/{task}/extract.mean": [
            f"tiny/{intermediate}/{task}/extract/none/n{size}" for size in (16, "all")
        ]
        for intermediate in ("none", "topics")
        for task in ("sentiment", "similarity")
    }


def test_a_fine_tuned_cell_is_a_job_of_its_own(settings: Settings) -> None:
    selected = plan.expand(settings)
    finetuned = {name: (cell,) for name, cell in selected.cells.items() if cell.recipe == "finetune"}
    bundles = plan.bundles(settings, selected)
    assert {name: bundle.cells for name, bundle in bundles.items() if "/extract." not in name} == finetuned


def test_every_run_is_in_one_bundle(settings: Settings) -> None:
    selected = plan.expand(settings)
    bundled = [run for bundle in plan.bundles(settings, selected).values() for run in bundle.runs]
    assert len(bundled) == len(set(bundled)) == selected.runs


def test_recipes_share_a_job_unless_they_pool_differently() -> None:
    recipe = {"method": "extract", "learning_rate": 0.1}
    recipes = {"wide": {**recipe, "head": "scalar_mix_mlp"}, "zeroth": {**recipe, "layer": 0}}
    recipes["first"] = {**recipe, "pooling": "first"}
    config = problems.merge(problems.read_files([SOUND]), {"recipes": recipes})
    entry = {"models": ["tiny"], "tasks": ["sentiment"], "recipes": ["extract", *recipes], "seeds": 2}
    settings = Settings.model_validate({**config, "experiments": [entry]})
    bundles = plan.bundles(settings, plan.expand(settings))
    found = {name: sorted(cell.recipe for cell in bundle.cells) for name, bundle in bundles.items()}
    assert found == {
        "tiny/none/sentiment/extract.first": ["first"],
        "tiny/none/sentiment/extract.mean": ["extract", "wide", "zeroth"],
    }


def test_a_job_depends_on_the_settings_of_all_its_cells(settings: Settings) -> None:
    bundle = plan.bundles(settings, plan.expand(settings))["tiny/none/sentiment/extract.mean"]
    assert plan.bundle_settings(settings, bundle) == [plan.cell_settings(settings, cell) for cell in bundle.cells]
    assert len(bundle.cells) == 2


def test_states_of_several_cells(settings: Settings) -> None:
    cells = plan.expand(settings).cells
    both = [cells[f"tiny/topics/sentiment/extract/none/n{size}"] for size in (16, "all")]
    assert [state.name for state in plan.states_of(settings, *both)] == ["topics.seed1", "topics.seed2"]


# --- intermediate tasks ------------------------------------------------------------------------------------


def test_states(settings: Settings) -> None:
    cells = plan.expand(settings).cells
    plain, after = cells["tiny/none/sentiment/extract/none/n16"], cells["tiny/topics/sentiment/extract/none/n16"]
    assert plan.states_of(settings, plain) == [State("tiny", NONE, "sentiment", None)]
    assert [state.name for state in plan.states_of(settings, after)] == ["topics.seed1", "topics.seed2"]


@pytest.mark.parametrize(
    "state",
    [State("m", NONE, "t", None), State("m", "imdb", "t", 3), State("m", "a.seed1", "t", 2)],
    ids=lambda state: state.name,
)
def test_a_state_is_found_by_its_name(state: State) -> None:
    assert State.parse(state.model, state.name, state.task) == state


def test_paired_seeds_and_one_for_all(settings: Settings) -> None:
    shared = changed("intermediates", "topics", "seed", to=7)
    for asked, starts in ((settings, [1, 2]), (shared, [7, 7])):
        cell = plan.expand(asked).cells[AFTER_TOPICS.name]
        assert [(run.seed, run.start) for run in cell.runs] == [(1, starts[0]), (2, starts[1])]
        assert [plan.state_of(cell, run).seed for run in cell.runs] == starts
        names = sorted({f"topics.seed{start}" for start in starts})
        assert [state.name for state in plan.states_of(asked, cell)] == names


def test_a_list_of_seeds_is_crossed_with_those_of_the_target() -> None:
    crossed = changed("intermediates", "topics", "seed", to=[4, 3])
    cell = plan.expand(crossed).cells[AFTER_TOPICS.name]
    assert cell.runs == tuple(Run(None, seed, start) for seed in (1, 2) for start in (3, 4))
    assert [state.name for state in plan.states_of(crossed, cell)] == ["topics.seed3", "topics.seed4"]
    # Without an intermediate task there is nothing to cross.
    assert plan.expand(crossed).cells[PLAIN.name].runs == (Run(None, 1), Run(None, 2))
    assert len({digest(crossed, cell, run) for run in cell.runs}) == 4


def test_an_intermediate_training_belongs_to_no_target(settings: Settings) -> None:
    before = plan.cell_before(settings, plan.state_of(AFTER_TOPICS, Run(None, 2, 2)))
    assert before == Cell("tiny", NONE, "topics", "finetune", NONE, 100, (Run(None, 2),), "topics")
    states = [State("tiny", "topics", task, 1) for task in ("sentiment", "similarity")]
    assert len({plan.weights_file(state) for state in states}) == 1
    assert len({plan.bundle_before(settings, state).name for state in states}) == 1


def test_all_runs_begin_with_intermediate_training_each_once(settings: Settings) -> None:
    selected = plan.expand(settings)
    runs = list(plan.all_runs(settings, selected))
    before = [(cell.trains, run.seed) for cell, run in runs if cell.trains]
    assert before == [("topics", 1), ("topics", 2)]
    assert all(cell.trains for cell, _ in runs[: len(before)])
    assert len(runs) == len(before) + selected.runs
    assert len(set(runs)) == len(runs)


# --- identity ----------------------------------------------------------------------------------------------


def renamed(config: dict[str, Any], group: str, old: str, new: str) -> None:
    """Give an entry another name, wherever it is used."""
    config[group] = {new if name == old else name: entry for name, entry in config[group].items()}


def test_names_of_entries_do_not_matter(settings: Settings) -> None:
    config = problems.read_files([SOUND])
    for group, old, new in [
        ("models", "tiny", "small"),
        ("recipes", "finetune", "usual"),
        ("surgeries", "reset_top", "x"),
    ]:
        renamed(config, group, old, new)
    renamed(config, "intermediates", "topics", "first")
    config["models"]["small"]["label"] = "Small"
    config["intermediates"]["first"]["recipe"] = "usual"
    for experiment in config["experiments"]:
        experiment["models"] = ["small"]
        experiment["recipes"] = ["usual"]
        experiment["intermediates"] = ["none"]
        experiment["surgeries"] = ["none"]
    other = Settings.model_validate(config)
    pairs = [
        (PLAIN, Cell("small", NONE, "sentiment", "usual", NONE, 16), Run(None, 1)),
        (AFTER_TOPICS, Cell("small", "first", "sentiment", "usual", NONE, 16), AFTER),
        (ABLATED, Cell("small", NONE, "sentiment", "usual", "x", 16), Run(1, 1)),
    ]
    for cell, same, run in pairs:
        assert digest(settings, cell, run) == digest(other, same, run)


def test_the_name_of_a_task_does_not_matter_its_data_do(settings: Settings) -> None:
    config = problems.read_files([SOUND])
    config["tasks"]["copy"] = config["tasks"]["sentiment"]
    other = Settings.model_validate(config)
    same = replace(SOURCES, data=lambda name: "data sentiment")
    copy = Cell("tiny", NONE, "copy", "finetune", NONE, 16)
    assert digest(other, copy, sources=same) == digest(settings, PLAIN)
    assert digest(other, copy) != digest(settings, PLAIN)


def test_keeping_all_layers_is_no_surgery(settings: Settings) -> None:
    assert digest(settings, ABLATED, Run(2, 1)) == digest(settings, PLAIN, Run(None, 1))
    assert len({digest(settings, ABLATED, Run(depth, 1)) for depth in (0, 1, 2)}) == 3


CHANGES: list[tuple[tuple[str, ...], Any]] = [
    (("recipes", "finetune", "learning_rate"), 0.5),
    (("recipes", "finetune", "epochs"), 9),
    (("recipes", "finetune", "batch_size"), 9),
    (("recipes", "finetune", "weight_decay"), 0.1),
    (("recipes", "finetune", "pooling"), "first"),
    (("recipes", "finetune", "precision"), "float32"),
    (("recipes", "finetune", "select"), "best"),
    (("recipes", "finetune", "min_steps"), 9),
    (("recipes", "finetune", "clip"), None),
    (("tasks", "sentiment", "max_length"), 9),
    (("recipes", "finetune", "frozen_layers"), 0),
    (("models", "tiny", "folder"), "sub"),
    (("engine", "batching"), "padded"),
    (("engine", "layers"), "library"),
    (("engine", "vocabulary"), "full"),
    (("engine", "frozen"), "recomputed"),
]


def operated(**surgeries: dict[str, Any]) -> Settings:
    """The sound configuration with these surgeries, on an encoder of six layers."""
    config = changed("surgeries", to=surgeries).model_dump(mode="json")
    config["models"]["tiny"]["layers"] = 6
    return Settings.model_validate(config)


def test_surgeries_that_come_to_the_same_are_one_run() -> None:
    settings = operated(
        reset_top={"kind": "progressive"},
        block={"kind": "block", "width": 2},
        kept={"kind": "preserve", "width": 2},
        single={"kind": "single"},
    )

    def at(surgery: str, depth: int) -> str:
        return digest(settings, replace(ABLATED, surgery=surgery), Run(depth, 1))

    assert at("block", 5) == at("reset_top", 4)
    assert at("kept", 1) == at("reset_top", 2)
    assert at("single", 6) == at("reset_top", 5)
    assert at("block", 1) != at("reset_top", 2)
    assert len({at("single", depth) for depth in range(1, 7)} | {at("kept", depth) for depth in range(1, 6)}) == 11


def test_permutations_are_told_apart_by_the_order_they_make() -> None:
    settings = operated(
        reset_top={"kind": "progressive"},
        few={"kind": "permute", "permutations": 2},
        many={"kind": "permute", "permutations": [5, 2, 1]},
    )
    few, many = (replace(ABLATED, surgery=name) for name in ("few", "many"))
    assert digest(settings, few, Run(2, 1)) == digest(settings, many, Run(2, 1))
    assert len({digest(settings, many, Run(number, 1)) for number in (1, 2, 5)} | {digest(settings, PLAIN)}) == 4


def test_depths_all_is_what_each_surgery_can_do() -> None:
    settings = operated(
        block={"kind": "block", "width": 4},
        order={"kind": "permute", "permutations": [7, 3]},
        reset_top={"kind": "single"},
    )
    config = settings.model_dump(mode="json")
    config["experiments"] = [
        {
            "models": ["tiny"],
            "tasks": ["sentiment"],
            "recipes": ["finetune"],
            "surgeries": ["block", "order", "reset_top"],
        }
    ]
    found = {
        cell.surgery: sorted({run.depth for run in cell.runs if run.depth is not None})
        for cell in plan.expand(Settings.model_validate(config)).cells.values()
    }
    assert found == {"block": [1, 2, 3], "order": [3, 7], "reset_top": [1, 2, 3, 4, 5, 6]}


def test_a_probe_of_each_layer_is_the_probe_of_that_layer(settings: Settings) -> None:
    each, second = (changed("recipes", "extract", "layer", to=layer) for layer in ("each", 2))
    assert digest(each, EXTRACT, Run(2, 1)) == digest(second, EXTRACT, FIRST)
    assert digest(each, EXTRACT, Run(1, 1)) != digest(second, EXTRACT, FIRST)
    assert plan.recipe_of(each, EXTRACT, Run(0, 1)).layer == 0


@pytest.mark.parametrize(("keys", "to"), CHANGES, ids=lambda value: ".".join(value) if isinstance(value, tuple) else "")
def test_settings_that_change_a_run(settings: Settings, keys: tuple[str, ...], to: Any) -> None:
    other = changed(*keys, to=to)
    assert digest(other, PLAIN) != digest(settings, PLAIN)
    assert plan.cell_settings(other, PLAIN) != plan.cell_settings(settings, PLAIN)


def test_extraction_depends_on_how_texts_are_encoded_alone(settings: Settings) -> None:
    """Its heads train no vocabulary and no layers."""
    state = State("tiny", NONE, "sentiment", None)
    for name, to, matters in (
        ("batching", "padded", True),
        ("layers", "library", True),
        ("vocabulary", "full", False),
        ("frozen", "recomputed", False),
    ):
        other = changed("engine", name, to=to)
        assert (digest(other, EXTRACT) != digest(settings, EXTRACT)) == matters, name
        for asked in (
            lambda some: plan.cell_settings(some, EXTRACT),
            lambda some: plan.representation_settings(some, state, "mean"),
        ):
            assert (asked(other) != asked(settings)) == matters, name


@pytest.mark.parametrize(
    ("keys", "to"),
    [
        (("study",), "other"),
        (("store",), "ignore"),
        (("execution", "checkpoint_seconds"), 1.0),
        (("recipes", "finetune", "label"), "x"),
        (("recipes", "extract", "learning_rate"), 0.5),
        (("tasks", "sentiment", "label"), "x"),
        (("tasks", "sentiment", "licence"), "x"),
        (("tasks", "sentiment", "language"), "de"),
        (("tasks", "sentiment", "metric"), "matthews"),
        (("tasks", "sentiment", "bad_rows"), "drop"),
        (("tasks", "similarity", "max_length"), 9),
        (("models", "tiny", "label"), "x"),
        (("models", "tiny", "licence"), "x"),
        (("surgeries", "reset_top", "init"), "model_default"),
        (("intermediates", "topics", "size"), 9),
        (("artifacts", "encoder", "path"), "moved"),
    ],
    ids=lambda value: ".".join(value) if isinstance(value, tuple) else "",
)
def test_settings_that_do_not_change_a_run(settings: Settings, keys: tuple[str, ...], to: Any) -> None:
    """What data and artifacts depend on changes their digests, not the settings of a run."""
    other = changed(*keys, to=to)
    assert digest(other, PLAIN) == digest(settings, PLAIN)
    assert plan.cell_settings(other, PLAIN) == plan.cell_settings(settings, PLAIN)


def test_the_metric_counts_where_it_selects(settings: Settings) -> None:
    best = changed("recipes", "finetune", "select", to="best")
    config = best.model_dump(mode="json")
    config["tasks"]["sentiment"]["metric"] = "matthews"
    assert digest(Settings.model_validate(config), PLAIN) != digest(best, PLAIN)


@pytest.mark.parametrize(
    ("keys", "to"),
    [
        (("surgeries", "reset_top", "init"), "model_default"),
        (("surgeries", "reset_top", "biases"), "keep"),
        (("surgeries", "reset_top", "layer_norm"), "keep"),
    ],
)
def test_settings_of_a_surgery_change_its_runs_only(settings: Settings, keys: tuple[str, ...], to: Any) -> None:
    other = changed(*keys, to=to)
    assert digest(other, ABLATED, Run(1, 1)) != digest(settings, ABLATED, Run(1, 1))
    assert digest(other, ABLATED, Run(2, 1)) == digest(settings, ABLATED, Run(2, 1))


def test_seed_and_size_are_part_of_a_run(settings: Settings) -> None:
    other_size = Cell("tiny", NONE, "sentiment", "finetune", NONE, 32)
    digests = {digest(settings, PLAIN, Run(None, seed)) for seed in (1, 2)} | {digest(settings, other_size)}
    assert len(digests) == 3


def test_other_runs_of_the_cell_are_no_part_of_a_run(settings: Settings) -> None:
    one = Cell("tiny", NONE, "sentiment", "finetune", NONE, 16, (Run(None, 1),))
    two = Cell("tiny", NONE, "sentiment", "finetune", NONE, 16, (Run(None, 1), Run(None, 2)))
    assert digest(settings, one) == digest(settings, two)
    assert plan.cell_settings(settings, one) != plan.cell_settings(settings, two)


@pytest.mark.parametrize("what", ["artifact encoder", "data sentiment"])
def test_data_and_model_are_part_of_a_run(settings: Settings, what: str) -> None:
    def other(kind: str) -> Callable[[str], str]:
        return lambda name: "new" if f"{kind} {name}" == what else f"{kind} {name}"

    changed_sources = replace(SOURCES, artifact=other("artifact"), data=other("data"))
    assert digest(settings, PLAIN, sources=changed_sources) != digest(settings, PLAIN)


def test_code_of_the_method_is_part_of_a_run(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    before = digest(settings, PLAIN), digest(settings, EXTRACT)
    monkeypatch.setattr(
        "transfer_atlas.plan.identity.code_digest", lambda *m: "new" if "training.finetuning" in m else code_digest(*m)
    )
    assert digest(settings, PLAIN) != before[0]
    assert digest(settings, EXTRACT) == before[1]


@pytest.mark.parametrize("method", ["finetune", "extract"])
def test_code_of_a_method_covers_all_that_computes(method: str) -> None:
    """Steps may store and tabulate as they like; what loads, encodes, trains and scores is the run's own."""
    digested = {name for module in plan.CODE_OF_METHOD[method] for name in modules_behind(f"{PACKAGE}.{module}")}
    computes = {
        "models.encoder",
        "models.network",
        "models.units",
        "models.packed_attention",
        "models.heads.linear",
        "models.pooler",
        "models.tokenizer",
        "tasks.subsets",
    }
    computes |= {
        "training.loop",
        "training.token_examples",
        "training.unit_examples",
        "training.metrics",
        "training.schedule",
        "updates",
        "streams",
    }
    computes |= {"models.encoding", "models.packing", "models.transformer_layer", "models.padded_attention"}
    if method == "finetune":
        computes |= {"models.vocabulary", "training.frozen_states", "training.finetuning", "training.starts"}
        computes |= {"training.kept_head", "training.task_data", "tasks.examples"}
    if method == "extract":
        computes |= {"models.stacked_heads", "training.stacked_loop", "training.feature_examples"}
        computes |= {"training.head_training", "training.sequence_heads", "representations.features"}
    missing = computes - {name.removeprefix(f"{PACKAGE}.") for name in digested}
    assert not missing, f"add {', '.join(sorted(missing))} to CODE_OF_METHOD"


@pytest.mark.parametrize(
    ("keys", "to"),
    [
        (("intermediates", "topics", "size"), 9),
        (("intermediates", "topics", "seed"), 9),
        (("tasks", "topics", "max_length"), 9),
        (("recipes", "finetune", "epochs"), 9),
        (("models", "tiny", "folder"), "sub"),
    ],
    ids=lambda value: ".".join(value) if isinstance(value, tuple) else "",
)
def test_what_changes_an_intermediate_training_changes_what_follows(
    settings: Settings, keys: tuple[str, ...], to: Any
) -> None:
    other = changed(*keys, to=to)
    for recipe in ("extract", "finetune"):
        name = Cell("tiny", "topics", "sentiment", recipe, NONE, 16).name
        cells = [plan.expand(asked).cells[name] for asked in (settings, other)]
        first, second = (
            digest(asked, cell, cell.runs[0]) for asked, cell in zip((settings, other), cells, strict=True)
        )
        assert first != second
        assert plan.cell_settings(settings, cells[0]) != plan.cell_settings(other, cells[1])


def test_an_intermediate_training_has_the_identity_that_the_run_after_it_names(settings: Settings) -> None:
    before = plan.cell_before(settings, plan.state_of(AFTER_TOPICS, AFTER))
    assert plan.run_identity(settings, AFTER_TOPICS, AFTER, SOURCES)["model"] == {
        "run": digest(settings, before, before.runs[0])
    }


def leaving_out(**digests: str | None) -> Sources:
    """What is left of the tasks of intermediate entries: 90 rows where some are left out."""
    return replace(
        SOURCES,
        decontaminated=lambda name: Decontaminated(digests.get(name), 90 if digests.get(name) else 100),
    )


def test_an_intermediate_training_that_leaves_out_nothing_is_the_same_as_that_of_a_target(settings: Settings) -> None:
    before = plan.intermediate_cell(settings, "tiny", "topics", 1)
    plain = Cell("tiny", NONE, "topics", "finetune", NONE, 100)
    assert digest(settings, before, before.runs[0]) == digest(settings, plain)


def test_rows_left_out_change_an_intermediate_training_and_what_follows(settings: Settings) -> None:
    before = plan.intermediate_cell(settings, "tiny", "topics", 1)
    several = [SOURCES, leaving_out(topics="some"), leaving_out(topics="others")]
    assert len({digest(settings, before, sources=sources) for sources in several}) == 3
    assert len({digest(settings, AFTER_TOPICS, AFTER, sources) for sources in several}) == 3
    # The task itself as a target loses nothing, and another entry's loss is its own.
    plain = Cell("tiny", NONE, "topics", "finetune", NONE, 100)
    assert len({digest(settings, plain, sources=sources) for sources in several}) == 1
    assert digest(settings, before, sources=leaving_out(other="some")) == digest(settings, before)


def test_another_target_that_shares_no_text_changes_no_run(settings: Settings) -> None:
    fewer = changed("experiments", to=[{"models": ["tiny"], "tasks": ["sentiment"], "intermediates": ["topics"]}])
    for cell, run in ((AFTER_TOPICS, AFTER), (plan.intermediate_cell(settings, "tiny", "topics", 1), FIRST)):
        assert digest(fewer, cell, run) == digest(settings, cell, run)
        assert plan.cell_settings(fewer, cell) == plan.cell_settings(settings, cell)


def test_a_kept_head_is_part_of_the_run_that_goes_on_with_it(settings: Settings) -> None:
    kept = changed("intermediates", "topics", "head", to="keep")
    before = plan.intermediate_cell(settings, "tiny", "topics", 1)
    assert digest(kept, before) == digest(settings, before)
    assert digest(kept, AFTER_TOPICS, AFTER) != digest(settings, AFTER_TOPICS, AFTER)
    # Extraction reads the encoder alone.
    heads = replace(AFTER_TOPICS, recipe="extract")
    assert digest(kept, heads, AFTER) == digest(settings, heads, AFTER)
    assert plan.goes_on_with_head(kept, AFTER_TOPICS)
    assert not any(plan.goes_on_with_head(kept, cell) for cell in (heads, PLAIN, replace(PLAIN, intermediate=CONTROL)))


# --- chains ------------------------------------------------------------------------------------------------

CONTROL = plan.control_of("topics")
LAST = Cell("tiny", "last", "sentiment", "finetune", NONE, 16)


def chained(**links: dict[str, Any]) -> Settings:
    """Topics, then similarity (`second`), then `more` (`last`); keywords change entries."""
    config = problems.read_files([SOUND])
    config["tasks"]["more"] = config["tasks"]["topics"]
    entries: dict[str, dict[str, Any]] = {
        "last": {"task": "more", "recipe": "finetune", "after": "second"},
        "second": {"task": "similarity", "recipe": "finetune", "size": 50, "after": "topics"},
        "topics": config["intermediates"]["topics"],
    }
    config["intermediates"] = {name: {**entry, **links.get(name, {})} for name, entry in entries.items()}
    entry = {"models": ["tiny"], "tasks": ["sentiment"], "recipes": ["finetune"], "seeds": 2, "sizes": [16]}
    config["experiments"] = [{**entry, "intermediates": ["none", "last"], "equal_budget": True}]
    return Settings.model_validate(config)


def test_links_of_a_chain_are_trained_in_order() -> None:
    settings = chained()
    assert plan.chain_of(settings, "last") == ["topics", "second", "last"]
    selected = plan.expand(settings)
    assert plan.intermediates_of(settings, selected) == ["last", "second", "topics"]
    states = plan.intermediate_states(settings, selected)
    names = [f"{name}.seed{seed}" for seed in (1, 2) for name in ("topics", "second", "last")]
    assert [state.name for state in states] == names
    assert [state.task for state in states] == ["topics", "similarity", "more"] * 2
    runs = [(cell.trains, run.seed) for cell, run in plan.all_runs(settings, selected)][: len(names)]
    assert runs == [(name, seed) for seed in (1, 2) for name in ("topics", "second", "last")]


def test_each_link_starts_from_the_one_before_it() -> None:
    settings = chained()
    cells = {name: plan.intermediate_cell(settings, "tiny", name, 2) for name in ("topics", "second", "last")}
    starts = {name: plan.state_of(cell, cell.runs[0]) for name, cell in cells.items()}
    assert {name: (state.intermediate, state.seed) for name, state in starts.items()} == {
        "topics": (NONE, None),
        "second": ("topics", 2),
        "last": ("second", 2),
    }
    for name, before in (("second", "topics"), ("last", "second")):
        model = plan.run_identity(settings, cells[name], cells[name].runs[0], SOURCES)["model"]
        assert model == {"run": digest(settings, cells[before], cells[before].runs[0])}


def test_one_seed_of_a_link_goes_for_all_seeds_of_those_after_it() -> None:
    settings = chained(second={"seed": 7})
    states = [state.name for state in plan.intermediate_states(settings, plan.expand(settings))]
    # Each once, although both seeds of the last link start from it; the first is paired with the second.
    assert states == ["topics.seed7", "second.seed7", "last.seed1", "last.seed2"]


def test_a_change_of_the_first_link_reaches_the_target() -> None:
    settings, other = chained(), chained(topics={"size": 9})
    assert digest(settings, LAST, AFTER) != digest(other, LAST, AFTER)
    assert plan.cell_settings(settings, LAST) != plan.cell_settings(other, LAST)
    assert digest(settings, LAST, AFTER) != digest(settings, LAST, AFTER, leaving_out(topics="some"))


def test_tasks_after_each_link() -> None:
    settings = chained()
    selected = plan.expand(settings)
    later = {name: plan.later_tasks(settings, selected, name) for name in ("topics", "second", "last")}
    assert later == {
        "topics": ["more", "sentiment", "similarity"],
        "second": ["more", "sentiment"],
        "last": ["sentiment"],
    }


def test_a_task_that_comes_twice_in_a_chain_is_no_leak_into_itself() -> None:
    settings = chained(last={"task": "topics"})
    selected = plan.expand(settings)
    assert plan.later_tasks(settings, selected, "topics") == ["sentiment", "similarity"]
    assert plan.later_tasks(settings, selected, "second") == ["sentiment", "topics"]


def test_later_tasks_are_those_of_all_targets(settings: Settings) -> None:
    assert plan.later_tasks(settings, plan.expand(settings), "topics") == ["sentiment", "similarity"]


def test_what_is_scored_before_training_comes_later_too() -> None:
    scored = [{"models": ["tiny"], "tasks": ["similarity"], "intermediates": ["topics"]}]
    config = problems.merge(problems.read_files([SOUND]), {"transferability": scored})
    config["experiments"] = [{"models": ["tiny"], "tasks": ["sentiment"], "intermediates": ["topics"]}]
    settings = Settings.model_validate(config)
    assert plan.later_tasks(settings, plan.expand(settings), "topics") == ["sentiment", "similarity"]


# --- as many updates without an intermediate task ----------------------------------------------------------


def test_a_control_beside_every_intermediate_task_and_fine_tuning_recipe() -> None:
    entry = {"intermediates": ["none", "topics"], "recipes": ["finetune", "extract"], "equal_budget": True}
    cells = plan.expand(experiments({**entry, "seeds": 2})).cells
    assert {(cell.intermediate, cell.recipe) for cell in cells.values()} == {
        ("none", "finetune"),
        ("none", "extract"),
        ("topics", "finetune"),
        ("topics", "extract"),
        ("none~topics", "finetune"),
    }
    control = cells["tiny/none~topics/sentiment/finetune/none/n16"]
    assert (control.before, control.budget_of) == (None, "topics")
    assert control.runs == (Run(None, 1), Run(None, 2))
    assert plan.states_of(experiments(entry), control) == [State("tiny", NONE, "sentiment", None)]
    for name, before in (("topics", "topics"), (NONE, None)):
        other = cells[f"tiny/{name}/sentiment/finetune/none/n16"]
        assert (other.before, other.budget_of) == (before, None)


def test_a_control_is_told_by_its_updates_alone(settings: Settings) -> None:
    control = replace(PLAIN, intermediate=CONTROL)
    assert digest(settings, control) != digest(settings, PLAIN)
    # Whatever takes as many updates is controlled by the same run: 100 rows in batches of 32 or 99, 4 updates.
    fewer = changed("intermediates", "topics", "size", to=99)
    assert digest(fewer, control) == digest(settings, control)
    longer = changed("intermediates", "topics", "size", to=200)
    assert digest(longer, control) != digest(settings, control)
    assert plan.cell_settings(longer, control) != plan.cell_settings(settings, control)


def test_a_control_counts_the_rows_that_are_left(settings: Settings) -> None:
    every = changed("intermediates", "topics", "size", to="all")
    control = replace(PLAIN, intermediate=CONTROL)
    less = replace(SOURCES, decontaminated=lambda name: Decontaminated("some", 33))
    epochs, batch = every.recipes["finetune"].epochs, every.recipes["finetune"].batch_size
    assert plan.updates_of(every, "topics", SOURCES.decontaminated) == epochs * -(-100 // batch)
    assert plan.updates_of(every, "topics", less.decontaminated) == epochs * -(-33 // batch)
    assert digest(every, control) != digest(every, control, sources=less)
    # A number of rows is taken of those that are left.
    assert digest(settings, control) == digest(settings, control, sources=less)


def test_a_control_spends_the_updates_of_the_whole_chain() -> None:
    settings = chained()
    updates = {name: plan.updates_of(settings, name, SOURCES.decontaminated) for name in ("topics", "second", "last")}
    batch, epochs = settings.recipes["finetune"].batch_size, settings.recipes["finetune"].epochs
    per_link = [epochs * -(-rows // batch) for rows in (100, 50, 100)]
    assert updates == {"topics": per_link[0], "second": sum(per_link[:2]), "last": sum(per_link)}
    assert plan.control_of("last") in {cell.intermediate for cell in plan.expand(settings).cells.values()}


@pytest.mark.parametrize("rows", [1, 15, 16, 17, 100])
@pytest.mark.parametrize("more", [1, 7, 16, 1000])
@pytest.mark.parametrize("min_steps", [0, 50])
def test_a_control_takes_at_least_as_many_updates_and_less_than_one_epoch_more(
    settings: Settings, rows: int, more: int, min_steps: int
) -> None:
    recipe = settings.recipes["finetune"].model_copy(update={"batch_size": 16, "min_steps": min_steps})
    asked = total_steps(rows, recipe) + more
    assert asked <= total_steps(rows, with_more_updates(recipe, rows, more)) < asked + steps_per_epoch(rows, 16)
    assert with_more_updates(recipe, rows, 0) == recipe


# --- an intermediate model scored as it is -----------------------------------------------------------------


def test_only_fine_tuning_that_goes_on_with_a_head_has_a_size_of_zero() -> None:
    config = changed(to=None).model_dump(mode="json")
    config["intermediates"]["kept"] = {**config["intermediates"]["topics"], "head": "keep"}
    config["experiments"] = [
        {
            "models": ["tiny"],
            "tasks": ["sentiment"],
            "recipes": ["finetune", "extract"],
            "intermediates": ["none", "topics", "kept"],
            "surgeries": ["none", "reset_top"],
            "sizes": [0, 16],
            "seeds": 1,
            "equal_budget": True,
        }
    ]
    settings = Settings.model_validate(config)
    cells = plan.expand(settings).cells
    assert [name for name, cell in cells.items() if cell.size == 0] == ["tiny/kept/sentiment/finetune/none/n0"]
    assert len([cell for cell in cells.values() if cell.size == 16]) == 3 + 2 + 3 + 1
    assert not plan.searches(settings, cells["tiny/kept/sentiment/finetune/none/n0"])


@pytest.mark.parametrize(
    ("asked", "seeds"), [("paired", [1, 2, 3]), (7, [7]), ([8, 5], [5, 8])], ids=["paired", "one", "crossed"]
)
def test_an_untrained_run_is_there_once_for_each_intermediate_training(asked: Any, seeds: list[int]) -> None:
    """The seed of a target that is not trained on decides nothing: with it, equal scores would look like certainty."""
    config = changed("intermediates", "topics", "seed", to=asked).model_dump(mode="json")
    config["intermediates"]["topics"]["head"] = "keep"
    entry = {"models": ["tiny"], "tasks": ["sentiment"], "recipes": ["finetune"], "seeds": 3}
    config["experiments"] = [{**entry, "intermediates": ["topics"], "sizes": [0]}]
    (cell,) = plan.expand(Settings.model_validate(config)).cells.values()
    assert cell.runs == tuple(Run(None, seed, seed) for seed in seeds)


def test_identity_waits_for_what_is_not_there_yet(settings: Settings) -> None:
    def missing(name: str) -> str:
        raise FileNotFoundError(name)

    with pytest.raises(FileNotFoundError):
        plan.run_identity(settings, PLAIN, Run(None, 1), replace(SOURCES, artifact=missing))


# --- what jobs depend on -----------------------------------------------------------------------------------


NOT_PREPARED = {"label", "language", "domain", "family", "licence", "paper_name", "stand_in", "metric", "max_length"}


@pytest.mark.parametrize("field", sorted(NOT_PREPARED))
def test_preparation_does_not_depend_on_what_is_for_show_or_training(settings: Settings, field: str) -> None:
    assert field not in plan.preparation_settings(settings.tasks["sentiment"])


def test_every_other_setting_of_a_task_is_part_of_its_preparation(settings: Settings) -> None:
    task = settings.tasks["sentiment"]
    assert set(plan.preparation_settings(task)) == set(type(task).model_fields) - NOT_PREPARED


def test_representations_depend_on_the_state_not_on_the_head(settings: Settings) -> None:
    state = State("tiny", NONE, "sentiment", None)
    kept = plan.representation_settings(settings, state, "mean")
    other_head = changed("recipes", "extract", "learning_rate", to=0.5)
    assert plan.representation_settings(other_head, state, "mean") == kept
    assert plan.representation_settings(settings, state, "first") != kept
    assert plan.representation_settings(changed("tasks", "sentiment", "max_length", to=9), state, "mean") != kept


def test_places_are_different_for_different_things(settings: Settings) -> None:
    selected = plan.expand(settings)
    bundles = plan.bundles(settings, selected)
    tables = [file(name) for name in bundles for file in (plan.table_file, plan.predictions_file)]
    states = plan.intermediate_states(settings, selected)
    folders = [plan.weights_folder(state) for state in states]
    features = [plan.representation_folder(state, pooling) for state in states for pooling in ("mean", "first")]
    assert len({*tables, *folders, *features}) == len(tables) + len(folders) + len(features)
    assert plan.model_folder(settings, "tiny") == Path("results/artifacts/encoder/files")
