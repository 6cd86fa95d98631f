"""The factors of one LoRA adapter by layer, scaling folded in, or the reason why an adapter cannot be stacked."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from peftsum.exceptions import AdapterError

if TYPE_CHECKING:
    import torch
    from torch import nn

PREFIX = "base_model.model."
DOWN, UP = ".lora_A.weight", ".lora_B.weight"
VARIANTS = {
    "use_dora": "DoRA scales each output anew",
    "use_qalora": "QA-LoRA pools its inputs",
    "use_bdlora": "BD-LoRA has blocks of its own",
    "alora_invocation_tokens": "aLoRA starts at a token",
    "arrow_config": "Arrow routes between adapters",
    "kasa_config": "KaSA has a diagonal besides",
    "monteclora_config": "MonteCLoRA draws its update",
    "velora_config": "VeLoRA has a projection besides",
    "lora_bias": "the update has a bias",
    "layer_replication": "it repeats layers",
    "trainable_token_indices": "it tunes words of the vocabulary",
    "modules_to_save": "it carries whole layers",
    "target_parameters": "it adapts bare parameters",
    "fan_in_fan_out": "its weights are stored the other way round",
}
"""Settings of peft's ``LoraConfig`` under which an update is more than s·BA, and why."""


@dataclass(frozen=True)
class LayerFactors:
    """The update of one layer: y += x downᵀ up."""

    down: torch.Tensor
    """A, (rank, in)."""
    up: torch.Tensor
    """Bᵀ times the scaling, (rank, out)."""

    @property
    def rank(self) -> int:
        """Rows of A."""
        return self.down.shape[0]


def not_stackable(config: Any) -> str | None:
    """Return why an adapter's layers cannot be stacked with others, or None where they can.

    Args:
        config: peft's configuration of the adapter.
    """
    kind = config.peft_type.value
    if kind != "LORA":
        return f"{kind} is no low-rank update"
    for name, reason in VARIANTS.items():
        if getattr(config, name, None):
            return reason
    return "it trained the base's biases" if getattr(config, "bias", "none") != "none" else None


def read_factors(
    config: Any, tensors: Mapping[str, torch.Tensor], net: nn.Module, dtype: torch.dtype | None = None
) -> dict[str, LayerFactors]:
    """Return the factors by the name that each layer has in the base.

    Args:
        config: peft's configuration of the adapter, for which :func:`not_stackable` is None.
        tensors: its weights by the names in its file.
        net: the base, with or without adapters attached; it is only looked at.
        dtype: precision of the factors; None keeps the file's.

    Raises:
        AdapterError: the configuration names other layers or shapes than the file or the base has.
    """
    layers = _linear_layers(net)
    expected = {name for name in layers if _is_target(config, name)}
    found = {key.removeprefix(PREFIX).removesuffix(end) for key in tensors for end in (DOWN, UP) if key.endswith(end)}
    strange = [key for key in tensors if not key.endswith((DOWN, UP))]
    if strange or found != expected:
        count = len(strange) or len(found ^ expected)
        raise AdapterError(
            f"{count} of its tensors have no counterpart", hint="was it trained on another base, or its file exchanged?"
        )
    return {name: _layer(config, name, tensors, layers[name], dtype) for name in sorted(expected)}


def _layer(
    config: Any, name: str, tensors: Mapping[str, torch.Tensor], shape: tuple[int, int], dtype: torch.dtype | None
) -> LayerFactors:
    from peft.utils.other import get_pattern_key

    down, up = tensors.get(f"{PREFIX}{name}{DOWN}"), tensors.get(f"{PREFIX}{name}{UP}")
    ranks, alphas = config.rank_pattern or {}, config.alpha_pattern or {}
    rank = ranks.get(get_pattern_key(ranks.keys(), name), config.r)
    alpha = alphas.get(get_pattern_key(alphas.keys(), name), config.lora_alpha)
    out, width = shape
    if down is None or up is None or tuple(down.shape) != (rank, width) or tuple(up.shape) != (out, rank):
        shapes = " and ".join(str(tuple(t.shape)) if t is not None else "nothing" for t in (down, up))
        raise AdapterError(
            f"{name} has {shapes}, not ({rank}, {width}) and ({out}, {rank})", hint="was it trained on another base?"
        )
    scaling = alpha / math.sqrt(rank) if config.use_rslora else alpha / rank
    return LayerFactors(down.to(dtype or down.dtype), (up.t() * scaling).to(dtype or up.dtype))


def _linear_layers(net: nn.Module) -> dict[str, tuple[int, int]]:
    """Return the (out, in) of each linear layer that peft can adapt, by its name in the bare base."""
    from torch import nn

    layers = {}
    for name, module in net.named_modules():
        inner = getattr(module, "base_layer", module)
        if isinstance(inner, nn.Linear) and not name.endswith(".base_layer") and ".lora_" not in name:
            layers[name] = (inner.out_features, inner.in_features)
    return layers


def _is_target(config: Any, name: str) -> bool:
    from peft.tuners.tuners_utils import check_target_module_exists

    if config.target_modules == "all-linear":  # peft resolves it on attaching; the output layer is not among them
        return name != "lm_head"
    return bool(check_target_module_exists(config, name))
