"""One environment, written down in several places that agree."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
ENVS = ROOT / "envs"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
DEPENDENCIES = [Requirement(text) for text in PROJECT["dependencies"]]
TEST_DEPENDENCIES = [Requirement(text) for text in PROJECT["optional-dependencies"]["test"]]


def pins(name: str) -> dict[str, Version]:
    """The packages of a lock, by normal name."""
    lines = [line for line in (ENVS / name).read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    pairs = [line.split("==") for line in lines]
    return {canonicalize_name(package): Version(version) for package, version in pairs}


RUN = pins("requirements.lock")
TEST = pins("requirements-test.lock")


@pytest.mark.parametrize("requirement", DEPENDENCIES, ids=str)
def test_dependency_is_pinned_within_its_range(requirement: Requirement) -> None:
    assert requirement.specifier.contains(RUN[canonicalize_name(requirement.name)])


@pytest.mark.parametrize("requirement", TEST_DEPENDENCIES, ids=str)
def test_test_dependency_is_pinned_within_its_range(requirement: Requirement) -> None:
    assert requirement.specifier.contains((RUN | TEST)[canonicalize_name(requirement.name)])


def test_every_line_of_a_lock_is_a_pin_and_nothing_is_pinned_twice() -> None:
    lines = [*(ENVS / "requirements.lock").open(encoding="utf-8"), *(ENVS / "requirements-test.lock").open()]
    packages = [line for line in lines if not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.!]+\n", line) for line in packages)
    assert len(RUN) + len(TEST) == len(packages)
    assert not RUN.keys() & TEST.keys()


def test_lock_suits_every_machine() -> None:
    """Which build of torch is right depends on the machine, so nothing of CUDA is in the lock."""
    assert not [name for name in RUN if name.startswith(("nvidia-", "cuda-", "triton"))]
    assert all(version.local is None for version in RUN.values())


def third_party_imports() -> set[str]:
    """First names of all modules of other packages that the package imports."""
    found: set[str] = set()
    for path in (ROOT / "workflow" / "transfer_atlas").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found.update(alias.name.split(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module.split(".")[0])
    return found - set(sys.stdlib_module_names) - {"transfer_atlas"}


def test_what_is_imported_is_declared() -> None:
    """A package that only comes along with another may stop doing so."""
    declared = {canonicalize_name(requirement.name) for requirement in DEPENDENCIES}
    owners = packages_distributions()
    for module in third_party_imports():
        assert {canonicalize_name(owner) for owner in owners[module]} & declared, f"{module} is not in pyproject.toml"


def test_python_versions_agree() -> None:
    conda = yaml.safe_load((ENVS / "environment.yaml").read_text(encoding="utf-8"))
    (python,) = [entry for entry in conda["dependencies"] if str(entry).startswith("python ")]
    (image,) = re.findall(r"^FROM \S*/python:([\d.]+)", (ENVS / "Containerfile").read_text(encoding="utf-8"), re.M)
    version = python.split("=")[1]
    assert version == image
    assert PROJECT["requires-python"] == f">={version}"
    ruff = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["ruff"]
    assert ruff["target-version"] == "py" + version.replace(".", "")


def test_conda_and_container_install_the_lock() -> None:
    conda = yaml.safe_load((ENVS / "environment.yaml").read_text(encoding="utf-8"))
    assert {"pip": ["-r requirements.lock"]} in conda["dependencies"]
    assert "pip install --no-cache-dir -r envs/requirements.lock" in (ENVS / "Containerfile").read_text(
        encoding="utf-8"
    )


def test_no_machine_paths_and_no_package_registries_in_tracked_files() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    # Spelt in two parts, so that this file passes its own test. `index-` covers the extra ones too.
    registry = r"https?://[\w.-]*(?:py" + r"pi|pythonhosted|artifactory|nexus|devpi)|index-" + "url"
    machine = r"/(?:home|root|Users)" + r"/\w+|/work" + "/"
    for name in filter(None, listed.split("\0")):
        path = ROOT / name
        if path.is_symlink() or not path.is_file():
            continue
        text = path.read_bytes().decode("utf-8", "replace")
        assert not (found := re.search(f"{registry}|{machine}", text)), f"{name}: {found.group() if found else ''}"
