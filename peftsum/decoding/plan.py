"""A T5 as the decode loop runs it: its layers in the order and groups in which they are computed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional
from transformers.activations import NewGELUActivation
from transformers.models.t5.modeling_t5 import T5DenseActDense, T5DenseGatedActDense, T5ForConditionalGeneration

from peftsum.bank import StackedFactors
from peftsum.decoding.linear import Part, Projection, Room, active_part, can_pack, merged_part, plain_part

if TYPE_CHECKING:
    from transformers import PreTrainedModel

SMALL_WEIGHTS = 64 << 20  # in the layers of a base for which a few dialogues are work enough: Flan-T5-small, not -base
PACK_BYTES = 2 << 30  # most memory for weights in oneDNN's order: beyond Flan-T5-base it is worth more elsewhere


@dataclass(frozen=True)
class Norm:
    """T5's layer norm: no mean, no bias."""

    weight: torch.Tensor
    epsilon: float

    def __call__(self, states: torch.Tensor) -> torch.Tensor:
        """Return the normalised states, (…, d_model), in the weight's precision."""
        if states.dtype == self.weight.dtype == torch.float32 and states.device.type == "cpu":
            norm = torch.linalg.vector_norm(states, dim=-1, keepdim=True)
            inverse = norm.square_().mul_(1 / states.shape[-1]).add_(self.epsilon).rsqrt_()
            scaled: torch.Tensor = (states * inverse).mul_(self.weight)
            return scaled
        variance = states.float().pow(2).mean(-1, keepdim=True)
        normed = states * torch.rsqrt(variance + self.epsilon)
        if self.weight.dtype in {torch.float16, torch.bfloat16}:
            normed = normed.to(self.weight.dtype)
        return self.weight * normed


@dataclass(frozen=True)
class FeedForward:
    """Norm, one or two input projections, activation, output projection."""

    norm: Norm
    inputs: Projection
    act: nn.Module
    output: Projection

    def __call__(self, states: torch.Tensor, rows: Any) -> torch.Tensor:
        """Return states plus the layer's output, (…, d_model)."""
        normed = self.norm(states)
        fast = isinstance(self.act, NewGELUActivation)
        hidden = self.inputs.gated(normed, rows) if fast else None
        if hidden is None:
            inner = self.inputs(normed, rows)
            hidden = functional.gelu(inner[0], approximate="tanh") if fast else self.act(inner[0])
            if len(inner) == 2:
                hidden = hidden * inner[1]
        return self.output.plus(states, hidden, rows)


@dataclass(frozen=True)
class Attention:
    """Norm and the four projections of an attention layer."""

    norm: Norm
    queries: Projection
    """Of queries, keys and values together in self-attention; of queries alone in cross-attention."""
    output: Projection
    memory: Projection | None = None
    """Of keys and values, from the encoder's states, in cross-attention."""


@dataclass(frozen=True)
class EncoderLayer:
    """One block of the encoder."""

    own: Attention
    feed_forward: FeedForward


@dataclass(frozen=True)
class DecoderLayer:
    """One block of the decoder."""

    own: Attention
    cross: Attention
    feed_forward: FeedForward


class Plan:
    """A T5's weights for one call of decoding.

    Args:
        model: a ``T5ForConditionalGeneration``, perhaps inside a ``PeftModel``.
        factors: stacked adapters, of which each row has its own; None takes the adapter that is active on the model.
        many: the call has work enough that packing weights, and merging large ones, saves more than it costs; small
            ones are merged for any call, and in bf16 packed, too.
    """

    def __init__(self, model: PreTrainedModel, factors: StackedFactors | None = None, *, many: bool = False) -> None:
        net = t5_of(model)
        self._factors, self._room = factors, Room()
        small = sum(p.numel() for part in (net.encoder, net.decoder) for p in part.block.parameters()) <= SMALL_WEIGHTS
        self._merge = many or small
        alone = factors is not None and factors.adapters == 1
        self.merged = self._merge and alone and _norm_dtype(net) == torch.float32
        """True where the one stacked adapter is in the weights, so that rows need none."""
        self.config = net.config
        self.embed: nn.Module = net.decoder.embed_tokens
        self.embed_source: nn.Module = net.encoder.embed_tokens
        self.device: torch.device = next(net.parameters()).device
        self.flat: bool = self.device.type == "cpu"
        """Sources lie one behind the other, one adapter at a time: a few hundred positions fill a processor."""
        self.encoder_bias: Any = net.encoder.block[0].layer[0].SelfAttention
        self.decoder_bias: Any = net.decoder.block[0].layer[0].SelfAttention
        self.encoder = [self._encoder_layer(b, f"encoder.block.{i}") for i, b in enumerate(net.encoder.block)]
        self.encoder_norm = _norm(net.encoder.final_layer_norm)
        self.decoder = [self._decoder_layer(b, f"decoder.block.{i}") for i, b in enumerate(net.decoder.block)]
        self.decoder_norm = _norm(net.decoder.final_layer_norm)
        self.head = Projection([self._part(net.lm_head, "lm_head")], self._room)
        self.dtype = self.decoder_norm.weight.dtype
        self.stacks = 0
        """Counts the times that stacked adapters moved to other memory."""
        self.recordable: bool = all(part.weight is not None for p in self._projections() for part in p.parts)
        """Every layer is known to be nothing but products; a module's own way, as that of int8, may ask the device."""
        pays = many or (small and self.dtype == torch.bfloat16)  # few rows of fp32 are fast as they are
        if pays and can_pack(self.device) and sum(p.weight_bytes for p in self._projections()) <= PACK_BYTES:
            apart = [layer.feed_forward.inputs for layer in self.encoder]  # many rows at once: worth fusing
            for projection in self._projections():
                projection.pack(apart=projection in apart)

    @property
    def heads(self) -> tuple[int, int]:
        """Attention heads and the width of one."""
        return self.config.num_heads, self.config.d_kv

    @property
    def position_bytes(self) -> int:
        """Bytes of the decoder's keys and values of one source position."""
        heads, width = self.heads
        return 2 * len(self.decoder) * heads * width * self.dtype.itemsize

    def logits(self, states: torch.Tensor, rows: Any) -> torch.Tensor:
        """Return (rows, vocabulary) in fp32 from the decoder's last states, (rows, d_model)."""
        normed = self.decoder_norm(states)
        if self.config.scale_decoder_outputs:
            normed = normed * self.config.d_model**-0.5
        return self.head(normed, rows)[0].float()

    def _projections(self) -> Iterator[Projection]:
        for layer in self.encoder:
            yield from (layer.own.queries, layer.own.output, layer.feed_forward.inputs, layer.feed_forward.output)
        for block in self.decoder:
            yield from (block.own.queries, block.own.output, block.cross.queries, block.cross.output)
            yield from (block.feed_forward.inputs, block.feed_forward.output)
            if block.cross.memory is not None:
                yield block.cross.memory
        yield self.head

    def _part(self, module: nn.Module, name: str) -> Part:
        if self._factors is None:
            return active_part(module, merge=self._merge)
        stack = self._factors.layers.get(name)
        if stack is not None and self.merged:
            return merged_part(module, stack[0][0].t(), stack[1][0])
        return plain_part(module, stack)

    def _group(self, owner: Any, path: str, *names: str) -> Projection:
        return Projection([self._part(getattr(owner, name), f"{path}.{name}") for name in names], self._room)

    def _own(self, layer: Any, path: str) -> Attention:
        attention, path = layer.SelfAttention, f"{path}.SelfAttention"
        return Attention(
            _norm(layer.layer_norm),
            self._group(attention, path, "q", "k", "v"),
            self._group(attention, path, "o"),
        )

    def _feed_forward(self, layer: Any, path: str) -> FeedForward:
        dense, path = layer.DenseReluDense, f"{path}.DenseReluDense"
        names = ("wi_0", "wi_1") if isinstance(dense, T5DenseGatedActDense) else ("wi",)
        return FeedForward(
            _norm(layer.layer_norm), self._group(dense, path, *names), dense.act, self._group(dense, path, "wo")
        )

    def _encoder_layer(self, block: Any, path: str) -> EncoderLayer:
        return EncoderLayer(
            self._own(block.layer[0], f"{path}.layer.0"), self._feed_forward(block.layer[1], f"{path}.layer.1")
        )

    def _decoder_layer(self, block: Any, path: str) -> DecoderLayer:
        attention, name = block.layer[1].EncDecAttention, f"{path}.layer.1.EncDecAttention"
        cross = Attention(
            _norm(block.layer[1].layer_norm),
            self._group(attention, name, "q"),
            self._group(attention, name, "o"),
            self._group(attention, name, "k", "v"),
        )
        return DecoderLayer(
            self._own(block.layer[0], f"{path}.layer.0"), cross, self._feed_forward(block.layer[2], f"{path}.layer.2")
        )


def t5_of(model: Any) -> Any:
    """Return the T5 inside a ``PeftModel``, or the model itself."""
    return model.get_base_model() if hasattr(model, "peft_config") and hasattr(model, "get_base_model") else model


def why_not(model: Any) -> str | None:
    """Return why the decode loop cannot run a model, or None where it can."""
    net = t5_of(model)
    if type(net) is not T5ForConditionalGeneration or net.config.model_type != "t5":
        return f"{type(net).__name__} is no plain T5"
    if getattr(model, "active_peft_config", None) is not None and model.active_peft_config.is_prompt_learning:
        return "its adapter adds words to the input"
    if torch.is_autocast_enabled(next(net.parameters()).device.type):
        return "autocast is on"
    if any(
        not isinstance(b.layer[-1].DenseReluDense, T5DenseGatedActDense | T5DenseActDense) for b in net.encoder.block
    ):
        return "its feed-forward layers are of another kind"
    if len({p.device for p in net.parameters()}) > 1:
        return "it lies on several devices"
    return None


def _norm_dtype(net: Any) -> torch.dtype:
    dtype: torch.dtype = net.decoder.final_layer_norm.weight.dtype
    return dtype


def _norm(module: Any) -> Norm:
    return Norm(module.weight.detach(), module.variance_epsilon)
