"""The head and the cross-entropy together, in blocks: no (target positions, vocabulary) tensor is ever whole."""

from __future__ import annotations

from typing import Any

import torch

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
