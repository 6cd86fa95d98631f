"""Starting workers one after the other, and saying on stderr how far it is and how long it will take."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any

from training.flops import useful_flops
from training.jobs import Job
from training.shapes import METHODS, SHAPES

BENCHMARKS = Path(__file__).resolve().parents[1]
START_S = 12.0  # first guess of what a worker takes before it trains: imports, loading
FLOPS_PER_S = 5e10  # first guess of the rate at which it trains; what was measured takes its place


class WorkerFailed(Exception):  # noqa: N818  # it says what happened
    """A worker ended without an answer; the message is the last line that it said."""


@dataclass
class Clock:
    """How long the work took so far and will take; guesses are scaled by what earlier ones turned out to be."""

    total_s: float
    started: float = field(default_factory=time.perf_counter)
    guessed_s: float = 0.0
    """Of what is done."""

    @property
    def spent_s(self) -> float:
        """Seconds since the start."""
        return time.perf_counter() - self.started

    def line(self, title: str) -> None:
        """Print what is done next, and the time left."""
        spent = self.spent_s
        scale = spent / self.guessed_s if self.guessed_s else 1.0
        left = max(0.0, self.total_s - self.guessed_s) * scale
        print(f"{spent:5.0f} s, about {left:.0f} s left: {title}", file=sys.stderr, flush=True)

    def done(self, guess_s: float) -> None:
        """Count work as done."""
        self.guessed_s += guess_s


def guess_s(job: Job, lengths: Sequence[tuple[int, int]]) -> float:
    """Return a first guess of a job's seconds, right in proportion at least."""
    share = job.examples / max(1, len(lengths))
    flops = sum(useful_flops(SHAPES[job.shape], METHODS[job.method], lengths).values()) * share
    slower = {"common": 1.6, "tuned": 1.2}.get(job.system, 0.8)
    runs = len(job.candidates) if job.task == "probe" else 1
    return START_S + runs * slower * flops / FLOPS_PER_S


class Runner:
    """Runs jobs in processes of their own, in a temporary folder."""

    def __init__(self, work: Path) -> None:
        self.work = work
        self._numbers = count(1)

    def run(self, job: Job) -> Any:
        """Do a job and return its answer.

        Raises:
            WorkerFailed: it ended without one.
        """
        name = f"{next(self._numbers):04d}"
        job_file, answer_file = self.work / f"{name}.job.json", self.work / f"{name}.answer.json"
        out = self.work / name
        replace(job, out=str(out)).write(job_file)
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(BENCHMARKS), str(BENCHMARKS.parent)]),
            "TOKENIZERS_PARALLELISM": "false",
            "HF_HUB_OFFLINE": "1",
        }
        log_file = self.work / f"{name}.log"
        with log_file.open("w", encoding="utf-8") as log:
            command = [sys.executable, "-m", "training.worker", str(job_file), str(answer_file)]
            code = subprocess.run(command, env=environment, stdout=log, stderr=log, check=False).returncode
        shutil.rmtree(out, ignore_errors=True)
        if code == 0 and answer_file.is_file():
            return json.loads(answer_file.read_text(encoding="utf-8"))
        lines = [line for line in log_file.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
        said = lines[-1][:300] if lines else "it said nothing"
        raise WorkerFailed(f"exit code {code}{' (killed: out of memory?)' if code == -9 else ''}: {said}")
