"""Weighted sums of low-rank updates, exact or cut to a rank, layer by layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from peftsum.bank.factors import LayerFactors

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Cut:
    """What a smaller rank leaves out of a layer's update, as squared Frobenius norms."""

    left_out: float
    whole: float

    @property
    def error(self) -> float:
        """Norm of what is left out over that of the whole; 0 for an update of 0."""
        return (self.left_out / self.whole) ** 0.5 if self.whole else 0.0


def add_updates(
    updates: Sequence[Mapping[str, LayerFactors]], weights: Sequence[float], rank: int | None = None
) -> tuple[dict[str, LayerFactors], dict[str, Cut]]:
    """Return the weighted sum of updates, and what the rank leaves out of each layer.

    Args:
        updates: factors by layer, scaling folded in; a layer may be in some of them only.
        weights: one an update.
        rank: most of a layer; where the sum has more, the nearest matrix of that rank. None: the factors side by side.
    """
    import torch

    sums: dict[str, LayerFactors] = {}
    cuts: dict[str, Cut] = {}
    for name in sorted({name for update in updates for name in update}):
        held = [(update[name], weight) for update, weight in zip(updates, weights, strict=True) if name in update]
        down = torch.cat([factors.down.float() for factors, _ in held])  # (ranks, in)
        up = torch.cat([factors.up.float() * weight for factors, weight in held])  # (ranks, out)
        sums[name] = LayerFactors(down, up)
        if rank is not None and len(down) > rank:
            sums[name], cuts[name] = _nearest(down.double(), up.double(), rank)
    return sums, cuts


def _nearest(down: torch.Tensor, up: torch.Tensor, rank: int) -> tuple[LayerFactors, Cut]:
    """Return the nearest update of a rank: the largest singular values of upᵀ down (Eckart and Young 1936).

    The matrix itself is never built: with QR of both factors its singular values are those of a product of the two
    triangles, ranks by ranks.
    """
    import torch

    basis_in, triangle_in = torch.linalg.qr(down.t())  # (in, k), (k, ranks)
    basis_out, triangle_out = torch.linalg.qr(up.t())  # (out, l), (l, ranks)
    left, values, right = torch.linalg.svd(triangle_out @ triangle_in.t(), full_matrices=False)
    root = values[:rank].sqrt().unsqueeze(-1)  # shared out evenly, so that both factors train alike
    kept_up = root * (basis_out @ left[:, :rank]).t()
    kept_down = root * (basis_in @ right[:rank].t()).t()
    cut = Cut(float((values[rank:] ** 2).sum()), float((values**2).sum()))
    return LayerFactors(kept_down.float().contiguous(), kept_up.float().contiguous()), cut
