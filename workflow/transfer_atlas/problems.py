"""Reading a configuration, and saying in one line what is wrong with it.

Every problem names file, line and key, the value found, what is allowed and, for names, the nearest valid one.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from transfer_atlas.errors import UserError
from transfer_atlas.plan import NONE
from transfer_atlas.settings import METRICS_BY_TYPE, PAIR_TYPES, Settings, Task

Key = tuple[str | int, ...]


@dataclass(frozen=True)
class Problem:
    """One mistake: where, the value found, and what would be right."""

    key: Key
    value: Any
    message: str


class _Absent:
    def __repr__(self) -> str:
        return "nothing"


ABSENT = _Absent()


def load(config: Mapping[str, Any], files: Sequence[Path]) -> Settings:
    """Validate a merged configuration.

    Args:
        config: What Snakemake merged from the files and `--config`.
        files: The configuration files, the last one winning: only to say where a problem is.

    Raises:
        UserError: with one line for each problem.
    """
    try:
        settings = Settings.model_validate(dict(config))
        problems = list(_contradictions(settings))
    except ValidationError as error:
        problems = [_from_pydantic(detail, config) for detail in error.errors(include_url=False)]
    if problems:
        raise UserError("\n".join(dict.fromkeys(_line(problem, files) for problem in problems)))
    return settings


def merge(base: dict[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Lay one configuration over another as Snakemake does: mappings are merged, all else is replaced."""
    merged = dict(base)
    for key, value in over.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = merge(dict(merged[key]), value) if both else value
    return merged


def read_files(files: Sequence[Path]) -> dict[str, Any]:
    """Read and merge configuration files in order.

    Raises:
        UserError: A file is missing or is not YAML.
    """
    config: dict[str, Any] = {}
    for path in files:
        try:
            content = yaml.safe_load(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise UserError(f"{path}: {error.strerror}; name an existing configuration file") from None
        except yaml.YAMLError as error:
            raise UserError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
        if content is not None and not isinstance(content, dict):
            raise UserError(f"{path}: should hold `key: value` lines, but holds a {type(content).__name__}")
        config = merge(config, content or {})
    return config


# --- where a key stands ------------------------------------------------------------------------------------


def _node_at(node: yaml.Node | None, key: Key) -> tuple[int, yaml.Node | None]:
    """How many parts of `key` exist below a YAML node, and the deepest node reached (a mapping's value or its key)."""
    depth, found = 0, node
    for part in key:
        step: yaml.Node | None = None
        if isinstance(node, yaml.MappingNode):
            for name, value in node.value:
                if name.value == str(part):
                    step, found = value, name
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            step = found = node.value[part]
        if step is None:
            break
        node, depth = step, depth + 1
    return depth, found


def _place(key: Key, files: Sequence[Path]) -> str:
    """`file:line` of the last file that sets the key, or of the nearest part of it that is set at all."""
    best: tuple[int, str] = (0, "")
    for path in files:
        try:
            depth, node = _node_at(yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader), key)
        except (OSError, yaml.YAMLError):
            continue
        if node is not None and depth >= max(best[0], 1):
            best = (depth, f"{path}:{node.start_mark.line + 1}")
    return best[1] or (str(files[-1]) if files else "the configuration")


def _dotted(key: Key) -> str:
    text = ""
    for part in key:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text or "the configuration"


def _line(problem: Problem, files: Sequence[Path]) -> str:
    value = "is missing" if problem.value is ABSENT else f"is {json.dumps(problem.value, default=str)[:80]}"
    return f"{_place(problem.key, files)}: {_dotted(problem.key)} {value}: {problem.message}"


# --- from pydantic -----------------------------------------------------------------------------------------


def nearest(name: object, allowed: Iterable[str]) -> str:
    """`; did you mean X?`, or nothing when no allowed name is near."""
    close = difflib.get_close_matches(str(name), list(allowed), n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else ""


def _fields_at(key: Key) -> list[str]:
    """Names of the settings that exist where `key` (of an unknown setting) stands."""
    from transfer_atlas.settings import json_schema

    schema = json_schema()
    node: Any = schema

    def resolve(node: Any) -> Any:
        while isinstance(node, dict) and "$ref" in node:
            node = schema["$defs"][node["$ref"].rsplit("/", 1)[1]]
        return node

    for part in key[:-1]:
        node = resolve(node)
        if "mapping" in node.get("discriminator", {}):
            node = {"$ref": node["discriminator"]["mapping"].get(part, "")}
        elif "oneOf" in node or "anyOf" in node:
            node = next((o for o in node.get("oneOf", node.get("anyOf")) if "$ref" in o), {})
        elif isinstance(part, int):
            node = node.get("items", {})
        else:
            node = node.get("properties", {}).get(part) or node.get("additionalProperties") or {}
            if not isinstance(node, dict):
                node = {}
    node = resolve(node) if isinstance(node, dict) else {}
    return sorted(node.get("properties", {}))


def _value_at(config: Any, key: Key) -> Any:
    for part in key:
        try:
            config = config[part]
        except (KeyError, IndexError, TypeError):
            return ABSENT
    return config


def _from_pydantic(detail: Any, config: Mapping[str, Any]) -> Problem:
    location: Key = tuple(detail["loc"])
    # The tag of a tagged union (`wheel`) and the marker `[key]` stand in pydantic's path, not in the file.
    key: Key = ()
    for part in location:
        if part == "[key]":
            continue
        container = _value_at(config, key)
        tag = isinstance(container, Mapping) and part not in container and container.get("source") == part
        if not tag:
            key = (*key, part)
    value, kind, context = _value_at(config, key), detail["type"], detail.get("ctx", {})
    if kind == "extra_forbidden":
        allowed = _fields_at(location)
        return Problem(key, value, f"no such setting; allowed are {', '.join(allowed)}{nearest(key[-1], allowed)}")
    if kind == "missing":
        return Problem(key, ABSENT, "add this setting")
    if kind == "literal_error":
        allowed = [str(choice) for choice in re.findall(r"'([^']*)'", context["expected"])]
        return Problem(key, value, f"allowed are {', '.join(allowed)}{nearest(value, allowed)}")
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        allowed = ["wheel", "hub", "url", "path"]
        tag_value = value.get("source", ABSENT) if isinstance(value, Mapping) else ABSENT
        return Problem((*key, "source"), tag_value, f"allowed are {', '.join(allowed)}{nearest(tag_value, allowed)}")
    message = detail["msg"].removeprefix("Value error, ")
    message = message[0].lower() + message[1:]
    if kind in ("float_type", "int_type") and isinstance(value, str) and re.fullmatch(r"[+-]?\d+e[+-]?\d+", value):
        mantissa, exponent = value.split("e")
        message += f" (YAML reads {value} as text: write {mantissa}.0e{exponent})"
    elif kind == "string_pattern_mismatch":
        message = f"should look like {context['pattern']}"
    return Problem(key, value, message)


# --- contradictions between settings -----------------------------------------------------------------------


def _unknown(key: Key, value: str, allowed: Iterable[str], what: str) -> Iterable[Problem]:
    names = sorted(allowed)
    if value not in names:
        listed = ", ".join(names) or "none yet"
        yield Problem(key, value, f"no such {what}; there are {listed}{nearest(value, names)}")


def _contradictions(settings: Settings) -> Iterable[Problem]:
    for name, model in settings.models.items():
        yield from _unknown(("models", name, "artifact"), model.artifact, settings.artifacts, "artifact")
    for name, task in settings.tasks.items():
        yield from _in_task(settings, name, task)
    for name, recipe in settings.recipes.items():
        if recipe.method == "finetune" and recipe.head != "linear":
            yield Problem(("recipes", name, "head"), recipe.head, "with method finetune only linear is allowed")
        if recipe.layer != "last" and (recipe.method != "extract" or recipe.head != "linear"):
            yield Problem(("recipes", name, "layer"), recipe.layer, "only a linear head with method extract reads one")
    for reserved in (settings.surgeries, settings.intermediates):
        if NONE in reserved:
            group = "surgeries" if reserved is settings.surgeries else "intermediates"
            yield Problem((group, NONE), NONE, "this name is reserved for doing nothing; choose another")
    for name, entry in settings.intermediates.items():
        key: Key = ("intermediates", name)
        yield from _unknown((*key, "task"), entry.task, settings.tasks, "task")
        yield from _unknown((*key, "recipe"), entry.recipe, settings.recipes, "recipe")
        if entry.recipe in settings.recipes and settings.recipes[entry.recipe].method != "finetune":
            yield Problem((*key, "recipe"), entry.recipe, "an intermediate task needs a recipe with method finetune")
    for position, _ in enumerate(settings.experiments):
        yield from _in_experiment(settings, position)


def _in_task(settings: Settings, name: str, task: Task) -> Iterable[Problem]:
    key: Key = ("tasks", name)
    if task.artifact is not None:
        yield from _unknown((*key, "artifact"), task.artifact, settings.artifacts, "artifact")
    if "train" not in task.files:
        yield Problem((*key, "files", "train"), ABSENT, "name the training file; missing splits are carved from it")
    allowed = METRICS_BY_TYPE[task.type]
    if task.metric is not None and task.metric not in allowed:
        yield Problem((*key, "metric"), task.metric, f"for {task.type} allowed are {', '.join(allowed)}")
    if task.type in PAIR_TYPES and task.fields.text_pair is None:
        yield Problem((*key, "fields", "text_pair"), ABSENT, f"{task.type} needs the column of the second text")
    if task.type not in PAIR_TYPES and task.fields.text_pair is not None:
        pair_types = " or ".join(PAIR_TYPES)
        yield Problem(
            (*key, "fields", "text_pair"), task.fields.text_pair, f"{task.type} has one text; see {pair_types}"
        )
    regression = task.type == "pair_regression"
    if regression and task.score_range is None:
        yield Problem((*key, "score_range"), ABSENT, "regression needs [smallest, largest] score")
    if task.score_range is not None and (not regression or task.score_range[0] >= task.score_range[1]):
        yield Problem(
            (*key, "score_range"), task.score_range, "for regression only: [smallest, largest], in this order"
        )
    if regression and task.labels is not None:
        yield Problem((*key, "labels"), task.labels, "regression has scores, not labels")
    if not task.header and task.columns is None and task.format != "folders":
        yield Problem((*key, "columns"), ABSENT, "a file without header needs the names of its columns")


def _in_experiment(settings: Settings, position: int) -> Iterable[Problem]:
    experiment, key = settings.experiments[position], ("experiments", position)
    groups: dict[str, tuple[list[str], Iterable[str], str]] = {
        "models": (experiment.models, settings.models, "model"),
        "tasks": (experiment.tasks, settings.tasks, "task"),
        "recipes": (experiment.recipes, settings.recipes, "recipe"),
        "intermediates": (experiment.intermediates, {NONE, *settings.intermediates}, "intermediate task"),
        "surgeries": (experiment.surgeries, {NONE, *settings.surgeries}, "surgery"),
    }
    for group, (names, allowed, what) in groups.items():
        for index, name in enumerate(names):
            yield from _unknown((*key, group, index), name, allowed, what)
    known = [name for name in experiment.models if name in settings.models]
    for name in known:
        layers = settings.models[name].layers
        for index, depth in enumerate([] if experiment.depths == "all" else experiment.depths):
            if depth > layers:
                message = f"{name} has {layers} layers; allowed are 0 to {layers}"
                yield Problem((*key, "depths", index), depth, message)
        for recipe_name in experiment.recipes:
            recipe = settings.recipes.get(recipe_name)
            if recipe is not None and recipe.layer != "last" and recipe.layer > layers:
                message = f"{name} has {layers} layers; allowed are last and 0 to {layers}"
                yield Problem(("recipes", recipe_name, "layer"), recipe.layer, message)
    for index, name in enumerate(experiment.intermediates):
        entry = settings.intermediates.get(name)
        if entry is not None and entry.task in experiment.tasks:
            message = f"trains on {entry.task}, which is also a target here; list them in separate experiments"
            yield Problem((*key, "intermediates", index), name, message)
