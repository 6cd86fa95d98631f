"""Figures of one machine held against one another: what of their ranges cancels, and what remains.

An estimate is a quantity (busy core-seconds, resident GiB-seconds) times an uncertain factor (watts). The factor of one
machine is the same in all its runs: were a core to take 15 W and not 8, then in every run. So two estimates of the same
model on the same machine are compared at the same factor, and their wide ranges cancel; what is left is the order by
busy core-seconds. Parts with different factors (CPU, RAM) are varied each by itself. Counters have no factor, and
estimates of two machines, or of two models, share none.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

from peftsum.cost.readings import Reading, Readings

LEVELS = ("low", "value", "high")
MOST_FACTORS = 6  # 3 to the power of them are tried


@dataclass(frozen=True)
class Share:
    """A part of a figure that one factor decides; ``factor`` is None where nothing is uncertain."""

    factor: str | None
    low: float
    value: float
    high: float

    def at(self, level: str) -> float:
        """Return the part with its factor at the low end, the value or the high end."""
        return float(getattr(self, level))

    def times(self, scale: float) -> Share:
        """Return the part of a figure that is larger or smaller by a constant."""
        return Share(self.factor, scale * self.low, scale * self.value, scale * self.high)


def shares(readings: Readings | None, machine: str) -> tuple[Share, ...] | None:
    """Return the energy of a phase by uncertain factor; None where it has no value.

    Args:
        readings: of the phase. Its energy's parts are taken one by one where they are known and add up.
        machine: what tells the machine apart from others.
    """
    if readings is None or readings.energy_j.value is None:
        return None
    parts = [part for part in readings.energy_parts if part.value is not None]
    added = sum(part.value or 0.0 for part in parts)
    if not parts or abs(added - readings.energy_j.value) > 0.01 * readings.energy_j.value:
        parts = [readings.energy_j]
    return tuple(_share(part, machine) for part in parts)


def _share(reading: Reading, machine: str) -> Share:
    assert reading.value is not None
    low = reading.value if reading.low is None else min(reading.low, reading.value)
    high = reading.value if reading.high is None else max(reading.high, reading.value)
    if low == high:
        return Share(None, low, reading.value, high)
    return Share(f"{machine}|{reading.scope}|{reading.source}", low, reading.value, high)


def scenarios(figures: Sequence[Sequence[Share]]) -> Iterator[list[float]]:
    """Yield the figures' totals for each choice of the factors' levels, a factor at one level in all of them.

    Args:
        figures: each a sequence of parts. The totals of :data:`LEVELS` "value" come among them.
    """
    factors = list(dict.fromkeys(s.factor for figure in figures for s in figure if s.factor is not None))
    if len(factors) > MOST_FACTORS:  # all at one level: too many to vary each by itself
        choices: Iterator[tuple[str, ...]] = iter((level,) * len(factors) for level in LEVELS)
    else:
        choices = product(LEVELS, repeat=len(factors))
    for choice in choices:
        level: dict[str | None, str] = {None: "value", **dict(zip(factors, choice, strict=True))}
        yield [sum(share.at(level[share.factor]) for share in figure) for figure in figures]


def same_factors(one: Sequence[Share], other: Sequence[Share]) -> bool:
    """Return whether two figures are uncertain by the same factors, and by some."""
    ours, theirs = ({s.factor for s in figure if s.factor is not None} for figure in (one, other))
    return bool(ours) and ours == theirs
