"""One process of the benchmark: train a recipe for a few steps. `python -m forecasting.worker JOB ANSWER`."""

from __future__ import annotations

import json
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any


def main(job_file: str, answer_file: str) -> None:
    """Do one job."""
    job = json.loads(Path(job_file).read_text(encoding="utf-8"))
    Path(answer_file).write_text(json.dumps(run(job)), encoding="utf-8")


def run(job: dict[str, Any]) -> dict[str, Any]:
    """Train as the command does, under the project's own meters; return what they read and the time of each step."""
    import torch
    from torch.optim.optimizer import register_optimizer_step_post_hook
    from training.gauges import StepClock

    from peftsum import train
    from peftsum.recipe import Recipe

    clock = StepClock("cuda" if torch.cuda.is_available() else "cpu")
    cpu_marks: list[float] = []
    register_optimizer_step_post_hook(lambda *_: cpu_marks.append(time.process_time()))
    folder = Path(job["folder"])
    record = train(Recipe.model_validate(job["recipe"]), run_dir=folder / "run", adapter_dir=folder / "adapter")
    if record.train is None:
        raise RuntimeError("the run has no readings")
    memory = record.train.peak_memory_bytes
    return {
        "peak_memory_bytes": memory.value,
        "memory_source": f"{memory.scope}: {memory.source}",
        "step_s": [clock.between(i, i + 1) for i in range(1, len(clock.marks))],
        "step_cpu_s": [(end - start) / torch.get_num_threads() for start, end in pairwise(cpu_marks)],
        "steps": record.steps,
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
