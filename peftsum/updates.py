"""What tuning changed in each linear layer, as factors: of an adapter, or of a full fine-tune against its base."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from peftsum.adapters import check_adapter
from peftsum.bank import LayerFactors, not_stackable, read_factors
from peftsum.exceptions import AdapterError
from peftsum.model import load_base
from peftsum.recipe import Model
from peftsum.resident import read_adapter_config

if TYPE_CHECKING:
    from torch import nn


def update_of_adapter(path: Path, net: nn.Module) -> dict[str, LayerFactors]:
    """Return the factors of an adapter by layer.

    Args:
        path: its folder.
        net: the base, with or without adapters attached.

    Raises:
        AdapterError: it is damaged or of another base, or its update is more than a product of two matrices.
    """
    config, tensors = read_adapter_config(path), check_adapter(path)
    reason = not_stackable(config)
    if reason is not None:
        raise AdapterError(f"{path} is no plain low-rank update: {reason}", hint="take a plain LoRA or rsLoRA adapter")
    return read_factors(config, tensors, net)


def update_of_model(
    tuned: Model, net: nn.Module, layers: Collection[str] | None = None
) -> tuple[dict[str, LayerFactors], float]:
    """Return the change of linear layers of a tuned model, and the share of its whole change that is elsewhere.

    A layer's change is not factored: ``down`` is the change itself, ``up`` the identity. The share is of Frobenius
    norms; what is elsewhere is in embeddings, norms and, unless it is named, the output layer.

    Args:
        tuned: names the tuned model.
        net: its base in full precision, bare.
        layers: names of those wanted; None takes all but the output layer.

    Raises:
        AdapterError: it has other weights than the base.
    """
    import torch

    exact = tuned.model_copy(update={"precision": "fp32"})  # in bf16 the change would be rounded as the weight
    weights = dict(load_base(exact, frozen=True, device="cpu").model.named_parameters())
    own = dict(net.named_parameters())
    if {n: p.shape for n, p in weights.items()} != {n: p.shape for n, p in own.items()}:
        raise AdapterError(f"{tuned.base} has other weights than its base", hint="name the base it was tuned from")
    linear = {f"{name}.weight": name for name, m in net.named_modules() if isinstance(m, torch.nn.Linear)}
    linear = {key: name for key, name in linear.items() if (name != "lm_head" if layers is None else name in layers)}
    update, whole, elsewhere = {}, 0.0, 0.0
    for name, weight in weights.items():
        change = weight.detach() - own[name].detach().float()
        size = float(change.double().pow(2).sum())
        whole += size
        if name in linear:
            update[linear[name]] = LayerFactors(change, torch.eye(len(change)))
        else:
            elsewhere += size
    return update, (elsewhere / whole) ** 0.5 if whole else 0.0
