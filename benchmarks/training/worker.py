"""One process of the benchmark: read a job, do it, write what it cost. `python -m training.worker JOB ANSWER`."""

from __future__ import annotations

import gc
import json
import shutil
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

from training.flops import useful_flops
from training.gauges import StepClock, matmul_peak, resident_bytes
from training.jobs import Job, Trained
from training.shapes import METHODS, read_shape
from training.workload import Workload, read_workload

HELD_OUT_BATCH = 8


def main(job_file: str, answer_file: str) -> None:
    """Do one job."""
    job = Job.read(Path(job_file))
    answer: Any = probe(job) if job.task == "probe" else train(job)
    Path(answer_file).write_text(json.dumps(answer), encoding="utf-8")


def train(job: Job) -> dict[str, Any]:
    """Train one system; return its speed, memory, loss and share of the peak."""
    device = _imported(job.system)
    imported_bytes = resident_bytes()
    clock = StepClock(device)
    workload = read_workload(Path(job.data))
    trained, model = _train(job, workload, device)
    # the kernel keeps its mark loosely: it was once seen 15 MB below what it had said before
    peak_bytes = max(resident_bytes("VmHWM"), imported_bytes)
    memory = {"peak_rss_bytes": peak_bytes, "imported_rss_bytes": imported_bytes}
    memory |= _gpu_memory(device)
    if model is not None:
        model.save_pretrained(trained.saved, **({"save_embedding_layers": False} if METHODS[job.method].frozen else {}))
    figures = _figures(job, trained, clock)
    clock.close()
    del model
    gc.collect()
    peak = matmul_peak(trained.arithmetic, device)
    return {
        **figures,
        **memory,
        "train_loss": trained.loss,
        "train_loss_steps": trained.loss_steps,
        "held_out_loss": held_out_loss(job, trained.saved, workload, device) if job.held_out else None,
        "matmul_peak_flops_per_s": peak,
        "share_of_matmul_peak": figures["useful_flops_per_s"] / peak,
        "arithmetic": trained.arithmetic,
        "settings": trained.settings,
    }


def probe(job: Job) -> list[dict[str, Any]]:
    """Return the speed of each candidate, in tokens and in useful operations a second, in the order given."""
    device = _imported("tuned")
    workload = read_workload(Path(job.data))
    clock, answers = StepClock(device), []
    for settings in job.candidates:
        clock.restart()
        one = replace(job, trainer=settings, system="tuned", examples=max(job.examples, 2 * settings.batch_size))
        try:
            trained, model = _train(one, workload, device)
        except RuntimeError as error:  # out of memory, on a GPU
            answers.append({"failed": str(error).splitlines()[0][:200]})
        else:
            figures = _figures(one, trained, clock)
            answers.append({name: figures[name] for name in ("tokens_per_s", "useful_flops_per_s")})
            del model
        gc.collect()
        shutil.rmtree(job.out, ignore_errors=True)
    clock.close()
    return answers


def held_out_loss(job: Job, saved: str, workload: Workload, device: str) -> float:
    """Return the loss of held-out dialogues in nats a target token, dropout off, fp32: one way for all systems."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForSeq2SeqLM

    from peftsum.model import local_folder

    frozen = METHODS[job.method].frozen
    folder = str(local_folder(job.base)) if frozen else saved
    model: Any = AutoModelForSeq2SeqLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    if frozen:
        model = PeftModel.from_pretrained(model, saved)
    model.eval().to(device)
    pairs = sorted(workload.held_out[: job.held_out], key=lambda pair: len(pair[0]))
    total, tokens = 0.0, 0
    with torch.no_grad():
        for start in range(0, len(pairs), HELD_OUT_BATCH):
            part = pairs[start : start + HELD_OUT_BATCH]
            source, labels = _padded([s for s, _ in part], 0), _padded([t for _, t in part], -100)
            mask = _padded([[1] * len(s) for s, _ in part], 0)
            count = sum(len(t) for _, t in part)
            loss = model(
                input_ids=source.to(device), attention_mask=mask.to(device), labels=labels.to(device), use_cache=False
            ).loss
            total, tokens = total + loss.item() * count, tokens + count
    return total / tokens


def _imported(system: str) -> str:
    """Import what the system needs, so that memory after it is the model's and the training's; return the device."""
    import bitsandbytes  # noqa: F401
    import torch

    if system == "peftsum":
        import accelerate  # noqa: F401
        import datasets  # noqa: F401
        from transformers import AutoTokenizer, T5ForConditionalGeneration  # noqa: F401

        import training.ours
    else:
        import training.trainers  # noqa: F401
    return "cuda" if torch.cuda.is_available() else "cpu"


def _train(job: Job, workload: Workload, device: str) -> tuple[Trained, Any]:
    """Train by the job's system; return what was done and, of a Trainer, the model."""
    if job.system == "peftsum":
        from training.ours import run

        return run(job, workload, device), None
    from training.trainers import train as train_with_trainer

    return train_with_trainer(job, job.trainer, workload, device)


def _figures(job: Job, trained: Trained, clock: StepClock) -> dict[str, Any]:
    """Return the speed of the steps after the warm-up."""
    from peftsum.model import local_folder

    if len(clock.marks) != len(trained.steps):
        raise RuntimeError(f"{len(clock.marks)} optimizer steps were seen, {len(trained.steps)} planned")
    if len(trained.steps) < 2:
        raise RuntimeError("one step: nothing is left to time after the first; ask for more examples")
    first, seen = 0, 0
    while first < 1 or (seen < job.warm_up and first < len(trained.steps) - 1):
        seen += len(trained.steps[first])
        first += 1
    timed = [pair for step in trained.steps[first:] for pair in step]
    wall_s = clock.between(first, len(trained.steps))
    source, target = sum(s for s, _ in timed), sum(t for _, t in timed)
    shape = read_shape(Path(str(local_folder(job.base))))
    parts = useful_flops(shape, METHODS[job.method], timed)
    padding = None
    if trained.positions is not None:
        padding = 1 - sum(s + t for step in trained.steps for s, t in step) / sum(trained.positions)
    return {
        "tokens_per_s": (source + target) / wall_s,
        "useful_flops_per_s": sum(parts.values()) / wall_s,
        "useful_flops": parts,
        "timed_s": wall_s,
        "timed_source_tokens": source,
        "timed_target_tokens": target,
        "timed_steps": len(trained.steps) - first,
        "steps": len(trained.steps),
        "examples": sum(map(len, trained.steps)),
        "padding_share": padding,
    }


def _gpu_memory(device: str) -> dict[str, int]:
    if device != "cuda":
        return {}
    import torch

    return {
        "peak_gpu_bytes": torch.cuda.max_memory_allocated(),
        "peak_gpu_reserved_bytes": torch.cuda.max_memory_reserved(),
    }


def _padded(rows: list[list[int]], filler: int) -> Any:
    import torch

    width = max(map(len, rows))
    return torch.tensor([row + [filler] * (width - len(row)) for row in rows])


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(*sys.argv[1:])
