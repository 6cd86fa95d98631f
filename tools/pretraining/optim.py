"""Optimisers for a bf16 model: fp32 masters are stepped and copied back."""

from __future__ import annotations

from collections import defaultdict

import torch
from torch import nn

BIAS_RMS = 0.5  # an attention bias starts near 0 and ends at some units: its rate is as if it were this large


def orthogonalize(updates: torch.Tensor, steps: int = 5) -> torch.Tensor:
    """Near semi-orthogonal matrices of a stack (n, rows, cols): the Newton-Schulz iteration of Muon (Jordan 2024)."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = updates  # fp32: without AMX, bf16 products are slower than fp32 ones
    tall = x.size(1) > x.size(2)
    if tall:
        x = x.transpose(1, 2)
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(steps):
        gram = x @ x.transpose(1, 2)
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.transpose(1, 2) if tall else x


class Muon:
    """Muon on the matrices inside the layers; Adam scaled by the RMS of the parameter on embeddings, head and norms.

    `matrix_rate` is the RMS of a matrix update, `other_rate` the RMS of an update over that of its parameter, as in
    Adafactor's parameter scaling, `decay` the share of a matrix taken away each step. `query_scale` multiplies the rate
    of query matrices: T5 does not divide attention scores by sqrt(d_kv) but starts its queries smaller by as much, so
    they must also move less.
    """

    def __init__(
        self, model: nn.Module, matrix_rate: float = 0.002, other_rate: float = 0.02, decay: float = 0.0,
        query_scale: float = 1.0, momentum: float = 0.95, betas: tuple[float, float] = (0.9, 0.98),
    ) -> None:  # fmt: skip
        self.matrix_rate, self.other_rate, self.decay = matrix_rate, other_rate, decay
        self.momentum, self.betas = momentum, betas
        self.query_scale = query_scale
        self.steps = 0
        self.groups: dict[tuple[int, int, bool], list[nn.Parameter]] = defaultdict(list)  # (rows, cols, is a query)
        self.others: list[nn.Parameter] = []
        self.biases: set[int] = set()
        for name, parameter in model.named_parameters():
            if parameter.ndim == 2 and not any(word in name for word in ("shared", "lm_head", "relative", "embed")):
                self.groups[(*parameter.shape, name.endswith(".q.weight"))].append(parameter)  # type: ignore[index]
            else:
                self.others.append(parameter)
                if "relative" in name:
                    self.biases.add(id(parameter))
        self.master = {id(p): p.detach().float().clone() for p in model.parameters()}
        self.stacks = {s: torch.stack([self.master[id(p)] for p in ps]) for s, ps in self.groups.items()}
        self.moments = {s: torch.zeros_like(stack) for s, stack in self.stacks.items()}
        self.first = [torch.zeros_like(self.master[id(p)]) for p in self.others]
        self.second = [torch.zeros_like(self.master[id(p)]) for p in self.others]

    @torch.no_grad()
    def step(self, scale: float) -> None:
        """One update at `scale` times the rates; gradients are cleared."""
        self.steps += 1
        for key, parameters in self.groups.items():
            rows, columns, query = key
            grads = torch.stack([p.grad for p in parameters]).float()
            moment = self.moments[key]
            moment.lerp_(grads, 1 - self.momentum)
            update = orthogonalize(grads.lerp_(moment, self.momentum)).float()
            stack = self.stacks[key]
            stack.mul_(1 - scale * self.decay)
            rate = self.matrix_rate * max(rows, columns) ** 0.5 * (self.query_scale if query else 1.0)
            stack.sub_(update, alpha=scale * rate)
            for parameter, value in zip(parameters, stack, strict=True):
                parameter.copy_(value)
                parameter.grad = None
        beta1, beta2 = self.betas
        for parameter, m, v in zip(self.others, self.first, self.second, strict=True):
            master, grad = self.master[id(parameter)], parameter.grad.float()
            m.lerp_(grad, 1 - beta1)
            v.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
            floor = BIAS_RMS if id(parameter) in self.biases else 1e-2
            rate = scale * self.other_rate * max(float(master.square().mean().sqrt()), floor)
            denominator = (v / (1 - beta2**self.steps)).sqrt_().add_(1e-9)
            master.addcdiv_(m, denominator, value=-rate / (1 - beta1**self.steps))
            parameter.copy_(master)
            parameter.grad = None

    def state(self) -> dict[str, object]:
        """All tensors of the optimiser, to resume from."""
        return {"steps": self.steps, "stacks": self.stacks, "moments": self.moments, "first": self.first,
                "second": self.second, "masters": [self.master[id(p)] for p in self.others]}  # fmt: skip

    def load(self, state: dict[str, object]) -> None:
        """Take up a saved `state`."""
        self.steps = state["steps"]  # type: ignore[assignment]
        self.stacks, self.moments = state["stacks"], state["moments"]  # type: ignore[assignment]
        self.first, self.second = state["first"], state["second"]  # type: ignore[assignment]
        for parameter, value in zip(self.others, state["masters"], strict=True):  # type: ignore[call-overload]
            self.master[id(parameter)] = value
