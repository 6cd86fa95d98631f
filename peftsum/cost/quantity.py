"""A figure worked out from readings: a value with its range, unit and source, and sums and products that keep them.

Ranges propagate by interval arithmetic: every quantity here is positive, so low goes with low and high with high. That
is wide where two factors come from one model; :mod:`peftsum.cost.ranges` compares such figures without that.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from pydantic import Field, model_validator

from peftsum.cost.readings import Reading
from peftsum.section import Record


class Quantity(Record):
    """A figure with its range. Unknown is ``value=None`` with a reason, never 0."""

    value: float | None = Field(ge=0, allow_inf_nan=False)
    low: float | None = Field(None, ge=0, allow_inf_nan=False)
    """Lower end of the range; None where the value has none."""
    high: float | None = Field(None, ge=0, allow_inf_nan=False)
    """Upper end of the range."""
    unit: str
    """"J", "kWh", "g CO2e", "L", a currency; also "s" and "B"."""
    source: str
    """What it was worked out from."""
    reason: str | None = None
    """Why the value is None."""

    @model_validator(mode="after")
    def _holds_together(self) -> Self:
        if self.value is None and not self.reason:
            raise ValueError("a quantity without a value needs a reason")
        if self.value is not None and self.low is not None and self.high is not None:
            slack = 1e-9 * self.high
            if not self.low - slack <= self.value <= self.high + slack:
                raise ValueError(f"{self.value} is not in its range of {self.low} to {self.high}")
        return self

    @property
    def ends(self) -> tuple[float, float]:
        """The range; a value without one is its own.

        Raises:
            ValueError: it has no value.
        """
        if self.value is None:
            raise ValueError(f"an unknown quantity has no range: {self.reason}")
        return (self.value if self.low is None else self.low, self.value if self.high is None else self.high)


def unknown(unit: str, reason: str) -> Quantity:
    """Return the quantity that nothing is known of, and the reason why."""
    return Quantity(value=None, unit=unit, source="none", reason=reason)


def of_reading(reading: Reading | None, unit: str, otherwise: str = "not recorded") -> Quantity:
    """Return a reading as a quantity.

    Args:
        reading: a cost as it was read.
        unit: of the quantity where there is no reading.
        otherwise: the reason where there is no reading.
    """
    if reading is None:
        return unknown(unit, otherwise)
    if reading.value is None:
        return unknown(reading.unit, reading.reason or otherwise)
    # A meter may give one end only, or ends that do not hold the value: the value is then the missing end.
    low = None if reading.low is None else min(reading.low, reading.value)
    high = None if reading.high is None else max(reading.high, reading.value)
    return Quantity(value=reading.value, low=low, high=high, unit=reading.unit, source=reading.source)


def product(factors: Sequence[Quantity], unit: str, scale: float = 1.0) -> Quantity:
    """Return the product of quantities, ranges included; unknown where a factor is.

    Args:
        factors: at least one.
        unit: of the product.
        scale: a constant that turns the factors' units into ``unit``.
    """
    lost = next((factor for factor in factors if factor.value is None), None)
    if lost is not None:
        return unknown(unit, lost.reason or "not known")
    value = low = high = scale
    for factor in factors:
        assert factor.value is not None
        value *= factor.value
        low, high = low * factor.ends[0], high * factor.ends[1]
    return _made(value, low, high, unit, factors, " \N{MULTIPLICATION SIGN} ")


def total(parts: Sequence[Quantity]) -> Quantity:
    """Return the sum of quantities of one unit, ranges included; unknown where a part is."""
    unit = parts[0].unit
    if any(part.unit != unit for part in parts):
        raise ValueError(f"quantities in {', '.join(sorted({part.unit for part in parts}))} cannot be added up")
    lost = next((part for part in parts if part.value is None), None)
    if lost is not None:
        return unknown(unit, lost.reason or "not known")
    value = sum(part.value for part in parts if part.value is not None)
    return _made(value, sum(p.ends[0] for p in parts), sum(p.ends[1] for p in parts), unit, parts, " + ")


def _made(value: float, low: float, high: float, unit: str, made_of: Sequence[Quantity], between: str) -> Quantity:
    ranged = any(part.low is not None or part.high is not None for part in made_of)
    source = between.join(dict.fromkeys(part.source for part in made_of))
    ends = {"low": min(low, value), "high": max(high, value)} if ranged else {}
    return Quantity(value=value, unit=unit, source=source, **ends)
