"""Which rows of a batch go with which stacked factors: an index, made anew only when rows come or go.

A step of decoding has a few rows an adapter, so rows are gathered by adapter, (adapters, most rows of one), and each
adapter's factors are read once. An encoder has hundreds of positions a row, so factors are gathered by row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class StackedFactors:
    """The factors of the adapters of one call, by layer."""

    layers: Mapping[str, tuple[torch.Tensor, torch.Tensor]]
    """Name of a layer to down (adapters, rank, in) and up (adapters, rank, out); ranks are padded with zeros."""
    adapters: int
    """How many are stacked; the bare base is one of them, all zeros, where a row asks for it."""

    def touches(self, prefix: str) -> bool:
        """Tell whether any layer whose name begins with ``prefix`` has an update."""
        return any(name.startswith(prefix) for name in self.layers)


class RowGroups:
    """The adapter of each row of a batch.

    Args:
        slots: which of the stacked adapters each row has.
        adapters: how many are stacked.
        device: where the batch is.
    """

    def __init__(self, slots: Sequence[int], adapters: int, device: torch.device) -> None:
        import torch

        members: list[list[int]] = [[] for _ in range(adapters)]
        place = []
        for row, slot in enumerate(slots):
            place.append((slot, len(members[slot])))
            members[slot].append(row)
        most = max(len(rows) for rows in members)
        self.slots = torch.tensor(slots, device=device)  # (rows,)
        self.only = slots[0] if slots and len(set(slots)) == 1 else None
        """The adapter of all rows, where they have the same."""
        padded = [row for rows in members for row in [*rows, *[0] * (most - len(rows))]]
        self.gather = torch.tensor(padded, device=device)  # (adapters · most,), row 0 where there is none
        self.place = torch.tensor([slot * most + i for slot, i in place], device=device)  # (rows,)
        self.shape = (adapters, most)

    def add_update(
        self, out: Sequence[torch.Tensor], x: torch.Tensor, factors: Sequence[tuple[torch.Tensor, torch.Tensor] | None]
    ) -> None:
        """Add each row's own update x downᵀ up to the outputs of layers that read the same x, in place.

        Args:
            out: (rows, out) or (rows, positions, out) a layer.
            x: (rows, in) or (rows, positions, in).
            factors: down (adapters, rank, in) and up (adapters, rank, out) a layer; None leaves its output alone.
        """
        pairs = [(y, f) for y, f in zip(out, factors, strict=True) if f is not None]
        if not pairs:
            return
        if self.only is not None:
            self._add_one(pairs, x, self.only)
        elif x.dim() == 3:
            self._add_by_row(pairs, x)
        else:
            self._add_by_adapter(pairs, x)

    def _add_one(
        self, pairs: list[tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor]]], x: torch.Tensor, slot: int
    ) -> None:
        flat = x.flatten(0, -2)
        for y, (down, up) in pairs:
            y += ((flat.to(down.dtype) @ down[slot].t()) @ up[slot]).to(y.dtype).view(y.shape)

    def _add_by_row(self, pairs: list[tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor]]], x: torch.Tensor) -> None:
        import torch

        for y, (down, up) in pairs:
            inner = torch.bmm(x.to(down.dtype), down[self.slots].transpose(1, 2))  # (rows, positions, rank)
            if y.dtype == up.dtype:
                y.baddbmm_(inner, up[self.slots])
            else:  # transformers keeps some layers in fp32
                y += torch.bmm(inner, up[self.slots])

    def _add_by_adapter(
        self, pairs: list[tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor]]], x: torch.Tensor
    ) -> None:
        import torch

        gathered = x.index_select(0, self.gather).view(*self.shape, -1)  # (adapters, most, in)
        for y, (down, up) in pairs:
            inner = torch.bmm(gathered.to(down.dtype), down.transpose(1, 2))  # (adapters, most, rank)
            y += torch.bmm(inner, up).flatten(0, 1).index_select(0, self.place)
