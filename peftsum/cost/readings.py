"""What a cost is: a value with its unit, its scope and its source, or a reason why there is none."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from peftsum.section import Record

Unit = Literal["s", "B", "J"]

NOTHING_TRAINED = "nothing was trained"


class Reading(Record):
    """One cost. Unmeasured is ``value=None`` with a reason, never 0."""

    value: float | None = Field(ge=0, allow_inf_nan=False)
    """In the unit below; never negative."""
    unit: Unit
    """Seconds, bytes or joules."""
    scope: str
    """What it covers: "this process", "GPU 0", "CPU package 0"."""
    source: str
    """Counter or model it comes from: "perf_counter", "NVML counter", "estimate: 8 W a busy core"."""
    estimated: bool = False
    """True when a model gave it, not a counter."""
    low: float | None = Field(None, ge=0, allow_inf_nan=False)
    """Lower end of an estimate's range, same unit."""
    high: float | None = Field(None, ge=0, allow_inf_nan=False)
    """Upper end of an estimate's range, same unit."""
    reason: str | None = None
    """Why the value is None; or, beside a value, why it is an estimate or less sure than usual."""

    @model_validator(mode="after")
    def _value_or_reason(self) -> Self:
        if self.value is None and not self.reason:
            raise ValueError("a reading without a value needs a reason")
        return self


def unmeasured(unit: Unit, scope: str, reason: str) -> Reading:
    """Return the reading of a cost that nothing could read: no value, and the reason why."""
    return Reading(value=None, unit=unit, scope=scope, source="none", reason=reason)


class Readings(Record):
    """The costs of one phase (load, train, evaluate)."""

    wall_s: Reading
    peak_memory_bytes: Reading
    """On CUDA the peak allocated by torch; on a CPU the peak resident set of the process in the phase."""
    energy_j: Reading
    energy_parts: tuple[Reading, ...] = ()
    """Joules by component (each GPU, CPU package, RAM), each with its own source; together ``energy_j``."""
    idle_energy_j: Reading | None = None
    """The share of ``energy_j`` that the machine would have taken doing nothing."""
    reserved_memory_bytes: Reading | None = None
    """On CUDA the peak that torch's allocator held; None on a CPU."""
    memory_over_start_bytes: Reading | None = None
    """The peak less what was in use when the phase began."""
    memory_parts: dict[str, int] = Field(default_factory=dict)
    """Bytes of the parts that torch can count ("weights", "gradients", …); of a training, after its first step."""
    codecarbon_j: Reading | None = None
    """codecarbon's figure for the same phase, where the recipe asks for it: a check, in no sum."""
    further: dict[str, Reading] = Field(default_factory=dict)
    """What meters besides those of time, memory and energy read, by their names in ``METERS``."""

    def by_meter(self) -> dict[str, Reading]:
        """Return every meter's reading by its name in ``METERS``."""
        main = {"wall_s": self.wall_s, "peak_memory_bytes": self.peak_memory_bytes, "energy_j": self.energy_j}
        return main | self.further


def untrained() -> Readings:
    """Return what a training takes that there was none of: no time and no energy, which is known and not measured."""
    nothing = {"scope": "training", "source": NOTHING_TRAINED}
    return Readings(
        wall_s=Reading(value=0.0, unit="s", **nothing),
        peak_memory_bytes=unmeasured("B", "training", NOTHING_TRAINED),
        energy_j=Reading(value=0.0, unit="J", **nothing),
    )
