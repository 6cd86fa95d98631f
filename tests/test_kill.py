"""SIGKILL at any moment, then ``--resume``: the same weights to the last bit, the same metrics, the same best."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from forking import Forker
from trainings import LORA, make_recipe, metrics, same_weights, weights_of

from peftsum.artifacts import RUN_FILE, RunRecord, read_record
from peftsum.checkpoints import BEST, list_checkpoints

RUN, ADAPTER = Path("runs/run"), Path("adapters/run")
KEEP = 2
KILLED = -signal.SIGKILL

# Dropout draws random numbers; checkpoints, validations and rows of metrics.jsonl fall on different steps; the best
# comes early, and the last checkpoint later.
COURSE: dict[str, Any] = {
    "max_steps": 13,
    "eval_every": 3,
    "checkpoint_every": 2,
    "keep_checkpoints": KEEP,
    "dropout": 0.1,
    "schedule": "constant",
}
TUNINGS: dict[str, dict[str, Any]] = {
    "lora": {"method": {**LORA, "dropout": 0.2}, "train": {**COURSE, "learning_rate": 0.1}},
    "full": {"method": {"kind": "full"}, "train": {**COURSE, "learning_rate": 0.3}},
}


class Course:
    """A training that was never interrupted, and a folder to kill and resume it in."""

    def __init__(self, forks: Forker, name: str, byte_base: Path, dialogues: Path, folder: Path) -> None:
        self.forks, self.straight = forks, folder / "straight"
        recipe = make_recipe(byte_base, dialogues, **TUNINGS[name])
        forks.forecast_ahead(folder, recipe)
        self.recipe = yaml.safe_dump(recipe.model_dump(mode="json"))
        self.start_in(self.straight)
        started = time.perf_counter()
        assert forks.run(self.straight, ["train", "recipe.yaml"]) == (0,), self.said(self.straight)
        self.took_s = time.perf_counter() - started
        self.events = int((self.straight / "events-0").read_text("utf-8"))
        record = read_record(self.straight / RUN / RUN_FILE, RunRecord)
        assert record.best_step is not None
        assert record.best_step < record.steps == COURSE["max_steps"]

    def start_in(self, folder: Path) -> None:
        """Take an empty folder as the place to kill and resume in."""
        self.killed = folder
        folder.mkdir()
        (folder / "recipe.yaml").write_text(self.recipe, encoding="utf-8")

    @staticmethod
    def said(folder: Path) -> str:
        """Return what the last session in a folder printed."""
        return (folder / "errors-0").read_text("utf-8")

    def run(self, **how: Any) -> int:
        """Go on with the training; return the exit code."""
        (code,) = self.forks.run(self.killed, ["train", "recipe.yaml", "--resume"], **how)
        assert code in (0, KILLED), self.said(self.killed)
        return code

    def finish_and_compare(self) -> None:
        """Hold that the killed training ends as the other did, and leaves as little."""
        assert self.run() == 0
        assert same_weights(*(weights_of(at / RUN, at / ADAPTER) for at in (self.killed, self.straight)))
        assert rows(self.killed) == rows(self.straight)
        one, other = (read_record(at / RUN / RUN_FILE, RunRecord) for at in (self.killed, self.straight))
        same = ("status", "steps", "best_step", "validation", "source_tokens", "target_tokens")
        assert [getattr(one, name) for name in same] == [getattr(other, name) for name in same]
        assert files(self.killed) == files(self.straight)
        assert len(list_checkpoints(self.killed / RUN)) == KEEP
        assert len(list((self.killed / RUN / BEST).iterdir())) == 1


def rows(folder: Path) -> list[dict[str, float]]:
    return [{k: v for k, v in row.items() if k != "wall_s"} for row in metrics(folder / RUN)]


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for top in ("runs", "adapters") for path in (folder / top).rglob("*")}


@pytest.fixture(scope="module")
def courses(
    forks: Forker, byte_base: Path, dialogues: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Course]:
    return {name: Course(forks, name, byte_base, dialogues, tmp_path_factory.mktemp(name)) for name in TUNINGS}


@pytest.fixture(params=TUNINGS)
def course(request: pytest.FixtureRequest, courses: dict[str, Course], tmp_path: Path) -> Course:
    chosen = courses[request.param]
    chosen.start_in(tmp_path / "killed")
    return chosen


def appears(folder: Path, pattern: str) -> Callable[[float], bool]:
    """Return whether something of a name has come since; what a killed run left there is cleared first, and is old."""
    before = {path.name for path in folder.glob(pattern)}
    return lambda _: any(path.name not in before for path in folder.glob(pattern))


def test_killed_at_random_times_and_inside_writes(course: Course) -> None:
    rng = random.Random(5)
    run = course.killed / RUN
    begun = [(run / "checkpoints", ".step-*.tmp"), (run / "best", ".step-*.tmp"), (run / "checkpoints", "step-*8")]
    deaths = sum(course.run(kill_when=appears(folder, pattern)) == KILLED for folder, pattern in begun)
    assert deaths >= 2  # a write so quick that nobody saw it is missed
    for _ in range(3):
        moment = rng.uniform(0.1, 0.6) * course.took_s
        course.run(kill_when=lambda now, moment=moment: now > moment)
    course.finish_and_compare()


def test_killed_between_two_file_operations(course: Course) -> None:
    """Each session dies a little further on, just before it makes, renames, opens for writing or deletes something."""
    rng = random.Random(6)
    deaths = 0
    for number in range(6):
        deaths += course.run(die_at=rng.randrange(1, 40) if number < 5 else 8) == KILLED
    assert deaths >= 4
    course.finish_and_compare()


@pytest.mark.slow
def test_killed_before_every_file_operation(course: Course) -> None:
    for event in range(1, course.events + 1):
        assert course.run(die_at=event) == KILLED
        course.finish_and_compare()
        for top in ("runs", "adapters"):
            shutil.rmtree(course.killed / top, ignore_errors=True)


@pytest.mark.slow
def test_killed_at_many_random_times(course: Course) -> None:
    rng = random.Random(7)
    for _ in range(15):
        for _ in range(4):
            moment = rng.uniform(0.0, 1.0) * course.took_s
            course.run(kill_when=lambda now, moment=moment: now > moment)
        course.finish_and_compare()
        (course.killed / RUN / RUN_FILE).unlink()


def test_a_command_started_as_users_do_is_killed_and_resumed(courses: dict[str, Course], tmp_path: Path) -> None:
    course = courses["lora"]
    course.start_in(tmp_path / "killed")
    command = [sys.executable, "-m", "peftsum", "train", "recipe.yaml"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, cwd=course.killed, env=environment, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None and not list_checkpoints(course.killed / RUN):
            time.sleep(0.001)
        process.kill()
    assert json.loads((course.killed / RUN / RUN_FILE).read_text("utf-8"))["status"] == "running"
    course.finish_and_compare()
