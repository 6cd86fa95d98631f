"""What a training goes through: how many steps, and what the batches and the validation look like."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass

from peftsum.batching import length_sorted_batches, token_budget_batches
from peftsum.decoding import DECODE_TOKENS
from peftsum.exceptions import DataError, HubError, ModelError
from peftsum.optimization import plan_steps
from peftsum.prepare import VALIDATIONS, Prepared, prepare
from peftsum.recipe import Model, Recipe

logger = logging.getLogger(__name__)

Lengths = tuple[tuple[int, int], ...]
"""(source, target) tokens of each dialogue."""
STAND_IN = "builtin:tiny"  # whose tokenizer counts where the base's own cannot be had


@dataclass(frozen=True)
class Workload:
    """The data of a training as a forecast needs it: lengths, never contents."""

    batches: tuple[Lengths, ...]
    """Every batch of the training in order; where the data is not known, one that is full."""
    steps: int
    """Optimizer steps."""
    checks: Lengths = ()
    """Validation dialogues."""
    validations: int = 0
    tokens_held: int = 0
    """Tokens of all training dialogues, which the process keeps in memory."""
    source: str = "the recipe's data"
    """Where the lengths come from, for a reader."""

    batches_a_step: float = 1.0
    """Batches whose gradients an optimizer step sums, in the mean."""


def workload_of(recipe: Recipe, kind: str, *, plain_t5: bool = True) -> Workload:
    """Return the workload of a recipe: from its data, or, where that cannot be read, as if every batch were full.

    Args:
        recipe: what is to be trained.
        kind: of the device, "cpu" or "cuda": batches are packed on a CPU.
        plain_t5: False where the base is a relative of T5 that cannot read packed rows.
    """
    try:
        return from_prepared(prepare(recipe), kind, plain_t5=plain_t5)
    except (HubError, ModelError):
        logger.debug("no tokenizer for %s; counting with another", recipe.model.base)
    try:
        stand_in = recipe.model_copy(update={"model": Model(base=STAND_IN)})
        source = f"the recipe's data, counted with the tokenizer of {STAND_IN}"
        return from_prepared(prepare(stand_in), kind, plain_t5=plain_t5, source=source)
    except (HubError, DataError):
        return full_workload(recipe)


def from_prepared(
    prepared: Prepared, kind: str, *, plain_t5: bool = True, source: str = "the recipe's data"
) -> Workload:
    """Return the workload of data that is read and tokenized.

    Args:
        prepared: the data.
        kind: of the device.
        plain_t5: as for :func:`workload_of`.
        source: where the lengths come from, for a reader.
    """
    settings = prepared.recipe.train
    plan = plan_steps(prepared.examples, settings, packed=plain_t5 and settings.engine.packs(kind))
    lengths = [(len(e.source), len(e.target)) for e in prepared.examples]
    batches = tuple(tuple(lengths[i] for i in batch) for step in plan for batch in step)
    checks = tuple((len(e.source), len(e.target)) for e in prepared.encoded_checks)
    every = settings.eval_every or max(1, -(-len(plan) // VALIDATIONS))
    return Workload(
        batches=batches,
        steps=len(plan),
        checks=checks,
        validations=math.ceil(len(plan) / every) if checks else 0,
        tokens_held=sum(s + t for s, t in lengths),
        source=source,
        batches_a_step=len(batches) / len(plan),
    )


def full_workload(recipe: Recipe, dialogues: int | None = None, steps: int | None = None) -> Workload:
    """Return a workload whose every dialogue is as long as the recipe allows and whose every batch is full.

    Args:
        recipe: what is to be trained.
        dialogues: training dialogues, where their number is known.
        steps: optimizer steps, where that is known instead.
    """
    train, longest = recipe.train, (recipe.data.max_source_tokens, recipe.data.max_target_tokens)
    batch = full_batch(longest, train.batch_tokens)
    if steps is None and dialogues is not None:
        steps = math.ceil(dialogues * train.epochs / len(batch) / train.accumulate)
    steps = min(x for x in (steps, train.max_steps) if x is not None) if (steps or train.max_steps) else 0
    checks = (longest,) * train.eval_examples
    every = train.eval_every or max(1, -(-steps // VALIDATIONS))
    source = "no data read: every dialogue taken to be as long as the recipe allows"
    validations = math.ceil(steps / every) if checks else 0
    return Workload((batch,), steps, checks, validations, source=source, batches_a_step=train.accumulate)


def validation_batches(recipe: Recipe, workload: Workload) -> tuple[Lengths, Lengths]:
    """Return the dialogues that a validation summarizes, and those whose loss it takes, at a time and at most."""
    checks = sorted(workload.checks)
    budget = max(1, DECODE_TOKENS // recipe.generation.num_beams)
    first = next(length_sorted_batches([source for source, _ in checks], budget), [])
    batches = token_budget_batches(checks, recipe.train.batch_tokens)
    most = max(batches, key=lambda batch: len(batch) * max(checks[i][1] for i in batch), default=[])
    return tuple(checks[i] for i in first), tuple(checks[i] for i in most)


def full_batch(dialogue: tuple[int, int], budget: int) -> Lengths:
    """Return a batch of equal dialogues that fills the budget; one alone may be longer than that."""
    return (dialogue,) * max(1, budget // sum(dialogue))


def padded(batch: Sequence[tuple[int, int]]) -> tuple[int, int, int]:
    """Return (rows, source positions a row, target positions a row) of a padded batch."""
    return len(batch), max(s for s, _ in batch), max(t for _, t in batch)
