"""Attention among the tokens of one dialogue, for dialogues that lie end to end in one row.

A block-diagonal mask over the whole row would compute, and then hide, every dialogue's attention to every other. Each
block on the diagonal is computed by itself instead. T5's position bias depends on distances only, so one bias, made for
the longest dialogue, serves all of them by its leading corner, in all layers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import torch

from peftsum.engine.dropout import keep_mask


@dataclass(frozen=True)
class Segments:
    """Where each dialogue lies in the rows of queries and of keys.

    Args:
        queries: tokens of each dialogue among the queries, in order.
        keys: the same among the keys; equal to ``queries`` in self-attention.
        causal: True where a query sees itself and what comes before it in its dialogue only.
    """

    queries: tuple[int, ...]
    keys: tuple[int, ...]
    causal: bool = False

    @property
    def longest(self) -> int:
        """Tokens of the longest dialogue on either side."""
        return max(*self.queries, *self.keys)

    def spans(self) -> Iterator[tuple[slice, slice]]:
        """Yield the positions of each dialogue in queries and keys."""
        ends = zip(accumulate(self.queries), accumulate(self.keys), self.queries, self.keys, strict=True)
        for query_end, key_end, queries, keys in ends:
            yield slice(query_end - queries, query_end), slice(key_end - keys, key_end)


def segment_attention(
    parts: Sequence[torch.Tensor],
    bias: torch.Tensor | None,
    segments: Segments,
    heads: int,
    dropout: float = 0.0,
    cheap: bool = True,
) -> torch.Tensor:
    """Return the attention of each dialogue to itself (or to its own source), (query tokens, heads · head_dim).

    Unscaled, as T5 has it: softmax(q kᵀ + bias) v.

    Args:
        parts: queries, keys and values side by side in one tensor (tokens, 3 · heads · head_dim); or queries, and keys
            and values side by side; or all three apart.
        bias: (heads, longest, longest), -inf where a causal query must not look; None in cross-attention.
        segments: where the dialogues lie.
        heads: attention heads.
        dropout: probability of leaving out an attention weight.
        cheap: draw the dropout's decisions from few random words.
    """
    out: torch.Tensor = _SegmentAttention.apply(bias, segments, heads, dropout, cheap, *parts)  # type: ignore[no-untyped-call]
    return out


class _SegmentAttention(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        bias: torch.Tensor | None,
        segments: Segments,
        heads: int,
        dropout: float,
        cheap: bool,
        *parts: torch.Tensor,
    ) -> torch.Tensor:
        queries, keys, values = _columns(parts)
        out = torch.empty_like(queries, memory_format=torch.contiguous_format)
        weights, kept = [], []
        for q_span, k_span in segments.spans():
            q, k, v = _heads(queries[q_span], heads), _heads(keys[k_span], heads), _heads(values[k_span], heads)
            if bias is None:
                scores = torch.bmm(q, k.transpose(1, 2))  # (heads, queries, keys)
            else:
                corner = bias[:, : q.shape[1], : k.shape[1]]
                scores = torch.baddbmm(corner, q, k.transpose(1, 2))
            probabilities = torch.softmax(scores, dim=-1)
            weights.append(probabilities)
            if dropout:
                kept.append(keep_mask(probabilities, dropout, cheap))
                probabilities = probabilities * kept[-1]
            _heads(out[q_span], heads).copy_(torch.bmm(probabilities, v))
        ctx.segments, ctx.heads, ctx.split = segments, heads, (len(parts), len(weights))
        ctx.bias_shape = bias.shape if bias is not None and ctx.needs_input_grad[0] else None
        ctx.save_for_backward(*parts, *weights, *kept)
        return out

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[Any, ...]:
        count, dialogues = ctx.split
        saved = ctx.saved_tensors
        parts, weights, kept = saved[:count], saved[count : count + dialogues], saved[count + dialogues :]
        grads = [torch.empty_like(part, memory_format=torch.contiguous_format) for part in parts]
        queries, keys, values = _columns(parts)
        d_queries, d_keys, d_values = _columns(grads)
        d_bias = grad.new_zeros(ctx.bias_shape) if ctx.bias_shape is not None else None
        grad = grad.contiguous()
        for i, (q_span, k_span) in enumerate(ctx.segments.spans()):
            q, k, v = (
                _heads(queries[q_span], ctx.heads),
                _heads(keys[k_span], ctx.heads),
                _heads(values[k_span], ctx.heads),
            )
            g, p = _heads(grad[q_span], ctx.heads), weights[i]
            d_p = torch.bmm(g, v.transpose(1, 2))
            used = p
            if kept:
                used = p * kept[i]
                d_p *= kept[i]
            _heads(d_values[k_span], ctx.heads).copy_(torch.bmm(used.transpose(1, 2), g))
            d_scores = torch._softmax_backward_data(d_p, p, -1, p.dtype)
            if d_bias is not None:
                d_bias[:, : q.shape[1], : k.shape[1]] += d_scores
            _heads(d_queries[q_span], ctx.heads).copy_(torch.bmm(d_scores, k))
            _heads(d_keys[k_span], ctx.heads).copy_(torch.bmm(d_scores.transpose(1, 2), q))
        return d_bias, None, None, None, None, *grads


def _columns(parts: Sequence[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return queries, keys and values as views, however they lie side by side."""
    if len(parts) == 3:
        return parts[0], parts[1], parts[2]
    if len(parts) == 2:
        keys, values = parts[1].chunk(2, dim=-1)
        return parts[0], keys, values
    queries, keys, values = parts[0].chunk(3, dim=-1)
    return queries, keys, values


def _heads(rows: torch.Tensor, heads: int) -> torch.Tensor:
    """Return (tokens, heads · head_dim) as a view (heads, tokens, head_dim)."""
    return rows.view(rows.shape[0], heads, -1).transpose(0, 1)
