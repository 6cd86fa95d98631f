"""The head and the cross-entropy together, in blocks: no (target positions, vocabulary) tensor is ever whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.checkpoint import checkpoint

from peftsum.engine.place import kind_of

# Target positions at a time: with 32 128 words in fp32, 16 MB on a CPU; a GPU wants larger pieces, 131 MB
BLOCK = {"cpu": 128}
GPU_BLOCK = 1024


def blocked_cross_entropy(states: torch.Tensor, head: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the cross-entropy summed over all positions given, in nats, as fp32.

    The gradient is found in the same pass as the loss, so that no block of logits is kept or computed twice.

    Args:
        states: (positions, d_model), the decoder's output at real targets.
        head: (vocabulary, d_model); its gradient is computed only where it is trained.
        labels: (positions,), no ignored ones.
    """
    total: torch.Tensor = _BlockedCrossEntropy.apply(states, head, labels)  # type: ignore[no-untyped-call]
    return total


@dataclass(frozen=True)
class Soft:
    """What a teacher expects at the real targets of a batch; its logits are made block by block."""

    states: torch.Tensor
    """(positions, the teacher's d_model), scaled as its head reads them."""
    head: nn.Module
    weight: float
    """Of the teacher in the loss."""
    temperature: float


def blocked_distillation(states: torch.Tensor, head: nn.Module, labels: torch.Tensor, soft: Soft) -> torch.Tensor:
    """Return ``(1 - w) CE + w T² KL(teacher || student)`` summed over all positions, in nats, as fp32.

    T² keeps the gradients' size as T grows (Hinton, Vinyals and Dean 2015, section 2). The logits of a block are
    computed anew in the backward pass, and those of all blocks are never in memory together.

    Args:
        states: (positions, d_model), the decoder's output at real targets.
        head: from states to logits.
        labels: (positions,), no ignored ones.
        soft: the teacher's side.
    """
    block = BLOCK.get(kind_of(states), GPU_BLOCK)
    total = torch.zeros((), dtype=torch.float32, device=states.device)
    for start in range(0, states.shape[0], block):
        part = slice(start, start + block)
        found: torch.Tensor = checkpoint(
            _distilled, states[part], head, labels[part], soft.states[part], soft, use_reentrant=False
        )
        total = total + found
    return total


def _distilled(
    states: torch.Tensor, head: nn.Module, labels: torch.Tensor, teacher_states: torch.Tensor, soft: Soft
) -> torch.Tensor:
    logits = head(states).float()  # (block, vocabulary)
    with torch.no_grad():
        expected = (soft.head(teacher_states).float() / soft.temperature).log_softmax(-1)
        entropy = -(expected.exp() * expected).sum()
    hard: torch.Tensor = cross_entropy(logits, labels, reduction="sum")
    soft_part: torch.Tensor = -(expected.exp() * (logits / soft.temperature).log_softmax(-1)).sum() - entropy
    return (1 - soft.weight) * hard + soft.weight * soft.temperature**2 * soft_part


class _BlockedCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, states: torch.Tensor, head: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        wanted_states, wanted_head, _ = ctx.needs_input_grad
        d_states = torch.empty_like(states) if wanted_states else None
        d_head = torch.zeros_like(head, dtype=torch.float32) if wanted_head else None
        total = torch.zeros((), dtype=torch.float32, device=states.device)
        block = BLOCK.get(kind_of(states), GPU_BLOCK)
        for start in range(0, states.shape[0], block):
            part = slice(start, start + block)
            logits = (states[part] @ head.t()).float()  # (block, vocabulary)
            target = labels[part].unsqueeze(-1)
            normaliser = torch.logsumexp(logits, dim=-1, keepdim=True)
            total += (normaliser - logits.gather(-1, target)).sum()
            if d_states is None and d_head is None:
                continue
            slope = logits.sub_(normaliser).exp_()  # softmax, then minus one at the target: the loss's derivative
            slope.scatter_add_(-1, target, -torch.ones_like(normaliser))
            slope = slope.to(head.dtype)
            if d_states is not None:
                torch.mm(slope, head, out=d_states[part])
            if d_head is not None:
                d_head += slope.t() @ states[part]
        ctx.save_for_backward(d_states, d_head)
        ctx.head_dtype = head.dtype
        return total

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[Any, ...]:
        d_states, d_head = ctx.saved_tensors
        return (
            d_states * grad.to(d_states.dtype) if d_states is not None else None,
            (d_head * grad).to(ctx.head_dtype) if d_head is not None else None,
            None,
        )
