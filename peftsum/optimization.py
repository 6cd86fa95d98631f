"""The optimizer, the rate's course, the loss, and the order of the batches."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from peftsum.batching import IGNORED, Encoded, epoch_batches, packed_batches
from peftsum.recipe import Train

if TYPE_CHECKING:
    import torch


def plan_steps(examples: Sequence[Encoded], train: Train, *, packed: bool = False) -> list[list[list[int]]]:
    """Return every optimizer step of a training: its batches, each a list of indices into ``examples``.

    Packed batches are cut where their real tokens reach the budget; others are grouped by length first.

    The whole plan follows from the seed, so a resumed run goes on at step n by skipping n entries.
    """
    batches: list[list[int]] = []
    for epoch in range(math.ceil(train.epochs)):
        share = min(1.0, train.epochs - epoch)
        of_epoch = (packed_batches if packed else epoch_batches)(examples, train.batch_tokens, train.seed, epoch)
        batches += of_epoch[: max(1, round(len(of_epoch) * share))]
    steps = [batches[i : i + train.accumulate] for i in range(0, len(batches), train.accumulate)]
    return steps[: train.max_steps]


def build_optimizer(
    parameters: Iterable[tuple[str, torch.nn.Parameter]], train: Train, rate: float
) -> torch.optim.Optimizer:
    """Return the optimizer of the recipe over the trainable parameters.

    Adafactor's rate is relative to each matrix's root mean square (Shazeer and Stern 2018, section 8).

    Args:
        parameters: by name; those of ``lora_B`` learn at ``train.lora_plus`` times the rate.
        train: the recipe's section.
        rate: the peak rate.
    """
    import torch

    named = [(name, p) for name, p in parameters if p.requires_grad]
    trainable: list[Any] = [p for _, p in named]
    if train.lora_plus != 1.0:
        ups = [p for name, p in named if ".lora_B." in name]
        others = [p for name, p in named if ".lora_B." not in name]
        trainable = [{"params": others}, {"params": ups, "lr": rate * train.lora_plus}]
    if train.optimizer == "adafactor":
        return torch.optim.Adafactor(trainable, lr=rate, weight_decay=train.weight_decay)
    # one kernel for all weights: a loop over hundreds of small adapter matrices is a fiftieth of a step on a CPU
    return torch.optim.AdamW(trainable, lr=rate, weight_decay=train.weight_decay, fused=True)


def rate_course(train: Train, steps: int) -> Callable[[int], float]:
    """Return the factor on the peak rate as a function of the step, 0-based."""
    warmup = round(train.warmup_ratio * steps)

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        if train.schedule == "constant":
            return 1.0
        done = (step - warmup) / max(1, steps - warmup)
        return 0.5 * (1 + math.cos(math.pi * done)) if train.schedule == "cosine" else 1.0 - done

    return factor


def summed_loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the cross-entropy summed over real target positions, in nats.

    Args:
        logits: (batch, target_len, vocabulary), any precision; the sum is taken in fp32.
        labels: (batch, target_len), -100 = ignored.
    """
    from torch.nn.functional import cross_entropy

    return cross_entropy(logits.flatten(0, 1).float(), labels.flatten(), ignore_index=IGNORED, reduction="sum")
