"""Digests of data and of code: what changes them, and what does not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from transfer_atlas import identity
from transfer_atlas.identity import NOT_DIGESTED, PACKAGE, code_digest, digest_of, file_digest, modules_behind

MAIN = '''"""What it does."""

from transfer_atlas.helper import double

RATE = 0.5


def run(x: float) -> float:
    """Return the result."""
    # twice
    return double(x) + RATE
'''
HELPER = """def double(x: float) -> float:
    return 2 * x
"""


@pytest.fixture
def package(tmp_path: Path) -> Callable[..., Path]:
    """Make a package of modules, given as path without ending (`a__b` for a/b) = source."""
    made = 0

    def make(**modules: str) -> Path:
        nonlocal made
        made += 1
        folder = tmp_path / str(made) / PACKAGE
        for name, source in {"__init__": "", **modules}.items():
            path = folder.joinpath(*name.split("__", 1) if not name.startswith("__") else [name]).with_suffix(".py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(source, encoding="utf-8")
            if path.parent != folder:
                (path.parent / "__init__.py").touch()
        return folder

    return make


def test_digest_of_data() -> None:
    assert digest_of({"a": 1, "b": [1, None]}) == digest_of({"b": [1, None], "a": 1})
    assert digest_of([1, 2]) != digest_of([2, 1])
    assert digest_of(1) != digest_of("1")
    assert digest_of(True) != digest_of(1)
    with pytest.raises(ValueError, match="JSON compliant"):
        digest_of(float("nan"))


def test_digest_of_data_never_changes() -> None:
    """The store is found by it."""
    assert digest_of({"a": "é"}) == "b3a092a6af48807fa9482b2ee140105575daa26d5b24b3c0e60a7e2dee6683b1"


def test_digest_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    assert file_digest(tmp_path / "file") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("# twice", "# two times"),
        ("    # twice\n", ""),
        ('"""What it does."""\n', ""),
        ('    """Return the result."""\n', '    """Another docstring."""\n'),
        ("RATE = 0.5\n", "RATE    =   0.5\n\n\n\n"),
        ("double(x) + RATE", "(double( x )\n        + RATE)"),
        ("RATE = 0.5\n", 'RATE = 0.5\n"""What it is for."""\n'),
    ],
    ids=["comment", "no comment", "module docstring", "docstring", "white space", "formatting", "constant's docstring"],
)
def test_what_cannot_change_a_result_does_not_change_the_digest(
    package: Callable[..., Path], old: str, new: str
) -> None:
    assert old in MAIN
    before = package(main=MAIN, helper=HELPER)
    after = package(main=MAIN.replace(old, new), helper=HELPER)
    assert code_digest("main", folder=after) == code_digest("main", folder=before)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("RATE = 0.5", "RATE = 0.25"),
        ("double(x) + RATE", "double(x) - RATE"),
        ("RATE = 0.5", 'RATE = "0.5"'),
        ("def run(x: float)", "def run(x: float, y: float = 0)"),
        ("RATE = 0.5", "import os\n\nRATE = 0.5"),
        ("return double(x) + RATE", "return RATE + double(x)"),
    ],
    ids=["constant", "operator", "type of a constant", "argument", "import", "order"],
)
def test_what_may_change_a_result_changes_the_digest(package: Callable[..., Path], old: str, new: str) -> None:
    assert old in MAIN
    before = package(main=MAIN, helper=HELPER)
    after = package(main=MAIN.replace(old, new), helper=HELPER)
    assert code_digest("main", folder=after) != code_digest("main", folder=before)


def test_imported_modules_count(package: Callable[..., Path]) -> None:
    before = package(main=MAIN, helper=HELPER)
    after = package(main=MAIN, helper=HELPER.replace("2 * x", "3 * x"))
    assert code_digest("main", folder=after) != code_digest("main", folder=before)


def test_other_modules_do_not_count(package: Callable[..., Path]) -> None:
    before = package(main=MAIN, helper=HELPER, other="A = 1")
    after = package(main=MAIN, helper=HELPER, other="A = 2")
    assert code_digest("main", folder=after) == code_digest("main", folder=before)


@pytest.mark.parametrize(
    "line",
    [
        "from transfer_atlas.models import surgery",
        "from transfer_atlas.models.surgery import cut",
        "import transfer_atlas.models.surgery",
        "import transfer_atlas.models.surgery as s",
        "def later():\n    from transfer_atlas.models import surgery",
    ],
)
def test_every_way_to_import_is_followed(package: Callable[..., Path], line: str) -> None:
    folder = package(main=line, models__surgery="def cut(): ...")
    assert f"{PACKAGE}.models.surgery" in modules_behind(f"{PACKAGE}.main", folder)


def test_circular_imports_end(package: Callable[..., Path]) -> None:
    folder = package(a="from transfer_atlas import b", b="from transfer_atlas.a import x")
    assert {f"{PACKAGE}.a", f"{PACKAGE}.b"} <= set(modules_behind(f"{PACKAGE}.a", folder))
    assert modules_behind(f"{PACKAGE}.a", folder) == modules_behind(f"{PACKAGE}.b", folder)


def test_other_packages_are_not_followed(package: Callable[..., Path]) -> None:
    folder = package(main="import os\nimport yaml\nfrom torch import nn")
    assert modules_behind(f"{PACKAGE}.main", folder) == [f"{PACKAGE}.main"]


def test_unknown_module(package: Callable[..., Path]) -> None:
    with pytest.raises(ValueError, match=r"transfer_atlas\.mian is no module"):
        code_digest("mian", folder=package(main=""))


def test_modules_that_reach_a_result_through_its_settings_are_left_out() -> None:
    behind = modules_behind(f"{PACKAGE}.steps.train")
    assert f"{PACKAGE}.training.loop" in behind
    assert not NOT_DIGESTED & set(behind)


def test_modules_left_out_exist() -> None:
    """A renamed module must not silently come back into every digest."""
    assert all(identity.module_file(name) is not None for name in NOT_DIGESTED)
