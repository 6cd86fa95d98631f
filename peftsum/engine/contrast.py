"""The margin by which a good summary is to be likelier than a wrong one of the same dialogue."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from peftsum.engine.packing import Packed


@dataclass(frozen=True)
class Contrast:
    """Wrong summaries of a batch's dialogues."""

    wrong: Packed | dict[str, Any]
    """The same dialogues with them, as a batch."""
    good_lengths: tuple[int, ...]
    """Tokens of each good summary."""
    wrong_lengths: tuple[int, ...]
    paired: tuple[bool, ...]
    """False where a dialogue has no wrong summary and the good one stands for it."""
    weight: float
    margin: float
    """In nats a token."""


def contrastive_loss(good: torch.Tensor, wrong: torch.Tensor, contrast: Contrast) -> torch.Tensor:
    """Return ``-Σ log p + w Σ n max(0, m - (mean log p(good) - mean log p(wrong)))`` of a batch, in nats, as fp32.

    n is the tokens of the good summary, so that the margin weighs a token as the cross-entropy does.

    Args:
        good: (target tokens,), log-probabilities of the good summaries, end to end.
        wrong: (wrong target tokens,), the same of the wrong ones.
        contrast: where each begins and ends, weight and margin.
    """
    lengths = torch.tensor(contrast.good_lengths, device=good.device, dtype=good.dtype)
    paired = torch.tensor(contrast.paired, device=good.device, dtype=good.dtype)
    lead = _means(good, contrast.good_lengths) - _means(wrong, contrast.wrong_lengths)
    return contrast.weight * (lengths * paired * (contrast.margin - lead).clamp_min(0)).sum() - good.sum()


def _means(values: torch.Tensor, lengths: tuple[int, ...]) -> torch.Tensor:
    return torch.stack([part.mean() for part in torch.split(values, list(lengths))])
