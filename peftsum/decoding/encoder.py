"""The encoder's forward pass: on a CPU over sources one behind the other, elsewhere over a padded batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
        groups_of: gives the adapters of rows from their slots, None where the encoder has no adapter for them.
    """

    def __init__(
        self, plan: Plan, longest: int, groups_of: Callable[[Sequence[int]], RowGroups | None] = lambda slots: None
    ) -> None:
        self._plan, self._groups_of = plan, groups_of
        self._bias: torch.Tensor = plan.encoder_bias.compute_bias(longest, longest).detach()  # (1, heads, S, S)

    @property
    def flat(self) -> bool:
        """Whether it takes one adapter at a time, as on a CPU."""
        return self._plan.flat

    def __call__(self, sources: Sequence[Sequence[int]], slots: Sequence[int]) -> list[torch.Tensor]:
        """Return the encoder's states of each source, (tokens, d_model).

        Args:
            sources: token ids.
            slots: which stacked adapter each has.
        """
        if not self._plan.flat:
            states = self._padded(sources, self._groups_of(slots))
            return [row[: len(source)] for row, source in zip(states, sources, strict=True)]
        found: dict[int, torch.Tensor] = {}
        for members in by_adapter(slots):
            rows = self._groups_of([slots[members[0]]])
            found |= zip(members, self._flat([sources[i] for i in members], rows), strict=True)
        return [found[i] for i in range(len(sources))]

    def _flat(self, sources: Sequence[Sequence[int]], rows: RowGroups | None) -> Sequence[torch.Tensor]:
        """Encode sources of one adapter, one behind the other.

        No mask is made, no padding computed, and the bias of one source stays in the processor's cache.
        """
        plan = self._plan
        lengths = [len(source) for source in sources]
        states = plan.embed_source(torch.tensor([[word for source in sources for word in source]]))
        bias = self._bias.to(plan.dtype)
        for layer in plan.encoder:
            queries = layer.own.queries(layer.own.norm(states), rows)
            mixed = torch.empty_like(queries[0])
            parts = (torch.split(part[0].view(-1, *plan.heads), lengths) for part in (*queries, mixed))
            for q, k, v, out in zip(*parts, strict=True):  # (tokens, heads, width) of a source
                q, k, v = (part.transpose(0, 1)[None] for part in (q, k, v))
                own = bias[:, :, : len(out), : len(out)]
                some = functional.scaled_dot_product_attention(q, k, v, attn_mask=own, scale=1.0)
                out.copy_(some[0].transpose(0, 1))
            states = layer.own.output.plus(states, mixed, rows)
            states = layer.feed_forward(states, rows)
        return torch.split(plan.encoder_norm(states)[0], lengths)

    def _padded(self, sources: Sequence[Sequence[int]], rows: RowGroups | None) -> torch.Tensor:
        """Encode a batch together, bias and mask summed once for all layers; return (rows, longest, d_model)."""
        plan = self._plan
        heads, width = plan.heads
        ids = collate_sources(sources, plan.config.pad_token_id or 0)["input_ids"].to(plan.device)
        count, longest = ids.shape
        added = self._added([len(source) for source in sources], longest)
        states = plan.embed_source(ids)
        for layer in plan.encoder:
            q, k, v = layer.own.queries(layer.own.norm(states), rows)
            q, k, v = (part.view(count, longest, heads, width).transpose(1, 2) for part in (q, k, v))
            mixed = functional.scaled_dot_product_attention(q, k, v, attn_mask=added, scale=1.0).transpose(1, 2)
            states = layer.own.output.plus(states, mixed.reshape(count, longest, heads * width), rows)
            states = layer.feed_forward(states, rows)
        return plan.encoder_norm(states)

    def _added(self, lengths: Sequence[int], longest: int) -> torch.Tensor:
        """Return what is added to the scores, (rows or 1, heads, longest, longest)."""
        bias = self._bias[:, :, :longest, :longest].to(self._plan.dtype)
        if min(lengths) == longest:
            return bias.expand(len(lengths), -1, -1, -1)
        positions = torch.arange(longest, device=bias.device)
        beyond = positions >= torch.tensor(lengths, device=bias.device)[:, None]  # (rows, longest)
        return bias.masked_fill(beyond[:, None, None], float("-inf"))


def by_adapter(slots: Sequence[int]) -> list[list[int]]:
    """Return which rows have the same adapter, adapters in the order in which they come first."""
    groups: dict[int, list[int]] = {}
    for row, slot in enumerate(slots):
        groups.setdefault(slot, []).append(row)
    return list(groups.values())
