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

FEW_ROWS = 3  # up to which W xᵀ is faster than x Wᵀ of weights as they came
LARGE = 1 << 17  # weights of a layer above which, of fewer rows, it is faster than oneDNN in its own order, too
MERGE_POSITIONS = 256  # of one adapter from which forming W + s·BA for a batch costs less than the update beside it


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
    """Down (adapters, in, rank) and up (adapters, rank, out), of which each row has its own."""


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
        merge: form W + s·BA, which saves a call more than it costs.
    """
    if getattr(module, "disable_adapters", False) and hasattr(module, "base_layer"):
        return plain_part(module, None)
    factor = factor_of(module)
    if factor is None or factor.scale is not None:
        return Part(module, None)
    if factor.down is None or factor.up is None:
        return Part(module, factor.weight)
    if merge and factor.weight.dtype == torch.float32:
        up, down = factor.up.float(), factor.down.float()
        return Part(module, torch.addmm(factor.weight, up, down, alpha=factor.strength))
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


class Room:
    """Memory for weights that are merged for one product, used for the next one's again.

    Fresh pages cost more than the merging itself: the 56 matrices of Flan-T5-small's encoder took 17 ms, and 7 ms here.
    """

    def __init__(self) -> None:
        self._held = torch.empty(0, dtype=torch.float32, device="cpu")  # whatever the caller's defaults are

    def take(self, rows: int, columns: int) -> torch.Tensor:
        """Return (rows, columns) in fp32, with whatever is in there; what was taken before is lost."""
        if rows * columns > self._held.numel():
            self._held = self._held.new_empty(rows * columns)
        return self._held[: rows * columns].view(rows, columns)


class Projection:
    """Layers that read the same input.

    Args:
        parts: the layers.
        room: where weights are merged for one product; layers of one thread may share it.
    """

    def __init__(self, parts: Sequence[Part], room: Room) -> None:
        self.parts = list(parts)
        self._room = room
        self.stack([part.stack for part in self.parts])
        self._packed: list[torch.Tensor] = []
        self._widths: list[int] = []

    def stack(self, stacks: Sequence[tuple[torch.Tensor, torch.Tensor] | None]) -> None:
        """Take other stacked adapters.

        Args:
            stacks: down (adapters, in, rank) and up (adapters, rank, out) a layer; None where it has no update.
        """
        self.update = SharedInput(stacks) if any(stack is not None for stack in stacks) else None

    @property
    def weight_bytes(self) -> int:
        """Bytes of the weights that :meth:`pack` would lay out anew."""
        return sum(part.weight.nbytes for part in self.parts if part.weight is not None)

    def pack(self, *, apart: bool = False) -> None:
        """Lay the weights out in oneDNN's order; a layer that only its module can compute stays as it is.

        The copies cost as much memory as the weights.

        Args:
            apart: each layer for itself, for :meth:`gated`; else side by side, which is faster for a few rows.
        """
        weights = [part.weight.detach() for part in self.parts if part.weight is not None]
        if len(weights) < len(self.parts) or any(w.dtype not in {torch.float32, torch.bfloat16} for w in weights):
            return
        whole = weights if apart or len(weights) == 1 else [torch.cat(weights)]
        self._packed = [torch.ops.mkldnn._reorder_linear_weight(w.contiguous()) for w in whole]
        self._widths = [w.shape[0] for w in weights]
        self._dtype = weights[0].dtype
        for part in self.parts:
            if part.weight is not getattr(part.module, "weight", None):
                part.weight = None  # a merged one's memory is free

    def __call__(self, x: torch.Tensor, rows: RowGroups | None = None) -> tuple[torch.Tensor, ...]:
        """Return (…, out) a layer.

        Args:
            x: (rows, in) or (rows, positions, in).
            rows: the adapter of each row, where the layers have stacked updates.
        """
        if rows is not None and self._merges(x, rows):
            whole, widths = self._merged(rows)
            return torch.split(_linear(x, whole), widths, dim=-1)
        outs = self._base(x)
        for y, part in zip(outs, self.parts, strict=True):
            if part.down is not None and part.up is not None:
                y += ((x.to(part.down.dtype) @ part.down.t()) @ part.up).to(y.dtype)
        if rows is not None and self.update is not None:
            rows.add_update(outs, x, self.update)
        return outs

    def plus(self, states: torch.Tensor, x: torch.Tensor, rows: RowGroups | None = None) -> torch.Tensor:
        """Return states + y, of a projection of one layer, in one pass over memory where oneDNN has that.

        Args:
            states: (…, out).
            x: (…, in).
            rows: as in a call.
        """
        if self._fusable(x, rows) and not self._few(x):
            return _fused(x, states, self._weights(rows)[0], "add")
        return states + self(x, rows)[0]

    def gated(self, x: torch.Tensor, rows: RowGroups | None = None) -> torch.Tensor | None:
        """Return gelu(y₀) · y₁ of two layers, (…, out), where oneDNN has that in the products; else None.

        Args:
            x: (…, in).
            rows: as in a call.
        """
        if len(self.parts) != 2 or not self._fusable(x, rows):
            return None
        weights = self._weights(rows)
        if len(weights) != 2:
            return None
        gate = torch.ops.mkldnn._linear_pointwise(x, weights[0], None, "gelu", [], "tanh")
        return _fused(x, gate, weights[1], "mul")

    def _base(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        if self._packed and not self._few(x):
            x = x.to(self._dtype)
            outs = [torch.ops.mkldnn._linear_pointwise(x, w, None, "none", [], "") for w in self._packed]
            return torch.split(outs[0], self._widths, dim=-1) if len(outs) < len(self.parts) else tuple(outs)
        return tuple(
            part.module(x) if part.weight is None else _linear(x.to(part.weight.dtype), part.weight)
            for part in self.parts
        )

    def _few(self, x: torch.Tensor) -> bool:
        """Tell whether rows are so few that the weights as they came are read faster than those in oneDNN's order."""
        return (
            x.dim() == 2
            and len(x) < FEW_ROWS
            and self._dtype == torch.float32
            and all(part.weight is not None and part.weight.numel() > LARGE for part in self.parts)
        )

    def _fusable(self, x: torch.Tensor, rows: RowGroups | None) -> bool:
        """Tell whether the layers are nothing but weights in oneDNN's order, or merged for this call, in fp32."""
        if not self._packed or not self._dtype == x.dtype == torch.float32:
            return False
        if any(part.down is not None for part in self.parts):
            return False
        return rows is None or self.update is None or self._merges(x, rows)

    def _merges(self, x: torch.Tensor, rows: RowGroups) -> bool:
        """Tell whether one adapter has positions enough here, on a CPU in fp32, that W + s·BA is formed for them."""
        return (
            rows.only is not None
            and self.update is not None
            and x.dtype == torch.float32
            and x.dim() == 3
            and x.shape[0] * x.shape[1] >= MERGE_POSITIONS
            and x.device.type == "cpu"
            and all(part.weight is not None and part.weight.dtype == torch.float32 for part in self.parts)
        )

    def _weights(self, rows: RowGroups | None) -> list[torch.Tensor]:
        """Return the packed weights, or those of one adapter merged where rows have one."""
        if rows is None or self.update is None:
            return self._packed
        whole, widths = self._merged(rows)
        return list(torch.split(whole, widths))

    def _merged(self, rows: RowGroups) -> tuple[torch.Tensor, list[int]]:
        """Return the weights of one adapter merged, (sum of out, in), good until the next merging, and each out."""
        weights: list[Any] = [part.weight for part in self.parts]
        widths = [w.shape[0] for w in weights]
        whole = self._room.take(sum(widths), weights[0].shape[1])
        merged = torch.split(whole, widths)
        for weight, into in zip(weights, merged, strict=True):
            into.copy_(weight)
        update, slot = self.update, rows.only
        assert update is not None, "whoever merges has something to merge"
        downs = torch.split(update.down[slot].t(), update.ranks)
        for which, down, up in zip(update.which, downs, update.ups, strict=True):
            merged[which].addmm_(up[slot].t(), down)
        return whole, widths


def _linear(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Return x Wᵀ, in fp32 on a CPU not as torch does it, by MKL, which leaves AVX-512 of an AMD unused.

    Of one to three rows it reads W at 7 to 13 GB/s as x Wᵀ, and at 17 to 30 as W xᵀ of two or more (Zen 4).
    """
    if x.dtype != torch.float32 or not can_pack(x.device):
        return functional.linear(x, weight)
    if x.dim() == 2 and len(x) <= FEW_ROWS:
        columns = (torch.cat([x, x]) if len(x) == 1 else x).t()
        return torch.mm(weight, columns)[:, : len(x)].t().contiguous()
    y: torch.Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, None, "none", [], "")
    return y


def _fused(x: torch.Tensor, other: torch.Tensor, weight: torch.Tensor, kind: str) -> torch.Tensor:
    """Return x Wᵀ + other ("add") or x Wᵀ · other ("mul")."""
    y: torch.Tensor = torch.ops.mkldnn._linear_pointwise.binary(x, other, weight, None, kind)
    return y


def can_pack(device: torch.device) -> bool:
    """Tell whether oneDNN's own order of weights can be had."""
    return device.type == "cpu" and torch._C._has_mkldnn and hasattr(torch.ops.mkldnn, "_linear_pointwise")
