"""The device a forecast is for."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from peftsum.section import Record


class Target(Record):
    """What a forecast must know of a device; a GPU of which only the memory is known has no rates."""

    name: str
    """As the user named it: "this machine", "t4", "8GB", "cpu"."""
    title: str
    """For a reader: "NVIDIA T4, 16 GB"."""
    kind: Literal["cpu", "cuda"]
    memory_bytes: int | None = Field(None, gt=0)
    """What a training can have: a GPU's memory as its driver gives it, or the machine's RAM."""
    here: bool = False
    """True for the machine that the forecast runs on: its speed can be measured, not looked up."""
    bf16: bool = True
    """Whether matrices are multiplied in bfloat16 natively."""
    flops: dict[str, float] = Field(default_factory=dict)
    """Peak dense matrix-multiply rate by dtype ("float32", "tf32", "bfloat16", "float16", "int8"), FLOP/s."""
    bytes_per_s: float | None = Field(None, gt=0)
    """Peak memory bandwidth."""
    watts: float | None = Field(None, gt=0)
    """Board power limit (TDP) of a GPU, or of a whole CPU."""
    source: str = ""
    """Where these figures come from: title and address of the data sheet."""
