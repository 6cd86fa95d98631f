"""One training step of the project's own engine on fake tensors: what is alive at its peak, and what it computes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, cast
from unittest.mock import patch

import torch
from peft.mapping import PEFT_TYPE_TO_PREFIX_MAPPING
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from peftsum.batching import Encoded, collate
from peftsum.cost.forecast import Part
from peftsum.engine import dropout
from peftsum.engine.place import assumed
from peftsum.forecast.live import TRUE_PLACES, LiveStorages, Snapshot
from peftsum.forecast.operations import Operation, Work
from peftsum.forecast.quantized import Quantized
from peftsum.forecast.skeleton import build_skeleton
from peftsum.forecast.workload import Lengths, padded
from peftsum.optimization import build_optimizer, summed_loss
from peftsum.recipe import Recipe
from peftsum.training_model import TrainingModel, t5_of

CUDA_GRANULE = 512  # kMinBlockSize of c10/cuda/CUDACachingAllocator.cpp: allocations are rounded up to it
WORD = 7  # any token but pad and end


@dataclass(frozen=True)
class StepCost:
    """What one step takes, counted on fake tensors."""

    held: dict[Part, int]
    """Bytes alive between steps: weights, quantization, adapters, optimizer state."""
    peak: Snapshot
    """Bytes alive at the peak of step and validation, those included."""
    peak_in_validation: bool
    """Where that peak is."""
    work: Work
    """Operations of forward and backward for one batch, and how often."""
    calls: int
    """Of the dispatcher in forward and backward, views included."""
    optimizer_work: Work
    """Operations of clipping and of the optimizer's step."""
    counts: dict[str, int] = field(default_factory=dict)
    """Parameters by dtype, and quantized layers, for notes to a reader."""


def step_cost(
    recipe: Recipe, batch: Lengths, *, kind: str, bf16: bool, decoded: Lengths = (), scored: Lengths = ()
) -> StepCost:
    """Return what one step on a batch takes, and the memory of a validation.

    Args:
        recipe: what is to be trained.
        batch: (source, target) tokens of the dialogues.
        kind: of the device, "cpu" or "cuda"; the engine takes its way for it.
        bf16: whether the arithmetic is bf16.
        decoded: dialogues that a validation summarizes at a time.
        scored: dialogues whose loss it takes at a time.
    """
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    model = build_skeleton(recipe, bf16=bf16, mode=mode)
    training = TrainingModel(cast("Any", model), recipe.train.engine, kind, pad_token_id=0)
    live = LiveStorages(_label(model, (*batch, *decoded, *scored)), CUDA_GRANULE if kind == "cuda" else 1, mode)
    arithmetic = bf16 and not recipe.method.frozen_base  # else the weights are in it already
    with mode, assumed(kind), _fake_friendly(live), _gpu_attention(kind), live:
        cost = run_step(training, recipe, batch, live, autocast=arithmetic)
        live.restart()
        with _autocast(arithmetic):
            _validate(model, decoded, scored, recipe.generation.num_beams, live)
    if live.peak.total_bytes <= cost.peak.total_bytes:
        return cost
    return replace(cost, peak=live.peak, peak_in_validation=True)


def run_step(
    training: TrainingModel, recipe: Recipe, batch: Lengths, live: LiveStorages, *, autocast: bool = False
) -> StepCost:
    """Run one step as training does it, whether the tensors are fake or real, and return what it took.

    Args:
        training: the model.
        recipe: what is to be trained.
        batch: (source, target) tokens of the dialogues.
        live: follows the storages; it must be on.
        autocast: compute in bf16 on fp32 weights.
    """
    model = training.model
    _hold(live, model)
    training.train()
    optimizer = build_optimizer(model.named_parameters(), recipe.train, recipe.learning_rate)
    _warm_up(optimizer, live)
    held: dict[Part, int] = {part: size for part, size in live.now.items() if size and part != "gradients"}
    live.restart()
    inputs = training.batch(_examples(batch), "cpu")
    if isinstance(inputs, dict):
        rows, _, wide = padded(batch)
        TRUE_PLACES[rows, wide] = sum(t for _, t in batch)
    with _gradients_labelled(model, live):
        for _ in range(min(2, recipe.train.accumulate)):  # the second finds the first one's gradients
            live.restart_work()
            live.enter_phase("activations")
            with _autocast(autocast):
                loss = training(inputs)
            part = loss.float() * 0.5
            live.enter_phase("workspace")
            part.backward()
        work, calls = live.work, live.calls
        live.restart_work()
        if recipe.train.max_grad_norm is not None:
            torch.nn.utils.clip_grad_norm_(list(model.parameters()), recipe.train.max_grad_norm)
        optimizer.step()
    optimizer_work, peak = live.work, live.peak
    optimizer.zero_grad()
    return StepCost(held, peak, False, work, calls, optimizer_work, _counts(model))


def _autocast(wanted: bool) -> Any:
    return torch.autocast("cpu", torch.bfloat16) if wanted else nullcontext()


def _validate(model: nn.Module, decoded: Lengths, scored: Lengths, beams: int, live: LiveStorages) -> None:
    """Go through what a validation allocates most in: the encoder and first word of a decoding, and a loss."""
    base = t5_of(cast("Any", model))
    model.eval()
    live.enter_phase("activations")
    with torch.no_grad():
        if decoded:
            longest = max(source for source, _ in decoded)
            ids = torch.full((len(decoded), longest), WORD)
            mask = torch.ones_like(ids)
            states = base.encoder(ids, attention_mask=mask).last_hidden_state
            if beams > 1:
                states, mask = (tensor.repeat_interleave(beams, dim=0) for tensor in (states, mask))
            first = torch.full((len(states), 1), WORD)
            base(encoder_outputs=(states,), attention_mask=mask, decoder_input_ids=first, use_cache=True)
            del states, mask, first
        if scored:
            batch = collate(_examples(scored), 0)
            labels = batch.pop("labels")
            summed_loss(base(**batch, use_cache=False).logits, labels)
    model.train()


def _warm_up(optimizer: torch.optim.Optimizer, live: LiveStorages) -> None:
    """Make the optimizer's state by a step on empty gradients, as the first real step would."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for parameter in parameters:
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    states = [t for state in optimizer.state.values() for t in state.values() if isinstance(t, torch.Tensor)]
    live.hold(states, "optimizer")
    optimizer.zero_grad()


@contextmanager
def _gradients_labelled(model: nn.Module, live: LiveStorages) -> Iterator[None]:
    def label(parameter: torch.Tensor) -> None:
        if parameter.grad is not None:
            live.hold([parameter.grad], "gradients")

    trained: list[Any] = [p for p in model.parameters() if p.requires_grad]
    hooks = [p.register_post_accumulate_grad_hook(label) for p in trained]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _hold(live: LiveStorages, model: nn.Module) -> None:
    """Tell the tracker what is there before the step."""
    packed = [tensor for module in model.modules() if isinstance(module, Quantized) for tensor in module.held()]
    live.hold(packed, "quantization")
    known = {id(tensor) for tensor in packed}
    for name, parameter in model.named_parameters():
        if id(parameter) not in known:
            live.hold([parameter], "adapters" if _is_adapter(name) else "weights")
    live.hold(model.buffers(), "weights")


def _is_adapter(name: str) -> bool:
    return any(f".{prefix}" in name for prefix in PEFT_TYPE_TO_PREFIX_MAPPING.values())


def _counts(model: nn.Module) -> dict[str, int]:
    """Return the parameters by dtype, those of adapters and trainable ones apart, and the quantized layers."""
    counts: dict[str, int] = {"trainable": 0, "adapters": 0, "quantized layers": 0, "quantized weights": 0}
    packed = set()
    for module in model.modules():
        if isinstance(module, Quantized):
            layer: Any = module
            packed.add(id(layer.weight))
            counts["quantized layers"] += 1
            counts["quantized weights"] += layer.in_features * layer.out_features
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            counts["trainable"] += parameter.numel()
        if id(parameter) in packed:
            continue
        kind = "adapters" if _is_adapter(name) else str(parameter.dtype).removeprefix("torch.")
        counts[kind] = counts.get(kind, 0) + parameter.numel()
    return counts


def _label(model: nn.Module, batch: Lengths) -> Any:
    """Return how a new tensor's part follows from its shape."""
    config = t5_of(cast("Any", model)).config
    words, heads = int(config.vocab_size), int(config.num_heads)
    lengths = {s for s, _ in batch} | {t for _, t in batch}

    def label(shape: tuple[int, ...], phase: Part) -> Part:
        if shape and shape[-1] == words:
            return "logits"
        if len(shape) >= 3 and shape[-3] == heads and shape[-1] in lengths and shape[-2] in lengths:
            return "attention"
        return phase

    return label


def _examples(batch: Lengths) -> list[Encoded]:
    return [Encoded([WORD] * source, [WORD] * target) for source, target in batch]


@contextmanager
def _fake_friendly(live: LiveStorages) -> Iterator[None]:
    """Let the engine's dropout take random words without drawing any; that they take time is noted."""
    draw = dropout.random_words

    def words(count: int) -> torch.Tensor:
        live.add_work(Operation(draw, (count,), (), ()))
        return torch.empty(count, dtype=torch.int16)

    with patch.object(dropout, "random_words", words):
        yield


def _gpu_attention(kind: str) -> Any:
    """Let SDPA allocate as on a GPU under a mask: the memory-efficient kernel, which never has the scores whole."""
    if kind != "cuda":
        return nullcontext()
    return patch.object(torch.nn.functional, "scaled_dot_product_attention", _memory_efficient)


def _memory_efficient(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
) -> torch.Tensor:
    if attn_mask is not None:
        attn_mask = attn_mask.to(query.dtype).expand(*query.shape[:-1], key.shape[-2])
    kernel = torch.ops.aten._scaled_dot_product_efficient_attention
    out: torch.Tensor = kernel(query, key, value, attn_mask, True, dropout_p, is_causal, scale=scale)[0]
    return out
