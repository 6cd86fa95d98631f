"""From what is alive in a step to the memory of a device: its parts, with what the process and the allocator add."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, get_args

from peftsum.cost.forecast import Amount, MemoryItem, Part
from peftsum.units import format_count

if TYPE_CHECKING:
    from peftsum.forecast.step import StepCost

COUNTED = "one step on fake tensors"
HELD: tuple[Part, ...] = ("weights", "quantization", "adapters", "optimizer")


@dataclass(frozen=True)
class Calibrated:
    """A figure that real runs gave, with its range."""

    value: float
    low: float
    high: float
    source: str

    def bytes(self, factor: float = 1.0) -> Amount:
        """Return it times ``factor``, in bytes."""
        return Amount(
            value=self.value * factor, low=self.low * factor, high=self.high * factor, unit="B", source=self.source
        )


@lru_cache(maxsize=1)
def calibration() -> dict[str, Calibrated]:
    """Return the figures shipped in ``calibration.json``, by name."""
    text = (files("peftsum.forecast") / "calibration.json").read_text(encoding="utf-8")
    return {name: Calibrated(**entry) for name, entry in json.loads(text).items()}


def memory_items(cost: StepCost, kind: str, *, tokens_held: int = 0) -> tuple[MemoryItem, ...]:
    """Return the parts of the memory at the peak.

    Args:
        cost: of the step.
        kind: of the device, "cpu" or "cuda".
        tokens_held: tokens of the data in memory, which on a CPU are the same process's.
    """
    parts = cost.peak.parts
    items = [
        MemoryItem(part=part, amount=exact(size), note=_note(part, cost))
        for part in get_args(Part)
        if (size := parts.get(part, 0))
    ]
    known = calibration()
    made = sum(size for part, size in parts.items() if part not in HELD)
    if kind == "cpu":
        process = known["process_bytes"].bytes()
        data = known["token_bytes"].bytes(tokens_held)
        note = "the interpreter and its libraries" + (f"; {format_count(tokens_held)} tokens" if tokens_held else "")
        margin = known["cpu_growth"]
        slack = Amount(
            value=made * (margin.value - 1),
            low=made * (margin.low - 1),
            high=made * (margin.high - 1),
            unit="B",
            source=margin.source,
        )
        return (
            MemoryItem(part="process", amount=total([process, data], process.source), note=note),
            *items,
            MemoryItem(part="allocator", amount=slack, note="what the C library keeps between blocks"),
        )
    blocks = known["cuda_workspace_bytes"].bytes()
    return (
        MemoryItem(part="context", amount=known["cuda_context_bytes"].bytes(), note="CUDA context and kernels"),
        *items,
        MemoryItem(part="workspace", amount=blocks, note="cuBLAS"),
        MemoryItem(
            part="allocator", amount=known["cuda_margin"].bytes(made), note="reserved by torch, not in use at the peak"
        ),
    )


def total(amounts: list[Amount], source: str) -> Amount:
    """Return the sum of amounts of one unit, the ranges added as if they erred together."""
    return Amount(
        value=sum(a.value for a in amounts),
        low=sum(a.low for a in amounts),
        high=sum(a.high for a in amounts),
        unit=amounts[0].unit,
        source=source,
    )


def exact(size: float) -> Amount:
    """Return bytes that were counted."""
    return Amount(value=size, low=size, high=size, unit="B", source=COUNTED)


def _note(part: Part, cost: StepCost) -> str:
    counts = cost.counts
    if part == "weights":
        by_dtype = [f"{format_count(n)} in {name}" for name, n in counts.items() if name in {"float32", "bfloat16"}]
        return ", ".join(by_dtype)
    if part == "quantization":
        layers = counts["quantized layers"]
        return f"{format_count(counts['quantized weights'])} weights of {layers} linear layers, scales included"
    if part == "adapters":
        return f"{format_count(counts['adapters'])} in fp32"
    if part in {"gradients", "optimizer"}:
        return f"of {format_count(counts['trainable'])} trainable weights"
    return {
        "activations": "kept from the forward pass for the backward pass",
        "attention": "bias, scores and their softmax",
        "logits": "a block of the head's output",
        "workspace": "gradients of activations, and temporary",
    }.get(part, "")
