"""Dropout whose random decisions are cheap on a CPU.

torch draws one number a decision there, which was 15 to 37 % of a training step. Here one word of a fast generator
(SFC64, by numpy) gives four decisions of 16 bits each. The generator is seeded from torch's own, so a checkpoint of
torch's random state is enough to go on from.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from peftsum.engine.place import kind_of

LEVELS = 1 << 16  # a decision has 16 bits, so a probability is met to 1/131 072


def keep_mask(like: torch.Tensor, probability: float, cheap: bool = True) -> torch.Tensor:
    """Return a tensor shaped as ``like`` of 0, with the probability given, and 1/(1 - probability) elsewhere."""
    if not cheap or kind_of(like) != "cpu":
        return torch.empty_like(like).bernoulli_(1 - probability).div_(1 - probability)
    cut = round(probability * LEVELS)
    count = like.numel()
    drawn = random_words(count)
    mask: torch.Tensor = (drawn >= cut - LEVELS // 2).view(like.shape).to(like.dtype)
    return mask.mul_(LEVELS / (LEVELS - cut))


def random_words(count: int) -> torch.Tensor:
    """Return (count,) int16, uniform on -32768 … 32767."""
    seed = int(torch.randint(2**62, ()).item())
    words = np.random.SFC64(seed).random_raw((count + 3) // 4)
    return torch.from_numpy(words.view(np.int16))[:count]


class CheapDropout(nn.Dropout):
    """``nn.Dropout`` with :func:`keep_mask`."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Return the input with random places zeroed and the rest scaled up."""
        if not self.training or self.p == 0.0 or kind_of(input) != "cpu":
            return super().forward(input)
        dropped: torch.Tensor = _Drop.apply(input, self.p)  # type: ignore[no-untyped-call]
        return dropped


class _Drop(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, probability: float) -> torch.Tensor:
        mask = keep_mask(x, probability)
        ctx.save_for_backward(mask)
        return x * mask

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, None]:
        (mask,) = ctx.saved_tensors
        return grad * mask, None
