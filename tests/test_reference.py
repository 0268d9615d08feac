"""Settings, schema, reference and shipped configurations agree."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from transfer_atlas.configuration import problems, reference
from transfer_atlas.settings import Settings, json_schema

ROOT = Path(__file__).parents[1]
SCHEMA = ROOT / "workflow" / "schemas" / "config.schema.json"
CONFIGURATIONS = [ROOT / "config.yaml", *sorted((ROOT / "configs").glob("*.yaml"))]


def merged(file: Path) -> tuple[dict[str, Any], list[Path]]:
    """A configuration laid over config.yaml, as its users run it."""
    files = list(dict.fromkeys([ROOT / "config.yaml", file]))
    return problems.read_files(files), files


def test_schema_on_disk_is_the_generated_one() -> None:
    assert SCHEMA.read_text(encoding="utf-8") == reference.schema_text(), "run `make reference`"


def test_reference_on_disk_is_the_generated_one() -> None:
    assert (ROOT / "docs" / "settings.md").read_text(encoding="utf-8") == reference.reference_text(), "`make reference`"


def test_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema())


@pytest.mark.parametrize("file", CONFIGURATIONS, ids=lambda file: file.name)
def test_shipped_configuration_has_no_problem(file: Path) -> None:
    config, files = merged(file)
    assert isinstance(problems.load(config, files), Settings)


@pytest.mark.parametrize("file", CONFIGURATIONS, ids=lambda file: file.name)
def test_shipped_configuration_matches_the_schema(file: Path) -> None:
    config, _ = merged(file)
    jsonschema.validate(config, json.loads(SCHEMA.read_text(encoding="utf-8")))


@pytest.mark.parametrize("file", CONFIGURATIONS, ids=lambda file: file.name)
def test_editors_find_the_schema(file: Path) -> None:
    first = file.read_text(encoding="utf-8").split("\n", 1)[0]
    assert (file.parent / first.removeprefix("# yaml-language-server: $schema=")).resolve() == SCHEMA


@pytest.mark.parametrize(
    "wrong",
    [{"study": 1}, {"store": "no"}, {"experiments": []}, {"tasks": {"t": {"type": "regression"}}}, {"model": {}}],
)
def test_schema_refuses_what_the_settings_refuse(wrong: dict[str, Any]) -> None:
    config, _ = merged(ROOT / "config.yaml")
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**config, **wrong}, json_schema())


def test_every_setting_is_in_the_reference() -> None:
    text = reference.reference_text()
    schema = json_schema()
    for definition in [schema, *schema["$defs"].values()]:
        for name in definition.get("properties", {}):
            assert f"| `{name}` |" in text


def test_both_files_are_written(tmp_path: Path) -> None:
    reference.write(tmp_path / "a" / "schema.json", tmp_path / "settings.md")
    assert (tmp_path / "a" / "schema.json").read_text(encoding="utf-8") == reference.schema_text()
    assert (tmp_path / "settings.md").read_text(encoding="utf-8") == reference.reference_text()
