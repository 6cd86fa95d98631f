"""What differs between a whole model in every process and one that FSDP or DeepSpeed spreads over them.

Which of them it is, the user's accelerate configuration says; peftsum has no settings of its own for it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from peftsum.exceptions import UsageError
from peftsum.recipe import Recipe

if TYPE_CHECKING:
    import torch
    from accelerate import Accelerator

SCALING = "docs/scaling.md has a configuration that works"


def is_sharded(accelerator: Accelerator) -> bool:
    """Tell whether no process holds the whole model."""
    return str(accelerator.distributed_type.value) in {"FSDP", "DEEPSPEED"}


def check_sharding(accelerator: Accelerator, recipe: Recipe) -> None:
    """Refuse a configuration that would train something else than the recipe says.

    Raises:
        UsageError: it was asked for and is not in force, or would lose weights.
    """
    if not is_sharded(accelerator):
        for name in ("FSDP", "DEEPSPEED"):
            if os.environ.get(f"ACCELERATE_USE_{name}", "false").lower() == "true":
                raise UsageError(
                    f"the accelerate configuration asks for {name}, which accelerate does on GPUs alone",
                    hint="train with --nproc, without that configuration",
                )
        return
    if recipe.model.quantize != "none":
        raise UsageError(
            f"model.quantize: {recipe.model.quantize} cannot be spread over processes",
            hint="take --nproc, where each holds it whole, or quantize: none",
        )
    if recipe.method.caches_encoder():
        raise UsageError(
            "method.cache_encoder: one process encodes for all, which it cannot with a part of the model",
            hint="take --nproc, where each holds it whole, or cache_encoder: false",
        )
    plugin = getattr(accelerator.state, "fsdp_plugin", None)
    if plugin is not None and plugin.fsdp_version != 2:
        raise UsageError(
            "FSDP version 1 takes no frozen weights of another precision", hint=f"fsdp_version: 2; {SCALING}"
        )
    if plugin is not None and plugin.cpu_ram_efficient_loading:
        raise UsageError(
            "fsdp_cpu_ram_efficient_loading ties T5's head to its embedding, and so loses it",
            hint=f"set it to false; {SCALING}",
        )


def prepare_for(accelerator: Accelerator, model: torch.nn.Module, optimizer: Any) -> tuple[Any, Any]:
    """Return model and optimizer as accelerate has them."""
    if str(accelerator.distributed_type.value) == "DEEPSPEED":
        accelerator.state.deepspeed_plugin.deepspeed_config["train_micro_batch_size_per_gpu"] = 1  # it wants one
    prepared: tuple[Any, Any] = accelerator.prepare(model, optimizer)
    return prepared


@contextmanager
def synchronising(accelerator: Accelerator, training_model: Any, *, last: bool) -> Iterator[None]:
    """Sum gradients over the processes in the last batch of a step alone; the others add to what each has."""
    accelerator.sync_gradients = last  # what DeepSpeed steps by
    with nullcontext() if last else accelerator.no_sync(training_model):
        yield


def clip(accelerator: Accelerator, training_model: Any, max_norm: float | None) -> float:
    """Scale the gradients down to a norm, None for no limit, and return the norm they had, over all processes."""
    norm = accelerator.clip_grad_norm_(list(training_model.parameters()), max_norm or float("inf"))
    norm = norm.full_tensor() if hasattr(norm, "full_tensor") else norm
    return float(norm) if norm is not None else 0.0  # DeepSpeed tells none after the first step


def local(tensor: torch.Tensor) -> torch.Tensor:
    """Return this process's part of a tensor."""
    part: torch.Tensor = tensor.to_local() if hasattr(tensor, "to_local") else tensor
    return part


def whole_weights(accelerator: Accelerator, training_model: Any, names: list[str]) -> dict[str, torch.Tensor]:
    """Return parameters by name, gathered from all processes, in the main one; what the others get is of no use."""
    state = accelerator.get_state_dict(training_model)
    found = {}
    for key, tensor in state.items():
        for name in names:
            if key == name or key.endswith(f".{name}"):  # a wrapper puts its own name before
                found[name] = tensor.detach().cpu().contiguous()
    return found


@contextmanager
def gathered(training_model: Any) -> Iterator[None]:
    """Have the weights whole that belong to no layer, since generation calls encoder and decoder apart."""
    if not hasattr(training_model, "unshard"):
        yield
        return
    training_model.unshard()
    try:
        yield
    finally:
        training_model.reshard()
