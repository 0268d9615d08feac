"""Dependencies point one way, read from the imports of the package itself."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from transfer_atlas.identity import PACKAGE, PACKAGE_FOLDER, modules_behind

# From the bottom up. A part may import from lower layers and from itself, not from its neighbours.
LAYERS = [
    {"errors", "streams", "atomic", "identity"},
    {"settings"},
    {"candidates", "layout", "surgeries", "updates"},
    {"plan"},
    {"artifacts", "tasks", "models"},
    {"training", "configuration"},
    {"representations", "estimate"},
    {"probing"},
    {"analysis", "study"},
    {"figures", "status"},
    {"steps"},
    {"store_commands", "encode_command"},
    {"commands"},
    {"__main__"},
]
LEVEL = {part: level for level, layer in enumerate(LAYERS) for part in layer}
# Nothing that the Snakefile imports may take long.
HEAVY = {"torch", "transformers", "datasets", "sklearn", "scipy", "pandas", "pyarrow", "seaborn", "matplotlib", "numpy"}
# Imported in a function that few configurations need.
LATE = {f"{PACKAGE}.surgeries": {"numpy"}}


def name_of(path: Path) -> str:
    """`transfer_atlas.models.surgery` for its file."""
    parts = path.relative_to(PACKAGE_FOLDER.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in sorted(PACKAGE_FOLDER.rglob("*.py"))}


def imports(module: str) -> set[str]:
    """Every module that `module` imports anywhere, those of other packages by their first name."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            inside = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in MODULES else node.module for name in inside]
        found.update(name if name in MODULES else name.split(".")[0] for name in names)
    return found


def part_of(module: str) -> str:
    """`models` for `transfer_atlas.models.surgery`."""
    return module.split(".")[1] if "." in module else "__init__"


def edges() -> list[tuple[str, str]]:
    """(importer, imported) within the package."""
    return [(module, other) for module in MODULES for other in imports(module) if other in MODULES and other != PACKAGE]


def test_every_part_has_a_layer() -> None:
    parts = {part_of(module) for module in MODULES} - {"__init__"}
    assert parts == LEVEL.keys()


def test_dependencies_point_down() -> None:
    wrong = [
        f"{importer} imports {imported}"
        for importer, imported in edges()
        if part_of(importer) != part_of(imported) and LEVEL[part_of(importer)] <= LEVEL[part_of(imported)]
    ]
    assert wrong == []


def test_steps_know_nothing_of_the_study() -> None:
    """What a step imports is in the digest of its code: a new table or figure would have all jobs run again."""
    for module in (name for name in MODULES if name.startswith(f"{PACKAGE}.steps.")):
        behind = {part_of(name) for name in modules_behind(module)}
        assert not behind & {"study", "estimate", "configuration", "status"}, module


def test_no_cycles() -> None:
    graph: dict[str, set[str]] = {module: set() for module in MODULES}
    for importer, imported in edges():
        graph[importer].add(imported)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_imports_are_absolute() -> None:
    """Relative imports would not be seen by the digests of code."""
    for module, path in MODULES.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            assert not (isinstance(node, ast.ImportFrom) and node.level), module


def test_nothing_is_unpickled_or_evaluated() -> None:
    for module, path in MODULES.items():
        assert not imports(module) & {"pickle", "marshal", "shelve", "dill", "joblib"}, module
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            called = node.func if isinstance(node, ast.Call) else None
            assert not (isinstance(called, ast.Name) and called.id in ("eval", "exec")), module


@pytest.mark.parametrize("top", ["plan", "configuration.problems", "study"])
def test_what_the_snakefile_imports_is_light(top: str) -> None:
    waiting, seen = [f"{PACKAGE}.{top}"], set()
    while waiting:
        module = waiting.pop()
        if module in seen:
            continue
        seen.add(module)
        found = imports(module)
        heavy = found & HEAVY - LATE.get(module, set())
        assert not heavy, f"{module} imports {heavy}"
        waiting += [other for other in found if other in MODULES]
