"""The workflow's own code: lint, layout, and quick to parse."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys

from little_study import BIN, REPOSITORY, LittleStudy

# What a user waits for at every call: reading Snakefile, rules and configuration, and expanding it.
PARSE = """
import json, sys, time
from pathlib import Path
from snakemake.api import SnakemakeApi
from snakemake.settings.types import OutputSettings, ResourceSettings

with SnakemakeApi(OutputSettings()) as api:
    workflow = api.workflow(resource_settings=ResourceSettings(cores=1), snakefile=Path("Snakefile"))
    before, start = set(sys.modules), time.perf_counter()
    workflow.list_rules()
    seconds = time.perf_counter() - start
print(json.dumps({"seconds": seconds, "imported": sorted(set(sys.modules) - before)}))
"""
LIST_MODULES = "print(json.dumps(sorted(sys.modules)))"
HEAVY = {"torch", "transformers", "pandas", "datasets", "pyarrow", "sklearn", "scipy", "matplotlib", "seaborn"}


def packages(modules: list[str]) -> set[str]:
    """The top-level packages of modules."""
    return {module.split(".")[0] for module in modules}


def test_snakemake_lint_is_clean(fresh: LittleStudy) -> None:
    call = fresh.call(str(BIN / "snakemake"), "--lint")
    assert call.status == 0, call.words
    assert "Congratulations" in call.words


def test_snakefmt_is_clean() -> None:
    command = [str(BIN / "snakefmt"), "--check", "Snakefile", "workflow/rules"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_parsing_the_default_study_takes_less_than_a_second_and_imports_nothing_heavy(fresh: LittleStudy) -> None:
    shutil.copy2(REPOSITORY / "config.yaml", fresh.folder)
    seconds = []
    for _ in range(3):
        call = fresh.call(sys.executable, "-c", PARSE)
        assert call.status == 0, call.words
        found = json.loads(call.out.splitlines()[-1])
        assert "transfer_atlas.plan" in found["imported"]
        assert not packages(found["imported"]) & HEAVY
        seconds.append(found["seconds"])
    # The best of three: others may be at work on this machine.
    assert min(seconds) < 1.0, seconds


def test_what_the_snakefile_imports_is_light(fresh: LittleStudy) -> None:
    """Seen without Snakemake, which itself imports pandas and pyarrow."""
    common = (fresh.folder / "workflow" / "rules" / "common.smk").read_text(encoding="utf-8")
    imported = re.findall(r"^(?:from|import) transfer_atlas.*", common, re.M)
    assert imported
    call = fresh.call(sys.executable, "-c", "\n".join([*imported, "import json, sys", LIST_MODULES]))
    assert call.status == 0, call.words
    assert not packages(json.loads(call.out)) & HEAVY
