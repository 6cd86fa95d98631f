"""The small operations of a training step in fewer passes over memory; the same arithmetic to rounding.

On a CPU matrix products take about two fifths of a LoRA step on a small T5; scaling and adding the side path, the norm
and the tanh GELU, each written as several operations, take most of the rest.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from peft.tuners.lora import Linear
from torch import nn
from torch.nn import functional
from transformers.activations import NewGELUActivation
from transformers.models.t5.modeling_t5 import T5LayerNorm


class FusedRMSNorm(T5LayerNorm):  # type: ignore[misc]  # transformers ships no types
    """T5's layer norm (Zhang and Sennrich 2019) as one operation: scale by the inverse root mean square, no mean."""

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """Return the normalised states, (batch, length, d_model)."""
        if hidden_states.dtype != self.weight.dtype:  # under autocast the library's own rules of precision apply
            return cast("torch.Tensor", super().forward(hidden_states))
        return functional.rms_norm(hidden_states, self.weight.shape, self.weight, self.variance_epsilon)


class FusedLoraLinear(Linear):  # type: ignore[misc]  # peft ships no types
    """LoRA whose update is scaled and added inside the second matrix product: Wx + s·B(Ax) as ``addmm``."""

    def forward(self, x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Return (batch, length, out_features); anything but one plain adapter goes peft's own way."""
        name = self.active_adapters[0] if len(self.active_adapters) == 1 else None
        plain = not (args or kwargs or self.disable_adapters or self.merged or torch.is_autocast_enabled(x.device.type))
        if not plain or name not in self.lora_A or name in self.lora_variant:
            return cast("torch.Tensor", super().forward(x, *args, **kwargs))
        up, down = self.lora_B[name].weight, self.lora_A[name].weight  # (out, r), (r, in)
        if not x.dtype == up.dtype == self.base_layer.weight.dtype:
            return cast("torch.Tensor", super().forward(x))
        frozen = self.base_layer(x)
        inner = functional.linear(self.lora_dropout[name](x), down)
        update = torch.addmm(frozen.flatten(0, -2), inner.flatten(0, -2), up.t(), alpha=self.scaling[name])
        return update.view_as(frozen)


def fuse(model: nn.Module) -> None:
    """Make every norm, tanh GELU and plain LoRA layer of a model one operation each, in place.

    Classes are exchanged, so parameters, their names and what is saved stay as they are.
    """
    for module in list(model.modules()):
        if type(module) is T5LayerNorm:
            module.__class__ = FusedRMSNorm
        elif type(module) is Linear:
            module.__class__ = FusedLoraLinear
        for name, child in list(module.named_children()):
            if type(child) is NewGELUActivation:
                setattr(module, name, nn.GELU(approximate="tanh"))
