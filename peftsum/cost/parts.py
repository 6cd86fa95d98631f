"""Bytes of a model's parts as they lie in memory: weights, adapters, what quantization adds, gradients, optimizer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

STATE_DEPTH = 3  # a quantization state holds tensors, and in NF4 a second state that holds some


def count_parts(model: torch.nn.Module, optimizer: Any = None) -> dict[str, int]:
    """Return the bytes of each part that there is, on this process's devices; what is shared counts once.

    "weights" are the base's, in the type they are held in, int8 and 4-bit included; "quantization" is what such weights
    need besides (scales, code books); "adapters" are peft's weights and what else is trained beside a frozen base;
    "gradients" those there are now; "optimizer" its state.

    Args:
        model: what is trained or asked.
        optimizer: of torch, or accelerate's wrapping of one; None leaves its state out.
    """
    seen: set[int] = set()
    parameters = list(model.parameters())
    frozen = any(not parameter.requires_grad for parameter in parameters)
    adapters = _adapters(model)
    found = dict.fromkeys(("weights", "adapters", "quantization", "buffers", "gradients", "optimizer"), 0)
    for parameter in parameters:
        beside = id(parameter) in adapters or (frozen and parameter.requires_grad)
        part = "adapters" if beside else "weights"
        found[part] += _bytes(parameter, seen)
        if parameter.grad is not None:
            found["gradients"] += _bytes(parameter.grad, seen)
    for tensor in _quantization(model):
        found["quantization"] += _bytes(tensor, seen)
    for buffer in model.buffers():
        found["buffers"] += _bytes(buffer, seen)
    for state in dict(optimizer.state).values() if optimizer is not None else ():
        found["optimizer"] += sum(
            _bytes(tensor, seen) for tensor in state.values() if hasattr(tensor, "untyped_storage")
        )
    return {name: size for name, size in found.items() if size}


def _adapters(model: torch.nn.Module) -> set[int]:
    """Return the identities of the parameters that peft's layers hold beside the base's."""
    held = ((module, name) for module in model.modules() for name in getattr(module, "adapter_layer_names", ()))
    parts: list[Any] = [getattr(module, name, None) for module, name in held]
    return {id(parameter) for part in parts if hasattr(part, "parameters") for parameter in part.parameters()}


def _bytes(tensor: Any, seen: set[int]) -> int:
    """Return the bytes of a tensor not seen before; of a sharded one, this process's share."""
    local = tensor.to_local() if hasattr(tensor, "to_local") else tensor
    place = local.data_ptr()
    if not place or place in seen:
        return 0
    seen.add(place)
    return int(local.numel() * local.element_size())


def _quantization(model: torch.nn.Module) -> Iterator[Any]:
    """Return the tensors that bitsandbytes keeps beside its weights: with the weight, or with the layer."""
    for module in model.modules():
        weight = getattr(module, "weight", None)
        for state in (getattr(weight, "quant_state", None), getattr(module, "state", None)):
            yield from _tensors(state, STATE_DEPTH)
        for name in ("SCB", "CB"):
            tensor = getattr(weight, name, None)
            if hasattr(tensor, "untyped_storage"):
                yield tensor


def _tensors(state: Any, depth: int) -> Iterator[Any]:
    if hasattr(state, "untyped_storage"):
        yield state
    elif depth and hasattr(state, "__dict__"):
        for value in vars(state).values():
            yield from _tensors(value, depth - 1)
