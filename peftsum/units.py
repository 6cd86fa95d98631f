"""Conversions between units, and numbers as people read them. No other module converts."""

from __future__ import annotations

import math

JOULES_PER_WATT_HOUR = 3600.0
JOULES_PER_KILOWATT_HOUR = 3.6e6
SECONDS_PER_HOUR = 3600.0
GRAMS_PER_KILOGRAM = 1000.0
KIB = 1024
MIB = 1024**2
GIB = 1024**3
GIGA = 1e9
TERA = 1e12
MEGABYTE = 10**6  # file sizes are quoted in decimal megabytes, as file managers and hubs do
SMALLEST_SUM = 0.0001  # of any currency, below which digits say nothing


def watt_hours(energy_j: float) -> float:
    """Return joules as watt-hours."""
    return energy_j / JOULES_PER_WATT_HOUR


def format_bytes(size_bytes: float) -> str:
    """Return a size in decimal units with three digits, for example ``1.34 MB``."""
    size = float(size_bytes)
    for unit in ("B", "kB", "MB", "GB"):
        if abs(size) < 999.5:  # what would round to 1000 takes the next unit
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"


def format_seconds(wall_s: float) -> str:
    """Return a duration, for example ``2 min 05 s``, or ``85 ms`` where a tenth of a second would hide it."""
    if 0 < wall_s < 0.1:
        return f"{wall_s * 1000:.3g} ms"
    if wall_s < 60:
        return f"{wall_s:.1f} s"
    minutes, seconds = divmod(round(wall_s), 60)
    if minutes < 60:
        return f"{minutes} min {seconds:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min"


def format_probability(value: float) -> str:
    """Return a p-value to three digits, for example ``0.0412``, or ``< 0.001``."""
    return f"{value:.3g}" if value >= 0.001 else "< 0.001"


def signed(value: float, digits: int = 1) -> str:
    """Return a number with its sign, a true minus among them; what rounds to 0 has none, for example ``0.0``."""
    text = f"{value:+.{digits}f}".replace("-", "\N{MINUS SIGN}")
    return text if any(digit in text for digit in "123456789") else text[1:]


def format_joules(energy_j: float) -> str:
    """Return an energy in J below 3.6 kJ and in Wh above, for example ``412 J``, ``0.31 J`` or ``1.9 Wh``."""
    if abs(energy_j) >= JOULES_PER_WATT_HOUR:
        return f"{watt_hours(energy_j):.3g} Wh"
    return f"{energy_j:.0f} J" if abs(energy_j) >= 10 or energy_j == 0 else f"{energy_j:.2g} J"


def format_reading(value: float, unit: str) -> str:
    """Return a value in seconds, bytes or joules ("s", "B", "J") in the unit a reader would choose."""
    return {"s": format_seconds, "B": format_bytes, "J": format_joules}[unit](value)


def format_kilowatt_hours(energy_kwh: float) -> str:
    """Return an energy in kWh, in Wh below 1, for example ``1.2 kWh`` or ``0.43 Wh``."""
    return f"{energy_kwh:.3g} kWh" if energy_kwh >= 0.9995 else f"{1000 * energy_kwh:.3g} Wh"


def format_grams(mass_g: float) -> str:
    """Return a mass with three digits, for example ``0.42 g``, ``13 mg`` or ``1.2 kg``."""
    for unit, size_g in (("t", 1e6), ("kg", 1e3), ("g", 1.0), ("mg", 1e-3)):
        if abs(mass_g) >= 0.9995 * size_g or unit == "mg":
            return f"{mass_g / size_g:.3g} {unit}"
    raise AssertionError("every mass has a unit")


def format_money(amount: float, currency: str) -> str:
    """Return an amount of money, with two digits below 1, for example ``12.50 EUR``, ``0.013 EUR``."""
    if 0 < amount < SMALLEST_SUM:
        return f"under {SMALLEST_SUM:.4f} {currency}"
    digits = 2 if amount == 0 else max(2, 1 - math.floor(math.log10(amount)))
    return f"{amount:.{digits}f} {currency}"


def format_count(count: int) -> str:
    """Return a count with thin groups of thousands, for example ``1 310 720``."""
    return f"{count:,}".replace(",", " ")
