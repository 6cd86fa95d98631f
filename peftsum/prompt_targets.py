"""What a prompt study asks: the untuned base of a recipe, and tuned adapters or runs on the same base."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peftsum.adapters import ADAPTER_WEIGHTS
from peftsum.artifacts import RUN_FILE, RunRecord, folder_bytes, is_run, read_record
from peftsum.cost.readings import untrained
from peftsum.exceptions import UsageError
from peftsum.model import base_revision
from peftsum.recipe import Recipe
from peftsum.targets import Target, check_same_base, resolve_target, weights_identity

if TYPE_CHECKING:
    from peftsum.generate import Summarizer


@dataclass(frozen=True)
class StudyTarget:
    """One model to ask, and what the report says of it."""

    name: str
    """Empty for the untuned base."""
    target: Target | None
    """None for the untuned base."""
    weights: str
    described: dict[str, Any]
    """Fields of a :class:`peftsum.systems.System` that no prompt changes."""
    recipe: Recipe | None = None
    """It was trained by; None for the untuned base, and where that is not known."""
    data_fingerprint: str | None = None

    def load(self, recipe: Recipe) -> Summarizer:
        """Load it, in the precision of the recipe where it is the untuned base."""
        from peftsum.generate import Summarizer

        if self.target is None:
            return Summarizer(recipe.model.base, quantize=recipe.model.quantize, precision=recipe.model.precision)
        if self.target.adapter is None:
            return Summarizer(self.target.model.base)
        return Summarizer(self.target.model.base, [self.target.adapter])


def study_targets(recipe: Recipe, adapters: Sequence[str | Path]) -> list[StudyTarget]:
    """Return the untuned base and then each of the tuned ones.

    Raises:
        AdapterError: an adapter is missing, damaged or of another base.
        UsageError: two have one name, or what is named was not tuned on the recipe's base.
    """
    targets = [_untuned(recipe), *(_tuned(recipe, Path(adapter)) for adapter in adapters)]
    names = [target.name for target in targets]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UsageError(f"two adapters are called {twice!r}", hint="rename one of the folders")
    return targets


def _untuned(recipe: Recipe) -> StudyTarget:
    described = {
        "method": "none",
        "quantize": recipe.model.quantize,
        "base": recipe.model.base,
        "trainable_params": 0,
        "adapter_bytes": 0,
        "train": untrained(),
    }
    return StudyTarget("", None, base_revision(recipe.model), described)


def _tuned(recipe: Recipe, path: Path) -> StudyTarget:
    target = resolve_target(path)
    if target.adapter is not None:
        check_same_base(target.adapter, recipe.model.base)
    run = read_record(path / RUN_FILE, RunRecord) if is_run(path) else None
    record = run or target.record
    if record is None and target.adapter is None:
        raise UsageError(f"{path} is neither an adapter nor a finished run", hint="prompts of a base need no --adapter")
    if record is not None and record.recipe.model.base != recipe.model.base and target.adapter is None:
        raise UsageError(
            f"{path} was tuned from {record.recipe.model.base}, not {recipe.model.base}",
            hint=f"pass --set model.base={record.recipe.model.base}",
        )
    described: dict[str, Any] = {
        "method": record.recipe.method.variant if record else "adapter",
        "quantize": record.recipe.model.quantize if record else "none",
        "base": recipe.model.base,
        "trainable_params": record.trainable_params if record else None,
        "adapter_bytes": (target.adapter / ADAPTER_WEIGHTS).stat().st_size if target.adapter else None,
        "model_bytes": None if target.adapter else folder_bytes(path / "model"),
        "train": run.train if run else None,
        "trained_on": run.machine.label if run else None,
    }
    return StudyTarget(
        target.name,
        target,
        weights_identity(target),
        described,
        recipe=record.recipe if record else None,
        data_fingerprint=record.data_fingerprint if record else None,
    )
