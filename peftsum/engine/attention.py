"""T5's attention with what all layers share computed once, for padded batches, generation and packed rows.

transformers adds the position bias and the mask to the scores in two passes over (batch, heads, queries, keys) in every
layer, or, with SDPA, builds their sum anew in every layer; and cross-attention, which has no bias, gets one of zeros.
Here the sum is made once for all layers, and what is zero is left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import torch
from torch.nn import functional
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, eager_mask
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.models.t5.modeling_t5 import T5Attention

from peftsum.engine.place import kind_of
from peftsum.engine.projection import project
from peftsum.engine.segments import Segments, segment_attention

SHARED = "shared_bias"
"""The name under which transformers knows this attention."""


def shared_bias_attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    position_bias: torch.Tensor | None = None,
    **_: object,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Return (batch, queries, heads, head_dim), and the attention weights where they were made.

    Args:
        module: a ``T5Attention``.
        query: (batch, heads, queries, head_dim); key and value likewise.
        key: see query.
        value: see query.
        attention_mask: added to the scores, (batch, 1, queries or 1, keys), or None.
        scaling: of the scores; T5 has 1.
        dropout: probability of leaving out an attention weight.
        position_bias: (1, heads, queries, keys); zeros, and left out, in cross-attention.
    """
    scaling = 1.0 if scaling is None else scaling
    added = _added(module, position_bias, attention_mask)
    if kind_of(query) == "cuda":
        out = functional.scaled_dot_product_attention(
            query, key, value, attn_mask=added, dropout_p=dropout, scale=scaling
        )
        return out.transpose(1, 2).contiguous(), None
    scores = torch.matmul(query if scaling == 1.0 else query * scaling, key.transpose(2, 3))
    if added is not None:
        scores += added
    weights = torch.softmax(scores, dim=-1)
    if dropout:
        weights = functional.dropout(weights, dropout, training=module.training)
    return torch.matmul(weights, value).transpose(1, 2).contiguous(), weights


def _added(module: Any, position_bias: torch.Tensor | None, attention_mask: torch.Tensor | None) -> torch.Tensor | None:
    """Return bias and mask in one, made by the first layer and kept on the bias tensor that all layers are handed."""
    learned = module.has_relative_attention_bias or not _is_cross(module)
    if position_bias is None or not learned:
        return attention_mask
    if attention_mask is None:
        return position_bias
    kept = getattr(position_bias, "_peftsum_added", None)
    if kept is None or kept[0] is not attention_mask:
        kept = (attention_mask, position_bias + attention_mask)
        position_bias._peftsum_added = kept  # type: ignore[attr-defined]
    return cast("torch.Tensor", kept[1])


def _is_cross(module: Any) -> bool:
    """Tell whether an attention module looks from the decoder at the encoder: it has no bias and is not causal."""
    return bool(module.is_decoder and not module.is_causal)


def register() -> None:
    """Make the attention, and the mask it needs, known to transformers under :data:`SHARED`."""
    ALL_ATTENTION_FUNCTIONS.register(SHARED, shared_bias_attention)
    ALL_MASK_ATTENTION_FUNCTIONS.register(SHARED, eager_mask)  # without one it would silently get no mask


@dataclass(frozen=True)
class Layout:
    """How the rows of a packed batch are to be read by the attention of one stack."""

    own: Segments
    cross: Segments | None = None
    cheap_dropout: bool = True


class EngineAttention(T5Attention):  # type: ignore[misc]  # transformers ships no types
    """T5's attention that also reads packed rows, and projects queries, keys and values together."""

    def forward(
        self,
        hidden_states: torch.Tensor,
        mask: torch.Tensor | None = None,
        key_value_states: torch.Tensor | None = None,
        position_bias: torch.Tensor | None = None,
        past_key_values: Any = None,
        layout: Layout | None = None,
        **kwargs: Any,
    ) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]:
        """Return the output, the position bias for the layers above, and no weights; without a layout, T5's own way.

        Args:
            hidden_states: (1, query tokens, d_model) of a packed batch.
            mask: unused in a packed batch.
            key_value_states: the encoder's states in cross-attention, (1, source tokens, d_model).
            position_bias: (heads, longest, longest) from the layer below.
            past_key_values: unused in a packed batch.
            layout: where the dialogues lie.
            kwargs: for T5's own way.
        """
        if layout is None:
            result = super().forward(hidden_states, mask, key_value_states, position_bias, past_key_values, **kwargs)
            return cast("tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]", result)
        if key_value_states is None:
            segments, parts = layout.own, project((self.q, self.k, self.v), hidden_states)
            if position_bias is None and self.has_relative_attention_bias:
                position_bias = self._segment_bias(segments)
        else:
            assert layout.cross is not None, "a stack with cross-attention needs its layout"
            segments = layout.cross
            own, theirs = project((self.q,), hidden_states), project((self.k, self.v), key_value_states)
            parts = (*own, *theirs)
        out = segment_attention(
            [part.squeeze(0) for part in parts],
            position_bias,
            segments,
            self.n_heads,
            dropout=self.dropout if self.training else 0.0,
            cheap=layout.cheap_dropout,
        )
        (projected,) = project((self.o,), out.unsqueeze(0))
        return projected, position_bias, None

    def _segment_bias(self, segments: Segments) -> torch.Tensor:
        """Return (heads, longest, longest): the bias of every dialogue is its leading corner."""
        longest = segments.longest
        bias = self.compute_bias(longest, longest)[0]
        if segments.causal:
            hidden = torch.ones(longest, longest, dtype=torch.bool, device=bias.device).triu(1)
            bias = bias.masked_fill(hidden, float("-inf"))
        return cast("torch.Tensor", bias)
