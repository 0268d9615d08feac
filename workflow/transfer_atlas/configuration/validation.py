"""Checking a configuration against the settings' types, and what is allowed where in plain words.

Pydantic finds what is wrong; the JSON schema of the same types says what would be right.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from pydantic import ValidationError

from transfer_atlas.configuration.files import ABSENT, Key, value_at
from transfer_atlas.configuration.wording import ENTRY, Problem, hint, nearest, nearest_names, one_of
from transfer_atlas.settings import Recipe, Settings, json_schema

Node = dict[str, Any]

NAME = 'a name of letters, digits, "-", "_" and "." that begins with a letter or digit'
# Settings whose texts have a form of their own.
FORMS = {
    "sha256": "a SHA-256 checksum: 64 characters, each 0-9 or a-f",
    "revision": "a commit: 40 characters, each 0-9 or a-f (names of branches move)",
    "wheel": "name==version, or a list of such texts",
    "repo": "namespace/name",
    "url": "an address that begins with http:// or https://, or a list of such addresses",
}
_BRANCH_TYPES = {"dict": "object", "list": "array"}
_PLURALS = {"string": "texts", "number": "numbers", "integer": "whole numbers", "object": "entries"}


def validate(config: Mapping[str, Any]) -> Settings | list[Problem]:
    """The settings, or everything that is wrong with the types of the configuration."""
    problems = list(_no_plain_data(config, ()))
    if problems:
        return problems
    try:
        return Settings.model_validate(dict(config))
    except ValidationError as error:
        return list(_from_pydantic(error.errors(include_url=False), config))


def invalid_recipe(name: str, recipe: Mapping[str, Any]) -> list[Problem]:
    """What is wrong with a recipe that is put together from several places, as if it stood under this name."""
    try:
        Recipe.model_validate(dict(recipe))
    except ValidationError as error:
        place = ("recipes", name)
        details = [{**detail, "loc": (*place, *detail["loc"])} for detail in error.errors(include_url=False)]
        return list(_from_pydantic(details, {"recipes": {name: recipe}}))
    return []


def _no_plain_data(value: Any, key: Key) -> Iterator[Problem]:
    """Keys that are no texts and numbers that are not finite: YAML has them, settings and JSON do not."""
    if isinstance(value, Mapping):
        for name, below in value.items():
            if not isinstance(name, str):
                yield Problem((*key, name), ENTRY, f"should be text{hint(name, 'string')}")
            yield from _no_plain_data(below, (*key, name))
    elif isinstance(value, list):
        for position, below in enumerate(value):
            yield from _no_plain_data(below, (*key, position))
    elif isinstance(value, float) and not math.isfinite(value):
        yield Problem(key, str(value), "should be a finite number")


# --- what the schema allows --------------------------------------------------------------------------------


@cache
def _schema() -> Node:
    return json_schema()


def _resolved(node: Node) -> Node:
    """The node behind references, and behind `or null`."""
    while True:
        if "$ref" in node:
            node = _schema()["$defs"][node["$ref"].rsplit("/", 1)[1]]
            continue
        options = [option for option in node.get("anyOf", []) if option.get("type") != "null"]
        if len(options) != 1:
            return node
        node = options[0]


def _child(node: Node, part: str | int) -> Node:
    """What may stand at an entry of a mapping or list; empty where nothing is known."""
    if isinstance(part, int) and "items" in node:
        return dict(node["items"])
    named = node.get("properties", {}).get(part)
    others = [*node.get("patternProperties", {}).values(), node.get("additionalProperties")]
    return named or next((other for other in others if isinstance(other, dict)), {})


def _alternatives(node: Node) -> list[Node]:
    """The branches of a union, or the node alone; null is left out."""
    node = _resolved(node)
    options = [_resolved(option) for option in node.get("anyOf", [node]) if option.get("type") != "null"]
    # A whole number is a number.
    numbers = [option.get("type") for option in options]
    return [option for option in options if "number" not in numbers or option.get("type") != "integer"]


def _number(noun: str, node: Node) -> str:
    words = {"minimum": "at least", "exclusiveMinimum": "greater than", "maximum": "at most"}
    words["exclusiveMaximum"] = "less than"
    bounds = " and ".join(f"{word} {node[bound]}" for bound, word in words.items() if bound in node)
    return f"{noun}, {bounds}" if bounds else noun


def _list_of(node: Node) -> str:
    def plural(item: Node) -> str:
        return "names" if "pattern" in item else item.get("const") or _PLURALS.get(item.get("type", ""), "values")

    kinds = " or ".join(plural(item) for item in _alternatives(node.get("items", {})))
    few, many = node.get("minItems", 0), node.get("maxItems")
    return f"a list of {few} {kinds}" if few and few == many else f"a list of {kinds}" + ", at least one" * (few == 1)


def described(node: Node, key: Key) -> str:
    """What a setting should be, as a noun."""
    node = _resolved(node)
    if "discriminator" in node:
        return f"a mapping with source ({', '.join(node['discriminator']['mapping'])}) and the settings of that source"
    if "anyOf" in node:
        if key and key[-1] in FORMS:
            return FORMS[key[-1]]
        *others, last = (described(option, key) for option in _alternatives(node))
        return f"{', '.join(others)} or {last}"
    if "const" in node or "enum" in node:
        allowed = node.get("enum", [node.get("const")])
        return f"one of {', '.join(allowed)}" if len(allowed) > 1 else str(allowed[0])
    if "properties" in node:
        return f"a mapping of settings ({', '.join(node['properties'])})"
    if "propertyNames" in node:
        return f"a mapping with the keys {', '.join(node['propertyNames']['enum'])}"
    match node.get("type"):
        case "object":
            return "a mapping of names to settings" if "patternProperties" in node else "a mapping of names to texts"
        case "array":
            return _list_of(node)
        case "integer":
            return _number("a whole number", node)
        case "number":
            return _number("a number", node)
        case "boolean":
            return "true or false"
    form = next((FORMS[part] for part in reversed(key) if part in FORMS), NAME)
    return form if "pattern" in node else "text"


# --- from pydantic -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Spot:
    """Where pydantic's path leads: the key in the file, and what the schema allows there and around it."""

    key: Key
    node: Node
    around: Node
    source_union: Node | None
    is_entry: bool = False


def _find(path: Key, config: Mapping[str, Any]) -> _Spot:
    """Follow pydantic's path, which also names the branch taken at each union: those names are not in the file."""
    key: Key = ()
    node, around = _resolved(_schema()), _schema()
    source_union: Node | None = None
    for part in path:
        if part == "[key]":
            return _Spot(key, node, around, source_union, is_entry=True)
        if "discriminator" in node:
            source_union = node
            node = _resolved({"$ref": node["discriminator"]["mapping"][part]})
            continue
        if "anyOf" in node:
            value = value_at(config, key)
            kind = "object" if isinstance(value, Mapping) else "array" if isinstance(value, list) else ""
            branch = [option for option in node["anyOf"] if option.get("type") == kind]
            if not branch or _BRANCH_TYPES.get(str(part).split("[")[0]) != kind:
                break  # the value is none of what the union allows, or this complaint is about another branch
            node = _resolved(branch[0])
            continue
        key, around, node = (*key, part), node, _resolved(_child(node, part))
    return _Spot(key, node, around, source_union)


def _from_pydantic(details: Iterable[Mapping[str, Any]], config: Mapping[str, Any]) -> Iterator[Problem]:
    """Problems for the errors that validation found; several errors may be one problem."""
    spots = [(_find(tuple(detail["loc"]), config), detail) for detail in details]
    keys = {spot.key for spot, _ in spots}
    misspelt = {
        (*spot.key[:-1], *nearest_names(spot.key[-1], spot.around["properties"]))
        for spot, detail in spots
        if detail["type"] == "extra_forbidden"
    }
    for spot, detail in spots:
        # A union complains once for each branch: the branch that was meant goes deeper than the union itself.
        deeper = any(len(key) > len(spot.key) and key[: len(spot.key)] == spot.key for key in keys)
        missing_but_misspelt = detail["type"] == "missing" and spot.key in misspelt
        if not ("anyOf" in spot.node and deeper) and not missing_but_misspelt:
            yield _problem(spot, detail, config)


def _problem(spot: _Spot, detail: Mapping[str, Any], config: Mapping[str, Any]) -> Problem:
    key, value, kind = spot.key, value_at(config, spot.key), detail["type"]
    if kind == "value_error":
        return Problem(key, value, detail["msg"].removeprefix("Value error, ") + hint(value, "number"))
    if spot.is_entry:
        allowed = spot.around.get("propertyNames", {})
        names = allowed.get("enum") or ([allowed["const"]] if "const" in allowed else None)
        return Problem(key, ENTRY, one_of(key[-1], names) if names else f"should be {NAME}")
    if kind == "extra_forbidden":
        return Problem(key, value, _no_such_setting(spot, config))
    if kind == "missing":
        return Problem(key, ABSENT, f"it is needed and should be {described(spot.node, key)}")
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        return _wrong_source(spot, value)
    if "enum" in spot.node:
        return Problem(key, value, one_of(value, spot.node["enum"]) + hint(value, "string"))
    return Problem(key, value, f"should be {described(spot.node, key)}{hint(value, spot.node.get('type', ''))}")


def _no_such_setting(spot: _Spot, config: Mapping[str, Any]) -> str:
    name, allowed = spot.key[-1], list(spot.around["properties"])
    if spot.source_union is not None:
        source = value_at(config, (*spot.key[:-1], "source"))
        owners = [
            other
            for other, ref in spot.source_union["discriminator"]["mapping"].items()
            if name in _resolved({"$ref": ref})["properties"]
        ]
        if owners:
            return (
                f"goes with source {' or '.join(owners)}, but source is {source}, which allows {', '.join(allowed)} "
                "(a file laid over another changes an entry, it does not replace it: use another name)"
            )
    return one_of(name, allowed, "no such setting; ")


def _wrong_source(spot: _Spot, value: Mapping[str, Any]) -> Problem:
    sources = list(spot.node["discriminator"]["mapping"])
    found = value.get("source", ABSENT)
    meant = [source for source in sources if source in value]
    advice = f"; did you mean source: {meant[0]}?" if found is ABSENT and len(meant) == 1 else nearest(found, sources)
    return Problem((*spot.key, "source"), found, f"allowed are {', '.join(sources)}{advice}")
