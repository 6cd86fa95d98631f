"""A forecast in words: values with their ranges."""

from __future__ import annotations

from collections.abc import Callable

from peftsum.cost.forecast import Amount, Forecast
from peftsum.units import JOULES_PER_WATT_HOUR, format_bytes, format_count, format_joules, format_seconds, watt_hours

FORMATS: dict[str, Callable[[float], str]] = {"B": format_bytes, "s": format_seconds, "J": format_joules}


def amount_text(amount: Amount) -> str:
    """Return a value with its range, for example ``3.1 GB (2.9 to 3.4 GB)``; a value without one stands alone."""
    show = _format_of(amount)
    value, low, high = show(amount.value), show(amount.low), show(amount.high)
    return value if low == high else f"{value} ({range_text(amount)})"


def range_text(amount: Amount) -> str:
    """Return the range alone, for example ``2.9 to 3.4 GB``."""
    show = _format_of(amount)
    low, high = show(amount.low), show(amount.high)
    number, _, unit = low.partition(" ")
    same = " " not in unit and high == f"{high.partition(' ')[0]} {unit}"
    return f"{number if same else low} to {high}"


def _format_of(amount: Amount) -> Callable[[float], str]:
    """Return how to write an amount and both its ends: joules in one unit, that of the value."""
    if amount.unit == "J" and amount.value >= JOULES_PER_WATT_HOUR:
        return lambda energy_j: f"{watt_hours(energy_j):.3g} Wh"
    return FORMATS[amount.unit]


def peak_text(forecast: Forecast) -> str:
    """Return the peak of memory with its range."""
    return amount_text(forecast.peak_memory_bytes)


def time_and_energy_text(forecast: Forecast) -> str:
    """Return steps, time and energy as far as they are known."""
    parts = [f"{format_count(forecast.steps)} steps"] if forecast.steps else []
    parts += [amount_text(amount) for amount in (forecast.wall_s, forecast.energy_j) if amount is not None]
    return ", ".join(parts)


def forecast_line(forecast: Forecast) -> str:
    """Return the forecast in one line, for a log."""
    costs = time_and_energy_text(forecast)
    return f"forecast for {forecast.device}: peak memory {peak_text(forecast)}{f'; {costs}' if costs else ''}"
