"""Digests: what a thing is, as opposed to where or when it was made.

A run's digest covers its resolved settings, its data, its model and the code it passes through. The code's part is
taken from syntax trees without comments and docstrings, so only edits that can change a result change a digest.
"""

from __future__ import annotations

import ast
import hashlib
import json
import sys
from functools import cache
from pathlib import Path
from typing import Any

PACKAGE = "transfer_atlas"
PACKAGE_FOLDER = Path(__file__).parent

# Modules whose edits cannot change a result by themselves: they say what a configuration means and where its results
# lie, which reaches a run through its resolved settings; or they report, or move bytes.
NOT_DIGESTED = frozenset(
    f"{PACKAGE}.{name}" for name in ("settings", "plan", "identity", "atomic", "errors", "training.progress")
)


def digest_of(value: Any) -> str:
    """SHA-256 (hex) of plain data: equal JSON gives an equal digest, whatever the order of keys."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def file_digest(path: Path | str) -> str:
    """SHA-256 (hex) of a file's bytes."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def module_file(module: str, folder: Path = PACKAGE_FOLDER) -> Path | None:
    """The source file of `transfer_atlas.x.y`, or None where that is not a module of this package."""
    parts = module.split(".")
    if parts[0] != PACKAGE:
        return None
    path = folder.joinpath(*parts[1:])
    if path.is_dir():
        return path / "__init__.py"
    return path.with_suffix(".py") if path.with_suffix(".py").is_file() else None


def _imports(tree: ast.Module) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found.add(node.module)
            # `from transfer_atlas.models import surgery` imports a module, not a name.
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            node.body = [
                child
                for child in node.body
                if not (
                    isinstance(child, ast.Expr)
                    and isinstance(child.value, ast.Constant)
                    and isinstance(child.value.value, str)
                )
            ]
    return tree


@cache
def _read(path: Path) -> tuple[frozenset[str], str]:
    """What a module imports, and its syntax tree without docstrings as text; read once for all digests."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return frozenset(_imports(tree)), ast.dump(_without_docstrings(tree))


def modules_behind(module: str, folder: Path = PACKAGE_FOLDER) -> list[str]:
    """`module` and every module of this package that it imports, directly or through others, sorted.

    Those that cannot change a result (`NOT_DIGESTED`) are left out and not looked through.
    """
    seen: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        path = module_file(name, folder)
        if name in seen or name in NOT_DIGESTED or path is None:
            continue
        seen.add(name)
        waiting.extend(_read(path)[0])
    return sorted(seen)


@cache
def code_digest(*modules: str, folder: Path = PACKAGE_FOLDER) -> str:
    """Digest of the code of these modules (`steps.train`, say) and of all that they import from this package.

    `ast.dump` may differ between Python versions, so the version (major.minor) is a part of the digest.

    Raises:
        ValueError: for a name that is no module.
    """
    trees = {}
    for module in modules:
        if module_file(f"{PACKAGE}.{module}", folder) is None:
            raise ValueError(f"{PACKAGE}.{module} is no module")
        for name in modules_behind(f"{PACKAGE}.{module}", folder):
            path = module_file(name, folder)
            assert path is not None
            trees[name] = _read(path)[1]
    return digest_of({"python": sys.version_info[:2], "modules": trees})
