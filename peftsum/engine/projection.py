"""Linear layers that share an input, plain or with a LoRA update, computed together by hand-written gradients.

The update BA is small, so W + s·BA is formed anew where that is less work than two thin matrix products over all
tokens: one full product then does what three did. Where weights are bf16 it is not formed, since the sum would be
rounded to 8 bits, and the update is added inside the thin product instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from peft.tuners.lora import Linear as LoraLinear
from torch import nn

from peftsum.engine.place import kind_of


@dataclass(frozen=True)
class Factor:
    """One layer of a shared projection: y = x (W + s·BA)ᵀ."""

    weight: torch.Tensor
    """(out, in); as the base holds it, perhaps 8-bit."""
    scale: torch.Tensor | None = None
    """(out,) of an 8-bit weight: a row's values are weight · scale."""
    down: torch.Tensor | None = None
    """A, (rank, in), or None without an adapter."""
    up: torch.Tensor | None = None
    """B, (out, rank)."""
    strength: float = 1.0
    """s, alpha/rank or alpha/sqrt(rank)."""


def factor_of(layer: nn.Module) -> Factor | None:
    """Return what a layer computes, or None where it is anything but a plain linear layer with at most one LoRA."""
    if type(layer) is nn.Linear:
        return Factor(layer.weight) if layer.bias is None else None
    if not is_lora_linear(layer):
        return None
    return _lora_factor(layer)


def _lora_factor(layer: Any) -> Factor | None:
    names = layer.active_adapters
    if layer.disable_adapters or layer.merged or len(names) != 1:
        return None
    name = names[0]
    weight = _base_weight(layer.base_layer)
    if name not in layer.lora_A:  # frozen here, adapted elsewhere
        return Factor(*weight) if weight is not None else None
    dropping = isinstance(layer.lora_dropout[name], nn.Dropout) and layer.lora_dropout[name].p > 0 and layer.training
    if weight is None or name in layer.lora_variant or dropping or layer.lora_bias[name]:
        return None
    return Factor(*weight, layer.lora_A[name].weight, layer.lora_B[name].weight, layer.scaling[name])


def is_lora_linear(layer: nn.Module) -> bool:
    """Tell whether a layer is peft's LoRA around a full-precision or 8-bit linear layer."""
    if isinstance(layer, LoraLinear):
        return True
    return type(layer).__name__ == "Linear8bitLt" and hasattr(layer, "lora_A")


def _base_weight(base: Any) -> tuple[torch.Tensor, torch.Tensor | None] | None:
    if type(base) is nn.Linear:
        return (base.weight, None) if base.bias is None else None
    if type(base).__name__ != "Linear8bitLt" or base.bias is not None:
        return None
    weight, state = base.weight, base.state
    scale = weight.SCB if weight.SCB is not None else state.SCB
    if scale is None or weight.dtype != torch.int8 or kind_of(weight) != "cpu":
        return None  # on a GPU the 8-bit kernels of bitsandbytes are the faster way
    return weight.data, scale / 127


def project(layers: Sequence[nn.Module], x: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Return the layers' outputs side by side in one tensor where they can be computed together, else one by one.

    Args:
        layers: linear layers, with or without adapters, that read the same input.
        x: (…, in).
    """
    factors = [factor_of(layer) for layer in layers]
    known = [f for f in factors if f is not None]
    if len(known) < len(factors) or torch.is_autocast_enabled(x.device.type) or not all(_fits(f, x) for f in known):
        return tuple(layer(x) for layer in layers)
    return (apply_factors(known, x),)


def _fits(factor: Factor, x: torch.Tensor) -> bool:
    return factor.scale is not None or factor.weight.dtype == x.dtype


def apply_factors(factors: Sequence[Factor], x: torch.Tensor) -> torch.Tensor:
    """Return (…, sum of outs) for factors that read the same x."""
    tensors: list[torch.Tensor | None] = []
    for f in factors:
        tensors += [f.weight, f.scale, f.down, f.up]
    out: torch.Tensor = _Projection.apply(x, tuple(f.strength for f in factors), *tensors)  # type: ignore[no-untyped-call]
    return out


class _Projection(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, strengths: tuple[float, ...], *tensors: torch.Tensor | None) -> torch.Tensor:
        rows = x.flatten(0, -2)  # (tokens, in)
        factors = _factors(tensors, strengths)
        out = rows.new_empty(rows.shape[0], sum(f.weight.shape[0] for f in factors))
        for f, columns in zip(factors, _split(out, factors), strict=True):
            _multiply(rows, f, columns)
        ctx.strengths = strengths
        ctx.save_for_backward(x, *tensors)
        return out.view(*x.shape[:-1], out.shape[-1])

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[Any, ...]:
        x, *tensors = ctx.saved_tensors
        rows, grad = x.flatten(0, -2), grad.flatten(0, -2)
        factors = _factors(tensors, ctx.strengths)
        wanted = ctx.needs_input_grad[2:]
        d_x: torch.Tensor | None = None
        d_tensors: list[torch.Tensor | None] = [None] * len(tensors)
        for i, (f, columns) in enumerate(zip(factors, _split(grad, factors), strict=True)):
            if wanted[4 * i]:
                d_tensors[4 * i] = columns.t() @ rows
            inner = _thin(columns, f.up)  # (tokens, rank), the gradient of x Aᵀ but for s
            if wanted[4 * i + 2] and f.down is not None and inner is not None:
                d_tensors[4 * i + 2] = (inner.t() @ rows).mul_(f.strength).to(f.down.dtype)
            if wanted[4 * i + 3] and f.up is not None and f.down is not None:
                seen = rows @ f.down.to(rows.dtype).t()  # (tokens, rank)
                d_tensors[4 * i + 3] = (seen.t() @ columns).t().mul_(f.strength).to(f.up.dtype)  # the faster order
            if ctx.needs_input_grad[0]:
                d_x = _pull_back(columns, f, inner, d_x)
        return d_x.view_as(x) if d_x is not None else None, None, *d_tensors


def _factors(tensors: Sequence[Any], strengths: Sequence[float]) -> list[Factor]:
    quadruples = (tensors[4 * i : 4 * i + 4] for i in range(len(strengths)))
    return [Factor(w, scale, down, up, s) for (w, scale, down, up), s in zip(quadruples, strengths, strict=True)]


def _split(whole: torch.Tensor, factors: Sequence[Factor]) -> Sequence[torch.Tensor]:
    return torch.split(whole, [f.weight.shape[0] for f in factors], dim=-1)


def _thin(columns: torch.Tensor, up: torch.Tensor | None) -> torch.Tensor | None:
    return columns @ up.to(columns.dtype) if up is not None else None


def _merges(f: Factor, tokens: int, dtype: torch.dtype) -> bool:
    """Tell whether forming W + s·BA is less work than two thin products over all tokens, and loses nothing."""
    if f.down is None or dtype != torch.float32:
        return False
    out, width = f.weight.shape
    return tokens * (out + width) > 2 * out * width


def _dense(f: Factor, dtype: torch.dtype) -> torch.Tensor:
    """Return W in the precision of the arithmetic."""
    if f.scale is None:
        return f.weight
    return f.weight.to(dtype).mul_(f.scale.to(dtype).unsqueeze(-1))


def _merged(f: Factor, dtype: torch.dtype) -> torch.Tensor:
    """Return W + s·BA."""
    assert f.up is not None, "only a layer with an adapter is merged"
    assert f.down is not None, "only a layer with an adapter is merged"
    if f.scale is None:
        return torch.addmm(f.weight, f.up, f.down, alpha=f.strength)
    return _dense(f, dtype).addmm_(f.up, f.down, alpha=f.strength)


def _multiply(rows: torch.Tensor, f: Factor, out: torch.Tensor) -> None:
    """Write x (W + s·BA)ᵀ into ``out``."""
    if _merges(f, rows.shape[0], rows.dtype):
        torch.mm(rows, _merged(f, rows.dtype).t(), out=out)
        return
    torch.mm(rows, _dense(f, rows.dtype).t(), out=out)
    if f.down is not None and f.up is not None:
        seen = rows @ f.down.to(rows.dtype).t()
        out.addmm_(seen, f.up.to(rows.dtype).t(), alpha=f.strength)


def _pull_back(columns: torch.Tensor, f: Factor, inner: torch.Tensor | None, d_x: torch.Tensor | None) -> torch.Tensor:
    """Add dY (W + s·BA) to the gradient of the input, in place."""
    merges = _merges(f, columns.shape[0], columns.dtype)
    weight = _merged(f, columns.dtype) if merges else _dense(f, columns.dtype)
    d_x = columns @ weight if d_x is None else d_x.addmm_(columns, weight)
    if not merges and inner is not None and f.down is not None:
        d_x.addmm_(inner, f.down.to(columns.dtype), alpha=f.strength)
    return d_x
