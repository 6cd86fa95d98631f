"""Readings put together: two sides of one phase, or two parts of a run that was resumed."""

from __future__ import annotations

from collections.abc import Callable

from peftsum.cost.readings import Reading, Readings, unmeasured

PARTS = "; then "  # between the sources of two parts of a run


def combine(first: Readings, second: Readings) -> Readings:
    """Return the cost of a run in two parts: wall time and energy add up, the peak is the higher one.

    A cost that one part did not measure is not measured for the whole.

    Args:
        first: the part before.
        second: the part after.
    """
    return Readings(
        wall_s=add(first.wall_s, second.wall_s, PARTS),
        peak_memory_bytes=_joined(first.peak_memory_bytes, second.peak_memory_bytes, PARTS, max),
        energy_j=add(first.energy_j, second.energy_j, PARTS),
    )


def add(first: Reading, second: Reading, between: str) -> Reading:
    """Return the sum of two readings of one unit, ranges included.

    Args:
        first: one reading.
        second: the other.
        between: put between their scopes, and between their sources, where they differ.
    """
    return _joined(first, second, between, lambda one, other: one + other)


def _joined(first: Reading, second: Reading, between: str, join: Callable[[float, float], float]) -> Reading:
    if first.unit != second.unit:
        raise ValueError(f"a reading in {first.unit} and one in {second.unit} cannot be put together")
    scope = _text(first.scope, second.scope, between)
    if first.value is None or second.value is None:
        reasons = [f"{part.scope}: {part.reason}" for part in (first, second) if part.value is None]
        return unmeasured(first.unit, scope, _text(reasons[0], reasons[-1], "; "))
    ranged = {first.low, first.high, second.low, second.high} != {None}
    return Reading(
        value=join(first.value, second.value),
        unit=first.unit,
        scope=scope,
        source=_text(first.source, second.source, between),
        estimated=first.estimated or second.estimated,
        # A side without a range is a counter's: it shifts the range and does not widen it.
        low=join(_or(first.low, first.value), _or(second.low, second.value)) if ranged else None,
        high=join(_or(first.high, first.value), _or(second.high, second.value)) if ranged else None,
        reason=_text(first.reason or "", second.reason or "", "; ") or None,
    )


def _or(value: float | None, instead: float) -> float:
    return instead if value is None else value


def _text(first: str, second: str, between: str) -> str:
    """Join two texts, and say nothing twice when a run was resumed many times."""
    parts = dict.fromkeys([*first.split(between), *second.split(between)])
    return between.join(part for part in parts if part)
