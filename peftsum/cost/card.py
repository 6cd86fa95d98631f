"""What a training took, as a line to paste into a model card, and as the Hub's metadata."""

from __future__ import annotations

import json
from collections.abc import Callable

from peftsum.cost.disclosure import Disclosure, disclose
from peftsum.cost.quantity import Quantity
from peftsum.cost.readings import Readings
from peftsum.cost.section import Cost
from peftsum.units import format_grams, format_kilowatt_hours, format_money, format_seconds


def card_line(readings: Readings | None, cost: Cost) -> str:
    """Return one line of Markdown on the training's energy, carbon and money, each with its range and source.

    Args:
        readings: of the training; None where nothing was recorded.
        cost: the recipe's place, prices and device.
    """
    found = disclose(readings, cost)
    if found.carbon_g.value is None:
        return f"Training energy and carbon are not known: {found.carbon_g.reason}."
    wall = readings.wall_s.value if readings else None
    time = f" in {format_seconds(wall)}" if wall is not None else ""
    estimated = "an estimate" if readings and readings.energy_j.estimated else ""
    source = found.carbon_g.source.removeprefix("estimate: ")
    parts = [
        f"Training took {_shown(found.energy_kwh, format_kilowatt_hours, estimated)} of electricity{time}",
        f"{_shown(found.carbon_g, format_grams, '')} of CO2-equivalent{_embodied(found)}",
        *_money(found),
    ]
    return f"{', '.join(parts)}. Worked out as {source}.{_left_out(found)}"


def _shown(quantity: Quantity, form: Callable[[float], str], prefix: str) -> str:
    low, high = quantity.ends
    notes = [prefix, f"range {form(low)} to {form(high)}" if low < high else ""]
    told = ", ".join(note for note in notes if note)
    return f"{form(quantity.value or 0.0)}{f' ({told})' if told else ''}"


def _embodied(found: Disclosure) -> str:
    if found.embodied_g.value is None:
        return ""
    return f" in use and {format_grams(found.embodied_g.value)} for its share of making the device"


def _money(found: Disclosure) -> list[str]:
    kinds = ((found.electricity_money, "of electricity"), (found.device_money, "of device time"))
    return [f"{format_money(money.value, money.unit)} {what}" for money, what in kinds if money.value is not None]


def _left_out(found: Disclosure) -> str:
    lacking = [
        name
        for name, figure in (("making the device", found.embodied_g), ("water", found.water_l))
        if figure.value is None
    ]
    return f" Not counted: {' and '.join(lacking)}." if lacking else ""


def card_metadata(readings: Readings | None, cost: Cost) -> list[str]:
    """Return the lines of a model card's front matter that the Hub reads: grams of CO2-equivalent, and how they came.

    Nothing is written where the energy is not known.
    """
    found = disclose(readings, cost)
    if found.carbon_g.value is None:
        return []
    place = "" if cost.region is None else cost.region
    return [
        "co2_eq_emissions:",
        f"  emissions: {found.total_carbon_g.value:.4g}",
        f"  source: {json.dumps('peftsum: ' + found.total_carbon_g.source, ensure_ascii=False)}",
        '  training_type: "fine-tuning"',
        *([f'  geographical_location: "{place}"'] if place else []),
    ]
