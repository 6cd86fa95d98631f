"""One trial of a sweep: a training and its evaluation, in a folder that a later attempt goes on in."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peftsum.artifacts import METRICS_FILE
from peftsum.engine.allocator import forget_earlier_work
from peftsum.evaluate import EVALUATION_FILE, Evaluation, evaluate
from peftsum.exceptions import DataError, PeftsumError
from peftsum.recipe import Recipe
from peftsum.run_systems import run_system
from peftsum.sweep_study import FIGURES, LABEL, SYSTEM, TRAIN_LOSS
from peftsum.targets import resolve_target, weights_identity
from peftsum.train import train

if TYPE_CHECKING:
    import optuna

KEPT = ("rouge1_f", "rouge2_f", "rougeL_f", "rougeLsum_f")
"""Scores a dialogue that go into the storage, so that any worker can say how sure the order is."""


class TrialPrunedError(PeftsumError):
    """A training that the pruner ended."""


def run_trial(
    trial: optuna.Trial,
    recipe: Recipe,
    label: str,
    judge: str,
    folder: Path,
    split: str,
    limit: int | None,
    *,
    ignore_forecast: bool = False,
) -> float:
    """Train and evaluate, leave what the result needs in the storage, and return what the trial is judged by.

    The folder is named by what shapes the weights, so that the same trial, begun again after a worker was killed, goes
    on from the last checkpoint there.

    Raises:
        TrialPrunedError: the pruner ended it.
        Everything that :func:`peftsum.train` and :func:`peftsum.evaluate` raise.
    """
    run_dir = folder / f"{label}-{recipe.fingerprint}"

    def on_validation(step: int, figures: Mapping[str, float]) -> None:
        trial.report(figures[f"val_{judge}"], step)
        if trial.should_prune():
            raise TrialPrunedError(f"pruned at step {step}", hint="`pruner: none` lets every trial end")

    trial.set_user_attr(LABEL, label)
    adapter_dir = run_dir / "adapter"
    forget_earlier_work()
    record = train(
        recipe, run_dir, adapter_dir, resume=None, ignore_forecast=ignore_forecast, on_validation=on_validation
    )
    evaluation = _evaluated(run_dir, recipe, split, limit)
    trial.set_user_attr(TRAIN_LOSS, _last_loss(run_dir))
    trial.set_user_attr(FIGURES, record.validation)
    kept = {name: evaluation.statistics[name] for name in KEPT}
    system = run_system(label, run_dir, record, evaluation, statistics=kept)
    trial.set_user_attr(SYSTEM, system.model_dump(mode="json"))
    return record.validation[f"val_{judge}"]


def _evaluated(run_dir: Path, recipe: Recipe, split: str, limit: int | None) -> Evaluation:
    """Evaluate, unless an attempt that was killed after it has done so."""
    from peftsum.artifacts import read_record
    from peftsum.compare import limited
    from peftsum.data import load_split

    try:
        found = read_record(run_dir / EVALUATION_FILE, Evaluation)
        wanted = limited(load_split(recipe.data, split), limit)
        weights = weights_identity(resolve_target(run_dir))
        if (found.data_fingerprint, found.weights, found.generation) == (
            wanted.fingerprint,
            weights,
            recipe.generation,
        ):
            return found
    except DataError:
        pass
    forget_earlier_work()
    return evaluate(run_dir, recipe.data, split, limit=limit)


def _last_loss(run_dir: Path) -> float | None:
    """Return the training loss a target token of the last steps that were logged."""
    rows: list[dict[str, Any]] = [
        json.loads(line) for line in (run_dir / METRICS_FILE).read_text(encoding="utf-8").splitlines()
    ]
    return next((float(row["loss"]) for row in reversed(rows) if "loss" in row), None)
