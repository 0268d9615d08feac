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
from transfer_atlas.plan import NONE, Cell, Run, Sources, State
from transfer_atlas.settings import Settings

SOUND = Path(__file__).parent / "sound_configuration.yaml"
SOURCES = Sources(artifact=lambda name: f"artifact {name}", data=lambda name: f"data {name}")
FIRST = Run(None, 1)
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
    assert plan.state_of(settings, AFTER_TOPICS, 2).seed == 2
    assert plan.state_of(shared, AFTER_TOPICS, 2).seed == 7
    cell = plan.expand(shared).cells[AFTER_TOPICS.name]
    assert [state.name for state in plan.states_of(shared, cell)] == ["topics.seed7"]


def test_intermediate_training_leaves_out_its_target(settings: Settings) -> None:
    before = plan.cell_before(settings, plan.state_of(settings, AFTER_TOPICS, 2))
    assert before == Cell("tiny", NONE, "topics", "finetune", NONE, 100, (Run(None, 2),), "sentiment")


def test_all_runs_begin_with_intermediate_training_each_once(settings: Settings) -> None:
    selected = plan.expand(settings)
    runs = list(plan.all_runs(settings, selected))
    before = [(cell.target, run.seed) for cell, run in runs if cell.target]
    assert before == [(task, seed) for task in ("sentiment", "similarity") for seed in (1, 2)]
    assert all(cell.target for cell, _ in runs[: len(before)])
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
        (AFTER_TOPICS, Cell("small", "first", "sentiment", "usual", NONE, 16), Run(None, 1)),
        (ABLATED, Cell("small", NONE, "sentiment", "usual", "x", 16), Run(1, 1)),
    ]
    for cell, same, run in pairs:
        assert digest(settings, cell, run) == digest(other, same, run)


def test_the_name_of_a_task_does_not_matter_its_data_do(settings: Settings) -> None:
    config = problems.read_files([SOUND])
    config["tasks"]["copy"] = config["tasks"]["sentiment"]
    other = Settings.model_validate(config)
    same = Sources(SOURCES.artifact, lambda name: "data sentiment")
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

    assert digest(settings, PLAIN, sources=Sources(other("artifact"), other("data"))) != digest(settings, PLAIN)


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
        "tasks.subsets",
    }
    computes |= {
        "training.loop",
        "training.token_examples",
        "training.unit_examples",
        "training.metrics",
        "training.schedule",
        "streams",
    }
    computes |= {"models.encoding", "models.packing", "models.transformer_layer", "models.padded_attention"}
    if method == "finetune":
        computes |= {"models.vocabulary", "training.frozen_states", "training.finetuning", "training.starts"}
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
        cell = Cell("tiny", "topics", "sentiment", recipe, NONE, 16)
        assert digest(other, cell) != digest(settings, cell)
        assert plan.cell_settings(other, cell) != plan.cell_settings(settings, cell)


def test_an_intermediate_training_has_the_identity_that_the_run_after_it_names(settings: Settings) -> None:
    before = plan.cell_before(settings, plan.state_of(settings, AFTER_TOPICS, 1))
    assert plan.run_identity(settings, AFTER_TOPICS, Run(None, 1), SOURCES)["model"] == {
        "run": digest(settings, before, before.runs[0])
    }


def test_the_target_is_part_of_an_intermediate_training(settings: Settings) -> None:
    """Other texts are left out for another target."""
    digests = set()
    for target in ("sentiment", "similarity"):
        before = plan.intermediate_cell(settings, "tiny", "topics", target, 1)
        digests.add(digest(settings, before))
    plain = Cell("tiny", NONE, "topics", "finetune", NONE, 100)
    assert len(digests | {digest(settings, plain)}) == 3


def test_identity_waits_for_what_is_not_there_yet(settings: Settings) -> None:
    def missing(name: str) -> str:
        raise FileNotFoundError(name)

    with pytest.raises(FileNotFoundError):
        plan.run_identity(settings, PLAIN, Run(None, 1), Sources(missing, SOURCES.data))


# --- what jobs depend on -----------------------------------------------------------------------------------


NOT_PREPARED = {"label", "language", "licence", "paper_name", "stand_in", "metric", "max_length"}


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
