"""The encoder's forward pass over a padded batch, bias and mask summed once for all layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from peftsum.batching import collate_sources

if TYPE_CHECKING:
    from peftsum.bank import RowGroups
    from peftsum.decoding.plan import Plan


class Encoder:
    """Runs the encoder of a plan; the position bias is made for the longest source and cut for shorter ones.

    Args:
        plan: the model.
        longest: tokens of the longest source to come.
        at_once: attend to all sources of a batch together, padded and masked; None does so except on a CPU.
    """

    def __init__(self, plan: Plan, longest: int, *, at_once: bool | None = None) -> None:
        self._plan = plan
        self._at_once = plan.device.type != "cpu" if at_once is None else at_once
        self._bias: torch.Tensor = plan.encoder_bias.compute_bias(longest, longest).detach()  # (1, heads, S, S)

    @property
    def device(self) -> torch.device:
        """Where it runs."""
        return self._plan.device

    def __call__(self, sources: Sequence[Sequence[int]], rows: RowGroups | None) -> torch.Tensor:
        """Return the encoder's states, (rows, longest, d_model); what lies beyond a source's end means nothing.

        Args:
            sources: token ids.
            rows: the adapter of each.
        """
        plan = self._plan
        heads, width = plan.heads
        pad = plan.config.pad_token_id or 0
        ids = collate_sources(sources, pad)["input_ids"].to(plan.device)
        count, longest = ids.shape
        lengths = [len(source) for source in sources]
        added = self._added(lengths, longest) if self._at_once else None
        states = plan.embed_source(ids)
        for layer in plan.encoder:
            q, k, v = layer.own.queries(layer.own.norm(states), rows)
            q, k, v = (part.view(count, longest, heads, width).transpose(1, 2) for part in (q, k, v))
            if added is None:
                mixed = self._one_by_one(q, k, v, lengths)
            else:
                mixed = functional.scaled_dot_product_attention(q, k, v, attn_mask=added, scale=1.0).transpose(1, 2)
            states = layer.own.output.plus(states, mixed.reshape(count, longest, heads * width), rows)
            states = layer.feed_forward(states, rows)
        return plan.encoder_norm(states)

    def _one_by_one(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, lengths: Sequence[int]) -> torch.Tensor:
        """Return what :meth:`__call__` mixes, (rows, longest, heads, width), source by source.

        No mask is made, no padding computed, and the bias of one source stays in the processor's cache.
        """
        bias = self._bias.to(q.dtype)
        mixed = q.new_zeros(q.shape[0], q.shape[2], q.shape[1], q.shape[3])
        for row, length in enumerate(lengths):
            own_q, own_k, own_v = (part[row : row + 1, :, :length] for part in (q, k, v))
            own_bias = bias[:, :, :length, :length]
            some = functional.scaled_dot_product_attention(own_q, own_k, own_v, attn_mask=own_bias, scale=1.0)
            mixed[row, :length] = some[0].transpose(0, 1)
        return mixed

    def _added(self, lengths: Sequence[int], longest: int) -> torch.Tensor:
        """Return what is added to the scores, (rows or 1, heads, longest, longest)."""
        bias = self._bias[:, :, :longest, :longest].to(self._plan.dtype)
        if min(lengths) == longest:
            return bias.expand(len(lengths), -1, -1, -1)
        positions = torch.arange(longest, device=bias.device)
        beyond = positions >= torch.tensor(lengths, device=bias.device)[:, None]  # (rows, longest)
        return bias.masked_fill(beyond[:, None, None], float("-inf"))
