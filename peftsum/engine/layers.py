"""Exchange a model's layers for the engine's: classes are exchanged, so parameters, names and what is saved stay."""

from __future__ import annotations

from typing import Any, cast

import torch
from peft.tuners.lora import Linear as LoraLinear
from torch import nn
from transformers.activations import NewGELUActivation
from transformers.models.t5.modeling_t5 import T5Attention, T5DenseGatedActDense, T5LayerNorm

from peftsum.engine.attention import EngineAttention
from peftsum.engine.dropout import CheapDropout
from peftsum.engine.elementwise import FusedRMSNorm, gated_gelu
from peftsum.engine.place import kind_of
from peftsum.engine.projection import apply_factors, factor_of, project
from peftsum.engine.settings import Engine


class FusedLoraLinear(LoraLinear):  # type: ignore[misc]  # peft ships no types
    """LoRA computed inside the layer's own matrix product."""

    def forward(self, x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Return (…, out); anything but one plain adapter in one precision goes peft's own way."""
        factor = None if args or kwargs or torch.is_autocast_enabled(x.device.type) else factor_of(self)
        if factor is None or factor.weight.dtype != x.dtype:
            return cast("torch.Tensor", super().forward(x, *args, **kwargs))
        return apply_factors([factor], x)


class FusedGatedDense(T5DenseGatedActDense):  # type: ignore[misc]  # transformers ships no types
    """T5's gated feed-forward with both input projections together and the tanh GELU without its tanh."""

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """Return (…, d_model)."""
        if torch.is_autocast_enabled(hidden_states.device.type) or kind_of(hidden_states) != "cpu":
            return cast("torch.Tensor", super().forward(hidden_states))
        gated = self.dropout(gated_gelu(project((self.wi_0, self.wi_1), hidden_states)))
        wo: Any = getattr(self.wo, "base_layer", self.wo)
        wide = wo.weight  # kept in fp32 by transformers, as it overflows first
        if wide.dtype not in {gated.dtype, torch.int8}:
            gated = gated.to(wide.dtype)
        (out,) = project((self.wo,), gated)
        return out


def exchange_layers(model: nn.Module, engine: Engine, device: str) -> None:
    """Give a model, adapters attached, the layers that an engine's settings ask for, in place."""
    for module in list(model.modules()):
        if type(module) is T5Attention and engine.packs(device):
            module.__class__ = EngineAttention
        elif type(module) is nn.Dropout and engine.cheap_dropout and device == "cpu":
            module.__class__ = CheapDropout
        if engine.fused:
            _fuse(module)


def reads_packed(model: nn.Module) -> bool:
    """Tell whether every attention layer of a model can read packed rows; those of T5's relatives cannot."""
    kinds = [type(m) for m in model.modules() if type(m).__name__.endswith("Attention") and hasattr(m, "q")]
    return bool(kinds) and all(kind is EngineAttention for kind in kinds)


def _fuse(module: nn.Module) -> None:
    if type(module) is T5LayerNorm:
        module.__class__ = FusedRMSNorm
    elif type(module) is LoraLinear:
        module.__class__ = FusedLoraLinear
    elif type(module) is T5DenseGatedActDense and isinstance(module.act, NewGELUActivation):
        module.__class__ = FusedGatedDense
        module.act = nn.GELU(approximate="tanh")  # for where T5's own way is gone: one kernel on a GPU
