"""Killed anywhere, the same command goes on and ends in the same bytes."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
from little_study import SIMILARITY_CELL, SIMILARITY_FILE, LittleStudy

TOO_LONG = 240.0


# What a kill may hit. Within a phase the order of jobs is Snakemake's, so any of its steps will do.
DOWNLOAD = {"download"}
PREPARATION = {"prepare_task"}
TRAINING = {"train_intermediate", "train", "train_heads"}
AGGREGATION = {"aggregate"}
# What to lose so that a phase is ahead again, where its moment was missed.
MADE_IN = (
    (DOWNLOAD, ["artifacts"]),
    (PREPARATION, ["tasks"]),
    (TRAINING, ["cells", "intermediate", "store"]),
    (AGGREGATION, ["tables"]),
)
TRIES = 5


@dataclass(frozen=True)
class Aim:
    """A moment to kill at: a random time after a file that matches appears, while a step runs.

    Where `leaves` is set, only a kill that leaves such a file behind counts.
    """

    steps: frozenset[str]
    appears: str
    within: float
    leaves: str = ""

    def was_met(self, hit: set[str], results: Path) -> bool:
        """Whether the kill hit what was aimed at."""
        return bool(hit & self.steps) and (not self.leaves or any(results.glob(self.leaves)))


def aim(steps: set[str], appears: str, within: float, leaves: str = "") -> Aim:
    """An aim at any of `steps`."""
    return Aim(frozenset(steps), appears, within, leaves)


TRAINING_LOGS = "logs/*/tiny/**/*.log"
CHECKPOINTS = "store/*/*/checkpoint.safetensors"
# In the order of the study, so that each is still ahead when the one before has been killed. A job's log appears when
# the job starts, so the moment lies anywhere in importing, reading and working; the others lie inside the work.
AIMS = [
    aim(DOWNLOAD, "logs/download/*.log", 0.4),
    aim(DOWNLOAD, "artifacts/.*.partial", 0.03),
    aim(PREPARATION, "logs/prepare_task/*.log", 0.6),
    aim(PREPARATION, "tasks/*/*", 0.003),
    aim(TRAINING, TRAINING_LOGS, 2.0),
    aim(TRAINING, CHECKPOINTS, 0.1, leaves=CHECKPOINTS),
    aim(TRAINING, TRAINING_LOGS, 3.0),
    aim(TRAINING, CHECKPOINTS, 0.1, leaves=CHECKPOINTS),
    aim(TRAINING, TRAINING_LOGS, 3.0),
    aim(AGGREGATION, "logs/aggregate.log", 0.7),
    # Not overlap.csv, which is made earlier.
    aim(AGGREGATION, "tables/.[!o]*.partial", 0.003),
]


def after(missed: Aim) -> list[Aim]:
    """The moments that say that what was aimed at is over; a task may be prepared while another is downloaded."""
    over = [TRAINING, AGGREGATION] if missed.steps <= DOWNLOAD | PREPARATION else [AGGREGATION]
    found = [other for other in AIMS if other.steps in over and other.steps != missed.steps and not other.leaves]
    return list({other.appears: other for other in found}.values())


def step_of(process: psutil.Process) -> str | None:
    """The step of `python -m transfer_atlas STEP` that a process runs."""
    command = process.cmdline()
    if "transfer_atlas" not in command:
        return None
    return command[command.index("transfer_atlas") + 1]


def still_there(folder: Path) -> list[psutil.Process]:
    """Processes that run in this folder."""
    found = []
    for process in psutil.process_iter():
        try:
            if Path(process.cwd()) == folder:
                found.append(process)
        except psutil.Error:
            continue
    return found


def kill_tree(leader: subprocess.Popen[bytes], folder: Path) -> set[str]:
    """SIGKILL Snakemake and everything below it; the steps that were hit."""
    root = psutil.Process(leader.pid)
    steps = set()
    for process in [root, *root.children(recursive=True)]:
        try:
            steps.add(step_of(process))
            process.kill()
        except psutil.NoSuchProcess:
            continue
    leader.wait()
    while left := still_there(folder):
        for process in left:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(left, timeout=10)
    return {step for step in steps if step}


def has_come(moment: Aim, results: Path, since: float) -> bool:
    """Whether a file that was written since matches."""
    for path in results.glob(moment.appears):
        try:
            if path.stat().st_mtime >= since:
                return True
        except FileNotFoundError:
            continue
    return False


def start(study: LittleStudy) -> subprocess.Popen[bytes]:
    """Snakemake in the background, in a session of its own."""
    with open(study.folder / "snakemake.out", "wb") as out:
        return subprocess.Popen(
            study.snakemake_command(),
            cwd=study.folder,
            env=study.environment(),
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def wait_until(happened: Callable[[], bool], running: subprocess.Popen[bytes]) -> bool:
    """Wait for something; False where the process ended before."""
    deadline = time.monotonic() + TOO_LONG
    while time.monotonic() < deadline:
        if happened():
            return True
        if running.poll() is not None:
            return False
        time.sleep(0.002)
    raise AssertionError("nothing happened for minutes")


def resumed(study: LittleStudy) -> set[str]:
    """Lines of logs that say that a run went on from a checkpoint."""
    logs = (study.results / "logs").rglob("*.log")
    return {line for log in logs for line in log.read_text().splitlines() if "goes on at step" in line}


def kill_at(study: LittleStudy, aimed_at: Aim, delay: float) -> set[str]:
    """Start Snakemake and kill it in the aimed-at moment, or later where that was missed; the steps that were hit."""
    since, moments = time.time(), [aimed_at, *after(aimed_at)]
    running = start(study)
    if wait_until(lambda: any(has_come(moment, study.results, since) for moment in moments), running):
        time.sleep(delay)
        if running.poll() is None:
            return kill_tree(running, study.folder)
    assert running.wait() == 0, (study.folder / "snakemake.out").read_text()
    return set()


def test_killed_at_random_moments_ends_in_the_same_bytes(fresh: LittleStudy, finished: LittleStudy) -> None:
    study, rng = fresh, random.Random(2020)
    hits: list[set[str]] = []
    checkpoints: set[Path] = set()
    went_on: set[str] = set()
    for aimed_at in AIMS:
        for _ in range(TRIES):
            hit = kill_at(study, aimed_at, rng.uniform(0, aimed_at.within))
            went_on |= resumed(study)
            if hit:
                hits.append(hit)
                checkpoints |= set(study.results.glob(CHECKPOINTS))
            if len(hits) == 1:
                # What a user sees who simply types the command again, and what it says to do.
                locked = study.snakemake()
                assert locked.status == 1
                assert "--unlock" in locked.words
            assert study.snakemake("--unlock").status == 0
            if aimed_at.was_met(hit, study.results):
                break
            for phase, made in MADE_IN:
                if phase == aimed_at.steps:
                    for name in made:
                        shutil.rmtree(study.results / name, ignore_errors=True)
    study.run()
    went_on |= resumed(study)

    assert len(hits) >= 10
    for phase, least in ((DOWNLOAD, 1), (PREPARATION, 1), (TRAINING, 3), (AGGREGATION, 1)):
        assert sum(not hit.isdisjoint(phase) for hit in hits) >= least, (phase, hits)
    assert checkpoints
    assert went_on
    assert study.differing(finished) == []
    assert study.plan() == set()


def test_asked_to_stop_saves_and_goes_on_from_there(study: LittleStudy, finished: LittleStudy) -> None:
    for path in (study.results / "store").glob("*/*/result.json"):
        path.unlink()
    # Whatever checkpoint there will be comes from the signal.
    study.config["execution"]["checkpoint_seconds"] = 1000.0
    study.configure()
    (study.folder / SIMILARITY_FILE).unlink()
    log = study.results / "logs" / f"{SIMILARITY_CELL}.log"
    log.unlink()
    running = subprocess.Popen(
        study.snakemake_command(SIMILARITY_FILE, "--retries", "0"),
        cwd=study.folder,
        env=study.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    assert wait_until(lambda: log.is_file() and "step" in log.read_text(), running)
    (job,) = [p for p in psutil.Process(running.pid).children(recursive=True) if p.cmdline()[1:2] == ["-m"]]
    job.send_signal(signal.SIGTERM)

    assert running.wait(TOO_LONG) != 0
    stopped = log.read_text().splitlines()[-1]
    assert stopped.startswith("stopped as asked at step ")
    step = stopped.split()[5]
    assert len(list((study.results / "store").glob("*/*/checkpoint.safetensors"))) == 1

    study.run(SIMILARITY_FILE)
    assert f"goes on at step {step}\n" in log.read_text()
    assert not list((study.results / "store").glob("*/*/checkpoint.safetensors"))
    assert study.differing(finished) == []
