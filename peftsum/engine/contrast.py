"""The margin by which a good summary's next word is to be likelier than the one that would make it wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn


@dataclass(frozen=True)
class Contrast:
    """Where the summaries of a batch could go wrong, and by which token; summaries lie end to end."""

    positions: torch.Tensor
    """(partings,), among the target tokens of the batch."""
    wrong: torch.Tensor
    """(partings,), the tokens that wrong summaries have there."""
    weight: float
    margin: float
    """In nats."""


def partings(targets: Sequence[Sequence[int]], wrong: Sequence[Sequence[Sequence[int]]]) -> tuple[list[int], list[int]]:
    """Return the positions, targets end to end, at which wrong targets part from the good ones, and their tokens there.

    Args:
        targets: the good target of each dialogue.
        wrong: any number of wrong ones of each; none is the beginning of the good one, since all have their end.
    """
    positions, tokens, start = [], [], 0
    for good, others in zip(targets, wrong, strict=True):
        for other in others:
            place = next(i for i, (one, two) in enumerate(zip(good, other, strict=False)) if one != two)
            positions.append(start + place)
            tokens.append(other[place])
        start += len(good)
    return positions, tokens


def contrastive_loss(states: torch.Tensor, head: nn.Module, labels: torch.Tensor, contrast: Contrast) -> torch.Tensor:
    """Return ``w Σ max(0, m - (log p(good token) - log p(wrong token)))`` over the partings, in nats, as fp32.

    Both follow the same words, so that the decoder's states for the good summary serve the wrong one, too.

    Args:
        states: (positions, d_model), the decoder's output at real targets.
        head: from states to logits.
        labels: (positions,), the good tokens.
        contrast: where, which, how much.
    """
    logits = head(states[contrast.positions]).float()  # (partings, vocabulary)
    good, wrong = (logits.gather(-1, tokens.unsqueeze(-1)) for tokens in (labels[contrast.positions], contrast.wrong))
    short: torch.Tensor = (contrast.margin - (good - wrong)).clamp_min(0)
    return contrast.weight * short.sum()
