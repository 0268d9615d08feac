"""Write requirements.lock and requirements-test.lock: run by `make lock` inside a fresh environment.

The locks pin everything that pyproject.toml's ranges bring in. Builds of torch differ between machines (CPU, CUDA), so
its local version and the packages that only its CUDA build needs are left to the installer.
"""

import subprocess
import sys
import tomllib
from pathlib import Path

HERE = Path(__file__).parent
CUDA_ONLY = ("nvidia-", "cuda-", "triton")


def pip(*arguments: str) -> str:
    """Run pip of this environment and return what it prints."""
    return subprocess.run([sys.executable, "-m", "pip", *arguments], check=True, text=True, stdout=-1).stdout


def pinned() -> set[str]:
    """`name==version` of everything installed."""
    lines = [line.split("+")[0] for line in pip("freeze", "--all").splitlines() if "==" in line]
    return {line for line in lines if not line.startswith((*CUDA_ONLY, "pip=="))}


def main() -> None:
    """Install the ranges, then write what came."""
    project = tomllib.loads((HERE.parent / "pyproject.toml").read_text())["project"]
    pip("install", "--quiet", *project["dependencies"], "setuptools", "wheel")
    run = pinned()
    pip("install", "--quiet", *project["dependencies"], *project["optional-dependencies"]["test"])
    test = pinned() - run
    note = "# Written by `make lock`.\n"
    (HERE / "requirements.lock").write_text(note + "\n".join(sorted(run, key=str.lower)) + "\n")
    (HERE / "requirements-test.lock").write_text(note + "\n".join(sorted(test, key=str.lower)) + "\n")


if __name__ == "__main__":
    main()
