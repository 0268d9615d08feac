"""The workflow's own code: lint, layout, and quick to parse."""

from __future__ import annotations

import json
import subprocess
import sys

from little_study import BIN, REPOSITORY, LittleStudy

# What a user waits for at every call: reading the Snakefile, the rules and the configuration, and expanding it.
PARSE = """
import json, sys, time
from pathlib import Path
from snakemake.api import SnakemakeApi
from snakemake.settings.types import ConfigSettings, OutputSettings, ResourceSettings
import snakemake.workflow, snakemake.report

with SnakemakeApi(OutputSettings(quiet=None)) as api:
    workflow = api.workflow(resource_settings=ResourceSettings(cores=1), snakefile=Path("Snakefile"))
    before, start = set(sys.modules), time.perf_counter()
    workflow.list_rules()
    seconds = time.perf_counter() - start
print(json.dumps({"seconds": seconds, "imported": sorted(set(sys.modules) - before)}))
"""
HEAVY = {"torch", "transformers", "pandas", "datasets", "pyarrow", "sklearn", "scipy", "matplotlib", "seaborn"}


def test_snakemake_lint_is_clean(fresh: LittleStudy) -> None:
    call = fresh.call(str(BIN / "snakemake"), "--lint")
    assert call.status == 0, call.words
    assert "Congratulations" in call.words


def test_snakefmt_is_clean() -> None:
    command = [str(BIN / "snakefmt"), "--check", "Snakefile", "workflow/rules"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_parsing_takes_less_than_a_second_and_imports_nothing_heavy(finished: LittleStudy) -> None:
    seconds = []
    # The default study, which is larger than the tests', in the state that has most to read: finished.
    for _ in range(3):
        call = finished.call(sys.executable, "-c", PARSE)
        assert call.status == 0, call.words
        found = json.loads(call.out.splitlines()[-1])
        assert "transfer_atlas.plan" in found["imported"]
        assert not {module.split(".")[0] for module in found["imported"]} & HEAVY
        seconds.append(found["seconds"])
    # The best of three: others may be at work on this machine.
    assert min(seconds) < 1.0, seconds
