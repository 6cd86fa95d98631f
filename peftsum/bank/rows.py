"""Which rows of a batch go with which stacked factors: an index, made anew only when rows come or go.

A step of decoding has a few rows an adapter, so rows are gathered by adapter, (adapters, most rows of one), and each
adapter's factors are read once. An encoder has hundreds of positions a row, so factors are gathered by row; so they are
in a recorded step, whose shapes must not depend on which row has which adapter.
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
    """Name of a layer to down (adapters, in, rank) and up (adapters, rank, out); ranks are padded with zeros."""
    adapters: int
    """How many are stacked; the bare base is one of them, all zeros, where a row asks for it."""

    def touches(self, prefix: str) -> bool:
        """Tell whether any layer whose name begins with ``prefix`` has an update."""
        return any(name.startswith(prefix) for name in self.layers)


class SharedInput:
    """The stacked factors of layers that read the same input, so that it is read once.

    Args:
        factors: down (adapters, in, rank) and up (adapters, rank, out) a layer; None where it has no update.
    """

    def __init__(self, factors: Sequence[tuple[torch.Tensor, torch.Tensor] | None]) -> None:
        import torch

        self.which = [i for i, pair in enumerate(factors) if pair is not None]
        """Which of the layers have an update."""
        pairs = [pair for pair in factors if pair is not None]
        self.down = torch.cat([down for down, _ in pairs], 2) if len(pairs) > 1 else pairs[0][0]
        """(adapters, in, sum of ranks)."""
        self.ups = [up for _, up in pairs]
        """(adapters, rank, out) a layer that has one."""
        self.ranks = [up.shape[1] for up in self.ups]


class RowGroups:
    """The adapter of each row of a batch.

    Args:
        slots: which of the stacked adapters each row has.
        adapters: how many are stacked.
        device: where the batch is.
    """

    def __init__(self, slots: Sequence[int], adapters: int, device: torch.device) -> None:
        import torch

        first = min(slots, default=0)  # of many stacked adapters a step reads those between the ones that rows have
        adapters = max(slots, default=adapters - 1) + 1 - first
        members: list[list[int]] = [[] for _ in range(adapters)]
        place = []
        for row, slot in enumerate(slots):
            place.append((slot - first, len(members[slot - first])))
            members[slot - first].append(row)
        most = max(len(rows) for rows in members)
        self.slots = torch.tensor(slots, device=device)  # (rows,)
        self.only = slots[0] if slots and len(set(slots)) == 1 else None
        """The adapter of all rows, where they have the same."""
        padded = [row for rows in members for row in [*rows, *[0] * (most - len(rows))]]
        self.gather = torch.tensor(padded, device=device)  # (adapters · most,), row 0 where there is none
        self.place = torch.tensor([slot * most + i for slot, i in place], device=device)  # (rows,)
        self.shape = (adapters, most)
        self._read = slice(first, first + adapters)

    def add_update(self, outs: Sequence[torch.Tensor], x: torch.Tensor, update: SharedInput) -> None:
        """Add each row's own update x downᵀ up to the outputs of layers that read the same x, in place.

        Args:
            outs: (rows, out) or (rows, positions, out) a layer.
            x: (rows, in) or (rows, positions, in).
            update: the layers' factors.
        """
        import torch

        down = update.down
        if self.only is None and x.dim() == 3:
            _add_by_row(outs, x, update, self.slots)
            return
        x = x.to(down.dtype)
        if self.only is not None:
            inner = x @ down[self.only]
        else:
            gathered = x.index_select(0, self.gather).view(*self.shape, -1)  # (adapters, most, in)
            inner = torch.bmm(gathered, down[self._read])  # (adapters, most, ranks)
        parts = torch.split(inner, update.ranks, dim=-1)
        for y, part, up in zip((outs[i] for i in update.which), parts, update.ups, strict=True):
            if self.only is not None:
                y += part @ up[self.only]
            else:
                y += torch.bmm(part, up[self._read]).flatten(0, 1).index_select(0, self.place)


class EachRow:
    """The adapter of each row of a step in a tensor that may be written anew: the operations stay the same.

    Args:
        slots: which of the stacked adapters each row has, (rows,).
    """

    only = None
    """No adapter is known to have all rows."""

    def __init__(self, slots: torch.Tensor) -> None:
        self.slots = slots

    def add_update(self, outs: Sequence[torch.Tensor], x: torch.Tensor, update: SharedInput) -> None:
        """Add each row's own update as :meth:`RowGroups.add_update` does.

        Args:
            outs: (rows, out) a layer.
            x: (rows, in).
            update: the layers' factors.
        """
        _add_by_row([y[:, None] for y in outs], x[:, None], update, self.slots)


def _add_by_row(outs: Sequence[torch.Tensor], x: torch.Tensor, update: SharedInput, slots: torch.Tensor) -> None:
    """Add x downᵀ up with factors gathered by row; outs (rows, positions, out) a layer, x (rows, positions, in)."""
    import torch

    inner = torch.bmm(x.to(update.down.dtype), update.down[slots])  # (rows, positions, ranks)
    parts = torch.split(inner, update.ranks, dim=-1)
    for y, part, up in zip((outs[i] for i in update.which), parts, update.ups, strict=True):
        if y.dtype == up.dtype:
            y.baddbmm_(part, up[slots])
        else:  # transformers keeps some layers in fp32
            y += torch.bmm(part, up[slots])
