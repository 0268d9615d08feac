"""A broken configuration stops before any job, with one line that says where and what, and what is allowed."""

from __future__ import annotations

import fnmatch
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from snakemake.utils import update_config

from transfer_atlas import plan
from transfer_atlas.configuration import problems
from transfer_atlas.configuration.files import value_at
from transfer_atlas.configuration.wording import yaml_number
from transfer_atlas.errors import UserError
from transfer_atlas.settings import Settings

HERE = Path(__file__).parent
SOUND = (HERE / "sound_configuration.yaml").read_text(encoding="utf-8")
BROKEN: list[dict[str, Any]] = yaml.safe_load((HERE / "broken_configurations.yaml").read_text(encoding="utf-8"))
JARGON = re.compile(
    r"input|valid (string|dict|list|integer|number)|instance|pydantic|pattern|\^\[|discriminator|\bNone\b"
)


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def load(*texts: str, more: dict[str, Any] | None = None) -> Settings:
    """Load texts as files laid over one another (config.yaml, then over1.yaml, ...), with `more` laid over them."""
    names = ["config.yaml", *(f"over{k}.yaml" for k in range(1, len(texts)))]
    files = [Path(name) for name in names]
    for file, text in zip(files, texts, strict=True):
        file.write_text(text, encoding="utf-8")
    return problems.load(problems.merge(problems.read_files(files), more or {}), files)


def complaint(*texts: str, more: dict[str, Any] | None = None) -> str:
    """What loading complains of."""
    with pytest.raises(UserError) as caught:
        load(*texts, more=more)
    return str(caught.value)


def says(message: str, expected: str) -> bool:
    """Whether a message is the expected one, in which … stands for any text."""
    return fnmatch.fnmatchcase(message, re.sub(r"([\[\]?*])", r"[\1]", expected).replace("…", "*"))


def test_sound_configuration_has_no_problem() -> None:
    assert load(SOUND).study == "small"


def test_unfreezing_may_wait_for_the_epochs_that_min_steps_adds() -> None:
    assert load(SOUND.replace("    epochs: 3", "    epochs: 3\n    min_steps: 100\n    unfreeze_epochs: 3"))


@pytest.mark.parametrize("case", BROKEN, ids=lambda case: case["what"])
def test_broken_configuration(case: dict[str, Any]) -> None:
    text = case["by"]
    if "replace" in case:
        assert case["replace"] in SOUND
        text = SOUND.replace(case["replace"], case["by"], 1)

    message = complaint(text)

    expected = case["says"] if isinstance(case["says"], list) else [case["says"]]
    lines = message.split("\n")
    assert len(lines) == len(expected), message
    for line, want in zip(lines, expected, strict=True):
        separator = ":" if want[0].isdigit() else ": "
        assert says(line, f"config.yaml{separator}{want}"), line


@pytest.mark.parametrize("case", BROKEN, ids=lambda case: case["what"])
def test_no_jargon(case: dict[str, Any]) -> None:
    assert not JARGON.search(re.sub(r'is ".*?"|not valid YAML.*', "", str(case["says"])))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"study: small\nlabel: caf\xe9\n", "config.yaml:2: byte 0xe9 is not UTF-8; save the file as UTF-8"),
        (b"study: \x07\n", "config.yaml: not valid YAML: …special characters are not allowed…"),
    ],
    ids=["not UTF-8", "control character"],
)
def test_file_that_is_no_text(content: bytes, expected: str) -> None:
    Path("config.yaml").write_bytes(content)
    with pytest.raises(UserError) as caught:
        problems.read_files([Path("config.yaml")])
    assert says(str(caught.value), expected)


def test_byte_order_mark_is_no_mistake() -> None:
    Path("config.yaml").write_bytes(b"\xef\xbb\xbf" + SOUND.encode())
    assert problems.read_files([Path("config.yaml")])["study"] == "small"


@pytest.mark.parametrize("name", ["missing.yaml", "."])
def test_file_that_cannot_be_read(name: str) -> None:
    with pytest.raises(UserError, match=r"^.*: .*; name an existing configuration file$"):
        problems.read_files([Path(name)])


# --- several files -----------------------------------------------------------------------------------------


def test_the_file_that_breaks_a_key_is_named() -> None:
    over = "recipes:\n  finetune:\n    learning_rate: fast\n"
    assert complaint(SOUND, over).startswith('over1.yaml:3: recipes.finetune.learning_rate is "fast"')


def test_the_file_is_found_whatever_the_order_of_files() -> None:
    """Snakemake lists files of the command line before the one that the Snakefile names."""
    over = "recipes:\n  finetune:\n    learning_rate: fast\n"
    load(SOUND, over.replace("fast", "0.1"))
    Path("over1.yaml").write_text(over, encoding="utf-8")
    config = problems.read_files([Path("config.yaml"), Path("over1.yaml")])
    with pytest.raises(UserError, match=r"^over1\.yaml:3: recipes\.finetune\.learning_rate"):
        problems.load(config, [Path("over1.yaml").absolute(), Path("config.yaml")])


def test_the_file_whose_list_counts_is_named() -> None:
    """Both files have experiments[0].models[0]: the list of the second replaces that of the first."""
    over = "experiments:\n  - models: [tiny]\n    tasks: [sentimant]\n"
    assert complaint(SOUND, over).startswith("over1.yaml:3: experiments[0].tasks[0]")


def test_a_name_that_an_override_takes_away_is_missed_where_it_is_used() -> None:
    base = SOUND.replace("    artifact: encoder", "    artifact: other")
    over = "models:\n  tiny:\n    label: Tiny\n"
    assert complaint(base, over).startswith('config.yaml:18: models.tiny.artifact is "other": no such artifact')


def test_a_part_of_an_entry_that_only_an_override_has() -> None:
    over = "recipes:\n  slow:\n    epochs: 30\n"
    message = complaint(SOUND, over)
    assert message.startswith("over1.yaml:2: recipes.slow.method is missing: it is needed and should be one of")


def test_another_source_laid_over_an_artifact() -> None:
    over = "artifacts:\n  reviews:\n    source: path\n    path: mine\n"
    message = complaint(SOUND, over)
    assert message.startswith('config.yaml:10: artifacts.reviews.url is "https://example.org/reviews.zip": goes with')
    assert "use another name" in message


def test_what_a_model_cannot_do_in_an_earlier_link_of_a_chain() -> None:
    """No experiment names that entry, but it is trained as much as the last one."""
    chain = "intermediates: {first: {task: topics, recipe: opening}, topics: {after: first}}\n"
    frozen = chain + "recipes: {opening: {method: finetune, learning_rate: 0.1, frozen_layers: 9}}\n"
    assert complaint(SOUND, frozen).split(": ", 1)[1] == (
        "recipes.opening.frozen_layers is 9: tiny has 2 layers; allowed are 0 to 2"
    )
    pooled = (
        chain
        + "models: {tiny: {kind: elmo}}\nrecipes: {opening: {method: finetune, learning_rate: 0.1, pooling: cls}}\n"
    )
    assert complaint(SOUND, pooled).split(": ", 1)[1] == (
        'intermediates.first.recipe is "opening": its pooling is cls; for tiny (elmo) allowed are mean, first, max'
    )


@pytest.mark.parametrize("pooling", ["pooler", "cls"])
def test_a_token_that_the_model_does_not_have(pooling: str) -> None:
    """Wherever ELMo is used with such a recipe: before a target task, there, and in diagnostics."""
    over = f"models: {{tiny: {{kind: elmo}}}}\nrecipes: {{finetune: {{pooling: {pooling}}}}}\n"
    over += "diagnostics:\n  - {models: [tiny], tasks: [sentiment]}\n"
    places = ["intermediates.topics.recipe", "experiments[0].recipes[0]", "experiments[1].recipes[0]"]
    places += ["diagnostics[0].recipes[0]"]
    assert [line.split(": ", 1)[1] for line in complaint(SOUND, over).split("\n")] == [
        f'{place} is "finetune": its pooling is {pooling}; for tiny (elmo) allowed are mean, first, max'
        for place in places
    ]


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"store": "ingore"}, '--config: store is "ingore": allowed are use, ignore; did you mean ignore?'),
        ({"stor": "use"}, '--config: stor is "use": no such setting; allowed are …; did you mean store?'),
        (
            {"recipes": {"finetune": {"epochs": "5"}}},
            '--config: recipes.finetune.epochs is "5": should be a whole number, at least 1 (write 5, without quotes); '
            "--config takes nested values as texts, so put them into a file for --configfile",
        ),
        ({"study": None}, "--config: study is empty: should be a name …"),
    ],
)
def test_value_of_the_command_line(more: dict[str, Any], expected: str) -> None:
    assert says(complaint(SOUND, more=more), expected)


def test_key_set_twice_in_a_file_that_snakemake_merged() -> None:
    """Snakemake reads the last of two equal keys without a word, so loading looks at the files again."""
    file = Path("config.yaml")
    file.write_text(SOUND + "study: other\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"^config\.yaml:\d+: study is set twice, here and in line 2; keep one$"):
        problems.load(yaml.safe_load(file.read_text(encoding="utf-8")), [file])


def test_anchors_and_merge_keys_are_allowed() -> None:
    text = SOUND.replace("  finetune:\n    method", "  finetune: &base\n    method").replace(
        "    method: extract\n", "    <<: *base\n    method: extract\n    epochs: many\n"
    )
    assert complaint(text).startswith('config.yaml:46: recipes.extract.epochs is "many"')


def test_a_problem_in_what_a_merge_key_brings_is_placed_where_it_stands() -> None:
    text = SOUND.replace("  finetune:\n    method", "  finetune: &base\n    method").replace(
        "    method: extract\n", "    <<: *base\n    method: extract\n"
    )
    message = complaint(text.replace("    epochs: 3", "    epochs: many"))
    assert [line.split(" is ")[0] for line in message.split("\n")] == [
        "config.yaml:42: recipes.finetune.epochs",
        "config.yaml:42: recipes.extract.epochs",
    ]


def test_every_problem_has_a_line_of_its_own() -> None:
    text = SOUND.replace("epochs: 3", "epochs: 0").replace("layers: 2", "layers: two")
    assert [line.split(" is ")[0] for line in complaint(text).split("\n")] == [
        "config.yaml:19: models.tiny.layers",
        "config.yaml:42: recipes.finetune.epochs",
    ]


def test_frozen_layers_of_a_surgery_at_every_depth() -> None:
    """Depths that are left out are all depths."""
    text = SOUND.replace("    epochs: 3", "    frozen_layers: 1").replace("    depths: [0, 2]\n", "")
    expected = (
        'config.yaml:69: experiments[1].surgeries[0] is "reset_top": changes layer 1, but finetune freezes 1 layers, …'
    )
    assert says(complaint(text), expected)
    assert load(text.replace("frozen_layers: 1", "frozen_layers: 0")).recipes["finetune"].frozen_layers == 0


def test_surgeries_of_shared_layers() -> None:
    """All are kept, or all are reinitialised."""
    shared = SOUND.replace("    layers: 2", "    layers: 2\n    shared_layers: true")
    assert plan.expand(load(shared)).runs == plan.expand(load(SOUND)).runs
    every = shared.replace("    depths: [0, 2]\n", "")
    (cell,) = (cell for cell in plan.expand(load(every)).cells.values() if cell.surgery != plan.NONE)
    assert {run.depth for run in cell.runs} == {0, 2}
    assert says(
        complaint(shared.replace("depths: [0, 2]", "depths: [0, 1]")),
        "config.yaml:71: experiments[1].depths[1] is 1: the layers of tiny share their weights; allowed are 0 and 2",
    )
    for kind in ("single", "block\n    width: 1", "permute\n    permutations: [3]"):
        wrong = every.replace("kind: progressive", f"kind: {kind}")
        assert "the 2 layers of tiny share their weights, so one cannot be changed without the others" in complaint(
            wrong
        )
    frozen = every.replace("    epochs: 3", "    frozen_layers: 1")
    assert "the layers of tiny share their weights; allowed are 0 and 2" in complaint(frozen)


def test_only_permutations_that_are_run_must_differ() -> None:
    many = SOUND.replace("kind: progressive", "kind: permute\n    permutations: 10")
    assert load(many.replace("depths: [0, 2]", "depths: [2]"))
    still = complaint(many.replace("depths: [0, 2]", "depths: [1]"))
    assert "permutation 1 leaves the 2 layers of tiny as they are; leave it out" in still


def test_every_layer_is_probed_without_depths() -> None:
    probed = SOUND.replace("    learning_rate: 0.001", "    learning_rate: 0.001\n    layer: each")
    cells = [cell for cell in plan.expand(load(probed)).cells.values() if cell.recipe == "extract"]
    assert cells
    for cell in cells:
        assert {run.depth for run in cell.runs} == {0, 1, 2}
    some = probed.replace("    seeds: 2", "    seeds: 2\n    depths: [1, 3]")
    assert "experiments[0].depths[1] is 3: tiny has 2 layers; allowed are 0 to 2" in complaint(some)
    searching = probed.replace("    layer: each", "    layer: each\n    search: {epochs: [1, 2]}")
    assert "layer: each reads every layer with the same hyper-parameters" in complaint(searching)


def test_long_values_and_line_breaks_stay_in_one_line() -> None:
    message = complaint(SOUND.replace("study: small", 'study: "' + "x\\n" * 200 + '"'))
    assert "\n" not in message
    assert len(message) < 250


@pytest.mark.parametrize(
    ("base", "over"),
    [
        ({"a": {"b": 1, "c": [1]}}, {"a": {"c": [2], "d": {}}}),
        ({"a": None}, {"a": {"b": 1}}),
        ({"a": {"b": 1}}, {"a": None}),
        ({"a": {"b": 1}}, {"a": [1]}),
        ({"a": [1]}, {"a": {"b": {"c": 2}}}),
        ({}, {"a": {"b": 1}}),
    ],
)
def test_files_are_merged_as_snakemake_merges_them(base: dict[str, Any], over: dict[str, Any]) -> None:
    merged = problems.merge(base, over)
    update_config(base, over)
    assert merged == base


def test_merging_changes_neither_side() -> None:
    base, over = {"a": {"b": 1}}, {"a": {"c": 2}}
    problems.merge(base, over)
    assert (base, over) == ({"a": {"b": 1}}, {"a": {"c": 2}})


# --- words -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "number"),
    [("1e-5", "1.0e-5"), ("2E5", "200000"), ("1.5e-7", "1.5e-7"), ("1e30", "1.0e+30"), ("0,5", "0.5"), ("3", "3")],
)
def test_suggested_numbers_are_numbers_to_yaml(text: str, number: str) -> None:
    assert yaml_number(text) == number
    assert isinstance(yaml.safe_load(number), int | float)


@pytest.mark.parametrize("text", ["fast", "", "nan", "inf", None, 3, True, [1], "1.2.3"])
def test_no_number_is_suggested_for_what_is_none(text: Any) -> None:
    assert yaml_number(text) is None


def test_nearest_names_nothing_far() -> None:
    assert problems.nearest("sentimant", ["sentiment", "topics"]) == "; did you mean sentiment?"
    assert problems.nearest("x", ["sentiment", "topics"]) == ""


def test_text_is_no_list() -> None:
    assert repr(value_at({"a": "text"}, ("a", 0))) == "ABSENT"
