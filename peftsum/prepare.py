"""A recipe made ready: data read, checked and tokenized, steps planned; no weights are loaded yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from peftsum.batching import Encoded, encode
from peftsum.data import Example, Split, load_training_splits
from peftsum.exceptions import RecipeError
from peftsum.model import default_device, is_plain_t5, load_tokenizer
from peftsum.optimization import plan_steps
from peftsum.recipe import Recipe
from peftsum.teaching import check_teacher

VALIDATIONS = 4  # in a run, where the recipe does not say


@dataclass(frozen=True)
class Prepared:
    """A recipe whose data is read, checked and tokenized; no weights are loaded yet."""

    recipe: Recipe
    train: Split
    examples: list[Encoded]
    """Training examples as tokens."""
    checks: list[Example]
    """Validation sample, for loss and ROUGE during training."""
    encoded_checks: list[Encoded]

    @cached_property
    def steps(self) -> list[list[list[int]]]:
        """The plan: optimizer steps, their batches, indices into ``examples``."""
        train = self.recipe.train
        packed = train.engine.packs(default_device()) and is_plain_t5(self.recipe.model)
        return plan_steps(self.examples, train, packed=packed)

    @property
    def eval_every(self) -> int:
        """Optimizer steps between validations."""
        return self.recipe.train.eval_every or max(1, -(-len(self.steps) // VALIDATIONS))

    @property
    def checkpoint_every(self) -> int:
        """Optimizer steps between checkpoints."""
        return self.recipe.train.checkpoint_every or self.eval_every


def prepare(recipe: Recipe) -> Prepared:
    """Read, check and tokenize a recipe's data; what cannot work fails here."""
    _check_trackers(recipe.train.trackers)
    check_teacher(recipe)
    tokenizer = load_tokenizer(recipe.model)
    train_split, validation = load_training_splits(recipe.data, recipe.train.seed)
    checks = (
        validation.sample(recipe.train.eval_examples, recipe.train.seed).examples if recipe.train.eval_examples else []
    )
    limits = {
        "max_source_tokens": recipe.data.max_source_tokens,
        "max_target_tokens": recipe.data.max_target_tokens,
    }
    examples = encode(train_split.examples, tokenizer, recipe.prompt, **limits)
    encoded_checks = encode(checks, tokenizer, recipe.prompt, **limits)
    return Prepared(recipe, train_split, examples, checks, encoded_checks)


def describe_plan(prepared: Prepared) -> dict[str, str | int | float]:
    """Return what a training would do, for `--dry-run`."""
    recipe = prepared.recipe
    batches = [batch for step in prepared.steps for batch in step]
    return {
        "recipe": recipe.name,
        "base": recipe.model.base,
        "quantize": recipe.model.quantize,
        "method": recipe.method.label(),
        "training_dialogues": len(prepared.examples),
        "validation_dialogues": len(prepared.checks),
        "optimizer_steps": len(prepared.steps),
        "dialogues_a_batch": round(sum(map(len, batches)) / len(batches), 1),
        "longest_source_tokens": max(len(e.source) for e in prepared.examples),
        "truncated_dialogues": sum(e.source_cut for e in prepared.examples),
        "truncated_summaries": sum(e.target_cut for e in prepared.examples),
        "learning_rate": recipe.learning_rate,
        "fingerprint": recipe.fingerprint,
    }


def _check_trackers(names: Sequence[str]) -> None:
    if not names:
        return
    from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers

    for name in names:
        if name not in LOGGER_TYPE_TO_CLASS:
            raise RecipeError(
                f"train.trackers: no tracker named {name!r}", hint=f"known: {', '.join(sorted(LOGGER_TYPE_TO_CLASS))}"
            )
        if name not in [str(n) for n in get_available_trackers()]:
            raise RecipeError(f"train.trackers: {name} is not installed", hint=f"pip install {name}")
