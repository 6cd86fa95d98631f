"""Linear layers that read the same input, computed together: plain, merged, packed for oneDNN, with one or many LoRAs.

A step of decoding multiplies a few rows with every weight, and there a matrix product spends half its time on bringing
the weight into the kernel's own order. :meth:`Projection.pack` does that once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from peftsum.bank import RowGroups, SharedInput
from peftsum.engine.projection import factor_of


@dataclass
class Part:
    """One layer of a projection: its own weight, or the module where only that knows how to compute it."""

    module: nn.Module
    weight: torch.Tensor | None
    """(out, in), an adapter merged in where that loses nothing; None asks the module."""
    down: torch.Tensor | None = None
    """A of the one adapter that serves all rows, (rank, in)."""
    up: torch.Tensor | None = None
    """s·Bᵀ, (rank, out)."""
    stack: tuple[torch.Tensor, torch.Tensor] | None = None
    """Down (adapters, rank, in) and up (adapters, rank, out), of which each row has its own."""


def plain_part(module: nn.Module, stack: tuple[torch.Tensor, torch.Tensor] | None) -> Part:
    """Return a layer of the bare base, with the stacked adapters' updates where they have one.

    Args:
        module: the layer, with or without peft's adapters around it; those do not count.
        stack: the updates.
    """
    base: Any = getattr(module, "base_layer", module)
    weight = base.weight if type(base) is nn.Linear and base.bias is None else None
    return Part(base, weight, stack=stack)


def active_part(module: nn.Module, *, merge: bool) -> Part:
    """Return a layer as it stands: with the adapter that is active on it, computed peft's own way where it must be.

    Args:
        module: the layer.
        merge: form W + s·BA, which a call of many rows saves more than it costs.
    """
    if getattr(module, "disable_adapters", False) and hasattr(module, "base_layer"):
        return plain_part(module, None)
    factor = factor_of(module)
    if factor is None or factor.scale is not None:
        return Part(module, None)
    if factor.down is None or factor.up is None:
        return Part(module, factor.weight)
    if merge and factor.weight.dtype == torch.float32:
        return Part(module, torch.addmm(factor.weight, factor.up, factor.down, alpha=factor.strength))
    dtype = factor.weight.dtype
    return Part(module, factor.weight, factor.down.to(dtype), (factor.up.t() * factor.strength).to(dtype))


def merged_part(module: nn.Module, down: torch.Tensor, up: torch.Tensor) -> Part:
    """Return a layer of the bare base with one adapter: merged in fp32, beside the weight where that would round it.

    Args:
        module: the layer; peft's adapters around it do not count.
        down: A, (rank, in).
        up: s·Bᵀ, (rank, out).
    """
    part = plain_part(module, None)
    if part.weight is not None and part.weight.dtype == torch.float32:
        part.weight = torch.addmm(part.weight, up.t(), down)
    else:
        part.down, part.up = down, up
    return part


class Projection:
    """Layers that read the same input.

    Args:
        parts: the layers.
    """

    def __init__(self, parts: Sequence[Part]) -> None:
        self.parts = list(parts)
        self.stack([part.stack for part in self.parts])
        self._packed: torch.Tensor | None = None
        self._widths: list[int] = []

    def stack(self, stacks: Sequence[tuple[torch.Tensor, torch.Tensor] | None]) -> None:
        """Take other stacked adapters.

        Args:
            stacks: down (adapters, rank, in) and up (adapters, rank, out) a layer; None where it has no update.
        """
        self.update = SharedInput(stacks) if any(stack is not None for stack in stacks) else None

    @property
    def weight_bytes(self) -> int:
        """Bytes of the weights that :meth:`pack` would lay out anew."""
        return sum(part.weight.nbytes for part in self.parts if part.weight is not None)

    def pack(self) -> None:
        """Lay the weights out side by side in oneDNN's order; a layer that only its module can compute stays as it is.

        The copies cost as much memory as the weights.
        """
        weights = [part.weight for part in self.parts]
        if any(w is None or w.dtype not in {torch.float32, torch.bfloat16} for w in weights):
            return
        self._widths = [w.shape[0] for w in weights if w is not None]
        whole = torch.cat([w.detach() for w in weights if w is not None]) if len(weights) > 1 else weights[0]
        assert whole is not None, "a projection has parts"
        self._packed = torch.ops.mkldnn._reorder_linear_weight(whole.detach().contiguous())
        self._dtype = whole.dtype
        for part in self.parts:
            part.weight = None  # a merged one's memory is free

    def __call__(self, x: torch.Tensor, rows: RowGroups | None = None) -> tuple[torch.Tensor, ...]:
        """Return (…, out) a layer.

        Args:
            x: (rows, in) or (rows, positions, in).
            rows: the adapter of each row, where the layers have stacked updates.
        """
        outs = self._base(x)
        for y, part in zip(outs, self.parts, strict=True):
            if part.down is not None and part.up is not None:
                y += ((x.to(part.down.dtype) @ part.down.t()) @ part.up).to(y.dtype)
        if rows is not None and self.update is not None:
            rows.add_update(outs, x, self.update)
        return outs

    def _base(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        if self._packed is not None:
            whole = torch.ops.mkldnn._linear_pointwise(x.to(self._dtype), self._packed, None, "none", [], "")
            return torch.split(whole, self._widths, dim=-1) if len(self._widths) > 1 else (whole,)
        return tuple(
            part.module(x) if part.weight is None else functional.linear(x.to(part.weight.dtype), part.weight)
            for part in self.parts
        )


def can_pack(device: torch.device) -> bool:
    """Tell whether oneDNN's own order of weights can be had."""
    return device.type == "cpu" and torch._C._has_mkldnn and hasattr(torch.ops.mkldnn, "_linear_pointwise")
