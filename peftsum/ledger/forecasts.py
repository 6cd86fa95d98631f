"""What was forecast held against what was read, with the error of each run."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import Literal

from peftsum.comparison import Comparison, System
from peftsum.cost.forecast import Amount
from peftsum.cost.readings import Reading

Cost = Literal["peak_memory_bytes", "wall_s", "energy_j"]
FORECAST: tuple[Cost, ...] = ("peak_memory_bytes", "wall_s", "energy_j")


@dataclass(frozen=True)
class Check:
    """One cost of one run: forecast, reading, and by how much the forecast was off."""

    system: str
    cost: Cost
    forecast: Amount | None
    reading: Reading | None

    @property
    def error(self) -> float | None:
        """Forecast less reading, as a share of the reading; None where either is lacking."""
        if self.forecast is None or self.reading is None or not self.reading.value:
            return None
        return self.forecast.value / self.reading.value - 1

    @property
    def inside(self) -> bool | None:
        """Whether the reading lies in the forecast's range; None where either is lacking."""
        if self.forecast is None or self.reading is None or self.reading.value is None:
            return None
        return self.forecast.low <= self.reading.value <= self.forecast.high


def checks(comparison: Comparison) -> list[Check]:
    """Return the checks of every tuned system, three each."""
    return [check for system in comparison.systems if system.method != "none" for check in system_checks(system)]


def system_checks(system: System) -> list[Check]:
    """Return the checks of one system: peak memory, time and energy of its training."""
    return [
        Check(
            system.system,
            cost,
            getattr(system.forecast, cost, None),
            getattr(system.train, cost, None),
        )
        for cost in FORECAST
    ]


def median_error(comparison: Comparison, cost: Cost) -> float | None:
    """Return the median of the sizes of the errors of one cost; None where no run has one."""
    errors = [abs(c.error) for c in checks(comparison) if c.cost == cost and c.error is not None]
    return median(errors) if errors else None
