"""peftsum, through its public way: a recipe, and ``train``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from peftsum import train
from peftsum.model import has_bf16
from peftsum.prepare import prepare
from peftsum.recipe import Recipe
from training.jobs import Job, Trained
from training.shapes import METHODS
from training.workload import MAX_SOURCE, MAX_TARGET, Workload


def make_recipe(job: Job, pool: int) -> Recipe:
    """Return the recipe: defaults, but for validation and checkpoints, which the Trainer leaves out as well.

    Args:
        job: what to train.
        pool: training dialogues in the data folder.
    """
    tuning = METHODS[job.method]
    return Recipe.model_validate(
        {
            "name": "speed",
            "model": {"base": job.base, "quantize": tuning.quantize},
            "data": {"source": job.data, "max_source_tokens": MAX_SOURCE, "max_target_tokens": MAX_TARGET},
            "method": tuning.recipe_method(),
            "train": {
                "epochs": job.examples / pool,
                "batch_tokens": job.batch_tokens,
                "eval_examples": 0,
                "checkpoint_every": 1_000_000,
                "seed": job.seed,
            },
            "cost": {},
        }
    )


def run(job: Job, workload: Workload, device: str) -> Trained:
    """Train on about ``job.examples`` dialogues, a whole number of batches; return what was done."""
    recipe = make_recipe(job, len(workload.train))
    run_dir, adapter_dir = Path(job.out) / "run", Path(job.out) / "adapter"
    record = train(recipe, run_dir=run_dir, adapter_dir=adapter_dir)
    # The record has the tokens of the whole run; the plan, which follows from the recipe, says how they lie in steps.
    prepared = prepare(recipe)
    examples = prepared.examples
    steps = [[(len(examples[i].source), len(examples[i].target)) for i in _indices(step)] for step in prepared.steps]
    totals = sum(s for step in steps for s, _ in step), sum(t for step in steps for _, t in step)
    if totals != (record.source_tokens, record.target_tokens) or len(steps) != record.steps:
        raise RuntimeError(
            f"the plan has {totals} source and target tokens in {len(steps)} steps, the run "
            f"{(record.source_tokens, record.target_tokens)} in {record.steps}: this benchmark would count wrongly"
        )
    loss, loss_steps = _last_loss(run_dir / "metrics.jsonl", len(steps))
    return Trained(
        steps=steps,
        positions=None,
        loss=loss,
        loss_steps=loss_steps,
        arithmetic="bf16" if has_bf16(device) else "fp32",
        settings={"learning_rate": recipe.learning_rate, **recipe.model_dump(mode="json", include={"model", "train"})},
        saved=str(adapter_dir if METHODS[job.method].frozen else run_dir / "model"),
    )


def _indices(plan: Any) -> Iterator[int]:
    """Yield the indices in a step's plan, however its batches and rows are nested."""
    if isinstance(plan, int):
        yield plan
    elif isinstance(plan, Sequence):
        for part in plan:
            yield from _indices(part)


def _last_loss(metrics: Path, steps: int) -> tuple[float | None, tuple[int, int] | None]:
    """Return the mean loss over the rows of the last third of the steps, or over the last row, and its steps."""
    rows = [json.loads(line) for line in metrics.read_text(encoding="utf-8").splitlines()]
    ends = [(row["step"], row["loss"]) for row in rows if "loss" in row]
    spans = [(start + 1, end, loss) for (start, _), (end, loss) in zip([(0, 0.0), *ends], ends, strict=False)]
    last = [span for span in spans if span[0] > steps * 2 // 3] or spans[-1:]
    if not last:
        return None, None
    counts = [end - start + 1 for start, end, _ in last]
    return sum(n * span[2] for n, span in zip(counts, last, strict=True)) / sum(counts), (last[0][0], last[-1][1])
