"""What summaries cost, a thousand of them, for each way a tuned model can be held in memory."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from peftsum.cost.disclosure import Disclosure, disclose_amounts
from peftsum.cost.quantity import Quantity, of_reading, product, total
from peftsum.cost.readings import Reading, Readings
from peftsum.cost.section import Cost
from peftsum.section import Record

THOUSAND = 1000
SHORT_WINDOW_S = 2.0  # below it counters that move ten times a second, and the start of a phase, weigh too much

Arrangement = Literal[
    "plain", "plain_int8", "unmerged", "merged", "unmerged_int8", "merged_int8", "unmerged_nf4", "merged_nf4"
]
ARRANGEMENTS: dict[Arrangement, str] = {
    "plain": "whole model",
    "plain_int8": "whole model, in 8 bits",
    "unmerged": "adapter beside its base",
    "merged": "adapter merged into its base",
    "unmerged_int8": "adapter beside an 8-bit base",
    "merged_int8": "merged, then in 8 bits",
    "unmerged_nf4": "adapter beside a 4-bit base",
    "merged_nf4": "merged, then in 4 bits",
}


class InferenceCost(Record):
    """One window in which summaries were written, or the reason why there is none."""

    arrangement: Arrangement
    summaries: int = Field(0, ge=0)
    """Written in the window; a dialogue that was read in several passes counts in each."""
    pass_s: tuple[float, ...] = ()
    """Seconds of each pass over the sample, whose spread is the noise of this machine; empty where there was one."""
    pass_j: tuple[float, ...] = ()
    """Joules of each pass by the estimate, where energy is one; empty where a counter was read, once for all passes."""
    readings: Readings | None = None
    """Of the window."""
    weights_bytes: int | None = None
    """Of the model in memory, adapter and quantization's own tensors included; None where they were not counted."""
    reason: str | None = None
    """Why there are no readings."""

    @property
    def short(self) -> bool:
        """Whether the window was too short to be relied on."""
        wall = self.readings.wall_s.value if self.readings else None
        return wall is not None and wall < SHORT_WINDOW_S

    @property
    def noise(self) -> tuple[float, float]:
        """The fastest and the slowest pass, as shares of their mean; (1, 1) where there was one pass."""
        return _spread(self.pass_s)

    @property
    def energy_noise(self) -> tuple[float, float]:
        """The same of the joules of the passes; that of their time where a counter was read once for all."""
        return _spread(self.pass_j) if self.pass_j else self.noise

    @property
    def wall_s(self) -> Quantity:
        """Seconds a thousand summaries; the range is that of the passes."""
        return self._per_thousand(self.readings.wall_s if self.readings else None, "s", self.noise)

    @property
    def energy_j(self) -> Quantity:
        """Joules a thousand summaries; the range is that of the reading times that of the passes."""
        return self._per_thousand(self.readings.energy_j if self.readings else None, "J", self.energy_noise)

    @property
    def peak_memory_bytes(self) -> Quantity:
        """The peak of the window, whatever the number of summaries."""
        reading = self.readings.peak_memory_bytes if self.readings else None
        return of_reading(reading, "B", self.reason or "not recorded")

    def _per_thousand(self, reading: Reading | None, unit: str, noise: tuple[float, float]) -> Quantity:
        known = of_reading(reading, unit, self.reason or "not recorded")
        if self.summaries < 1:
            return known if known.value is None else known.model_copy(update=_nothing("no summary was written"))
        low, high = noise
        share = Quantity(value=1.0, source=known.source, unit="", **({"low": low, "high": high} if low < high else {}))
        return product([known, share], unit, THOUSAND / self.summaries)

    def disclosure(self, cost: Cost) -> Disclosure:
        """Return what a thousand summaries amount to at a place."""
        return disclose_amounts(self.energy_j, self.wall_s, cost)


def _spread(passes: tuple[float, ...]) -> tuple[float, float]:
    if len(passes) < 2 or sum(passes) <= 0:
        return 1.0, 1.0
    mean = sum(passes) / len(passes)
    return min(passes) / mean, max(passes) / mean


def _nothing(reason: str) -> dict[str, object]:
    return {"value": None, "low": None, "high": None, "reason": reason}


def software_carbon_intensity(inference: InferenceCost, cost: Cost) -> Quantity:
    """Return the SCI of ISO/IEC 21031:2024, (E x I + M) per R, where R is a thousand summaries.

    The boundary is the writing of the summaries: training, which happens once, is not in it. Without a stated embodied
    share M is not known, and neither is the SCI: its operational part alone is :attr:`Disclosure.carbon_g`.

    Args:
        inference: a window.
        cost: place and device.
    """
    found = inference.disclosure(cost)
    return total([found.carbon_g, found.embodied_g])
