"""What a run is expected to cost: amounts with their range, and the memory of a training part by part."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from peftsum.cost.readings import Unit
from peftsum.section import Record

Part = Literal[
    "process",
    "context",
    "weights",
    "quantization",
    "adapters",
    "gradients",
    "optimizer",
    "activations",
    "attention",
    "logits",
    "workspace",
    "allocator",
]


class Amount(Record):
    """A forecast of one cost: the value, the range it should lie in, and where it comes from."""

    value: float = Field(ge=0, allow_inf_nan=False)
    low: float = Field(ge=0, allow_inf_nan=False)
    high: float = Field(ge=0, allow_inf_nan=False)
    unit: Unit
    """Seconds, bytes or joules."""
    source: str
    """What it was worked out from: "one step on fake tensors", "three steps run here", "TDP of the data sheet"."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not self.low <= self.value <= self.high:
            raise ValueError("an amount lies between its low and its high end")
        return self


class MemoryItem(Record):
    """One part of the memory at the moment of the peak."""

    part: Part
    amount: Amount
    """Bytes."""
    note: str = ""
    """What it holds, for a reader: "60 M weights in bfloat16; 48 linear layers in int8"."""


class Forecast(Record):
    """What a training is expected to take on one device; its items add up to the peak."""

    device: str
    """As ``peftsum plan`` names it: "this machine", "t4", "8GB"."""
    peak_memory_bytes: Amount
    """Comparable with the reading: on a GPU what torch allocates and reserves plus the context, on a CPU the RSS."""
    memory: tuple[MemoryItem, ...]
    steps: int = Field(ge=0)
    """Optimizer steps of the whole recipe."""
    step_s: Amount | None = None
    """Seconds an optimizer step; None where nothing is known of the device's speed."""
    wall_s: Amount | None = None
    """Seconds of the whole training, validation included."""
    energy_j: Amount | None = None
    """Joules of the whole training."""
    notes: tuple[str, ...] = ()
    """What a reader should know: "8-bit takes more memory here than bfloat16 would"."""
