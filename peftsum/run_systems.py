"""What was evaluated as a system of a comparison, with what is known of its training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from peftsum.adapters import ADAPTER_WEIGHTS
from peftsum.artifacts import RunRecord, folder_bytes
from peftsum.evaluate import Evaluation
from peftsum.recipe import Recipe
from peftsum.systems import System


def evaluated_system(name: str, recipe: Recipe, evaluation: Evaluation, **known: Any) -> System:
    """Return the system of a recipe.

    Args:
        name: what it is called in the comparison.
        recipe: that it was tuned by.
        evaluation: of it.
        known: further fields.
    """
    fields = {"statistics": evaluation.statistics, **known}
    return System(
        system=name,
        method=recipe.method.variant,
        quantize=recipe.model.quantize,
        base=recipe.model.base,
        scores=evaluation.scores,
        **fields,
    )


def run_system(name: str, run_dir: Path, record: RunRecord, evaluation: Evaluation, **known: Any) -> System:
    """Return the system of a finished run, with what its training took and the machines of both.

    Args:
        name: what it is called in the comparison.
        run_dir: where it lies.
        record: of it.
        evaluation: of it.
        known: further fields.
    """
    weights = Path(record.adapter_dir) if record.adapter_dir else None
    return evaluated_system(
        name,
        record.recipe,
        evaluation,
        trainable_params=record.trainable_params,
        total_params=record.total_params,
        adapter_bytes=(weights / ADAPTER_WEIGHTS).stat().st_size if weights else None,
        model_bytes=None if weights else folder_bytes(run_dir / "model"),
        train=record.train,
        evaluate=evaluation.evaluate,
        generated=evaluation.scores.n,
        forecast=record.forecast,
        trained_on=record.machine.label,
        evaluated_on=evaluation.machine.label if evaluation.machine else None,
        **known,
    )
