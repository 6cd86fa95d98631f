"""The cost side of the page: what to choose, forecast against reading, disclosure, inference, and break-even."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from peftsum.comparison import Comparison, System
from peftsum.cost.breakeven import BreakEven
from peftsum.cost.card import card_line
from peftsum.cost.disclosure import Disclosure, disclose, power_usage_effectiveness
from peftsum.cost.grid import grid_intensity
from peftsum.cost.inference import ARRANGEMENTS
from peftsum.cost.quantity import Quantity
from peftsum.ledger.advice import advice
from peftsum.ledger.forecasts import Check, checks, median_error
from peftsum.ledger.order import order_sentences
from peftsum.ledger.payback import paybacks, single_passes
from peftsum.ledger.windows import cheapest_window
from peftsum.report.inference import inference_notes, inference_table
from peftsum.report.tables import Cell, Form, Row, Table, quantity_cell
from peftsum.report.text import NOT_MEASURED, in_unit, listed, signed, span
from peftsum.units import format_count, format_grams, format_kilowatt_hours, format_money

NO_FORECAST = "no forecast"
COST_LABELS = {"peak_memory_bytes": "Peak memory", "wall_s": "Training time", "energy_j": "Training energy"}


@dataclass(frozen=True)
class Ledger:
    """What the section says; a table is None where there is nothing to fill it with."""

    advice: list[str]
    order: list[str]
    forecasts: Table | None
    forecast_note: str
    disclosure: Table | None
    disclosure_notes: list[str]
    inference: Table | None
    inference_notes: list[str]
    paybacks: Table | None
    payback_notes: list[str]
    cards: list[tuple[str, str]]
    """System, and its line for a model card."""


def ledger_section(comparison: Comparison) -> Ledger:
    """Return the cost side of the page."""
    tuned = [s for s in comparison.systems if s.method != "none" and s.train is not None]
    return Ledger(
        advice=advice(comparison),
        order=order_sentences(comparison),
        forecasts=_forecasts(comparison),
        forecast_note=_forecast_note(comparison),
        disclosure=_disclosures(comparison, tuned),
        disclosure_notes=_disclosure_notes(comparison),
        inference=inference_table(comparison),
        inference_notes=inference_notes(comparison),
        paybacks=_paybacks(comparison),
        payback_notes=_payback_notes(comparison),
        cards=[(s.system, card_line(s.train, comparison.cost)) for s in tuned],
    )


# Forecast against reading --------------------------------------------------------------------------------------------


def _forecasts(comparison: Comparison) -> Table | None:
    found = checks(comparison)
    if not found:
        return None
    names = list(dict.fromkeys(check.system for check in found))
    rows = [Row(name, "", [_check_cell(c) for c in found if c.system == name]) for name in names]
    return Table("Forecast against reading, and by how much the forecast was off", list(COST_LABELS.values()), rows)


def _check_cell(check: Check) -> Cell:
    if check.forecast is None:
        return Cell(NO_FORECAST, _read_line(check), missing=True)
    amount = check.forecast
    said = f"forecast {in_unit(amount.value, amount.unit)}"
    if check.error is None:
        return Cell(NOT_MEASURED, (said,), missing=True)
    places = span(in_unit(amount.low, amount.unit), in_unit(amount.high, amount.unit))
    inside = "read inside it" if check.inside else "read outside it"
    return Cell(f"{signed(100 * check.error)} %", (said, *_read_line(check), f"{places}: {inside}"))


def _read_line(check: Check) -> tuple[str, ...]:
    reading = check.reading
    if reading is None or reading.value is None:
        return ()
    return (f"read {in_unit(reading.value, reading.unit)}{', an estimate' if reading.estimated else ''}",)


def _forecast_note(comparison: Comparison) -> str:
    known = {"peak memory": "peak_memory_bytes", "time": "wall_s", "energy": "energy_j"}
    errors = {label: median_error(comparison, cost) for label, cost in known.items()}  # type: ignore[arg-type]
    told = [f"{label} {100 * error:.1f} %" for label, error in errors.items() if error is not None]
    if not told:
        return "No run here has a forecast; peftsum plan makes one, and peftsum train keeps it with the run."
    return f"Median size of the error: {listed(told)}. Above 0 the forecast was too high."


# Disclosure of training ----------------------------------------------------------------------------------------------


def _disclosures(comparison: Comparison, tuned: Sequence[System]) -> Table | None:
    if not tuned:
        return None
    found = {s.system: disclose(s.train, comparison.cost) for s in tuned}
    columns: list[tuple[str, Callable[[Disclosure], Quantity], Form]] = [
        ("Electricity at the site", lambda d: d.energy_kwh, format_kilowatt_hours),
        ("Carbon in use", lambda d: d.carbon_g, format_grams),
        ("Carbon of the device", lambda d: d.embodied_g, format_grams),
        ("Cost of electricity", lambda d: d.electricity_money, _money(comparison)),
        ("Cost of device time", lambda d: d.device_money, _money(comparison)),
        ("Water", lambda d: d.water_l, lambda value: f"{value:.2g} L"),
    ]
    # What the user has not stated is said once below the table, not in every cell.
    shown = [c for i, c in enumerate(columns) if i < 2 or any(c[1](d).value is not None for d in found.values())]
    rows = [Row(name, "", [quantity_cell(of(d), form) for _, of, form in shown]) for name, d in found.items()]
    return Table("What each training amounts to", [header for header, _, _ in shown], rows)


def _money(comparison: Comparison) -> Form:
    return lambda value: format_money(value, comparison.cost.currency or "")


def _disclosure_notes(comparison: Comparison) -> list[str]:
    cost = comparison.cost
    place = power_usage_effectiveness(cost)
    notes = [
        f"Electricity at the site is what was read times the PUE ({place.source.removeprefix('PUE ')}). Carbon is that "
        f"times the grid's intensity: {grid_intensity(cost.region, cost.year, cost.grid_g_per_kwh).source}. Ranges are "
        "those of the reading, the place and the grid multiplied; between systems of one machine most of that cancels."
    ]
    lacking = {
        "cost.region": cost.region is None and cost.grid_g_per_kwh is None,
        "cost.pue": cost.pue is None,
        "cost.price_per_kwh or cost.price_per_hour": cost.price_per_kwh is None and cost.price_per_hour is None,
        "cost.embodied_kg with cost.lifetime_h": cost.embodied_kg is None,
        "cost.water_l_per_kwh with cost.water_source": cost.water_l_per_kwh is None,
    }
    missing = [key for key, absent in lacking.items() if absent]
    if missing:
        notes.append(f"Not stated in the recipes, and so assumed or left out: {listed(missing)}.")
    return notes


# When the dearer pays ------------------------------------------------------------------------------------------------


def _paybacks(comparison: Comparison) -> Table | None:
    found = paybacks(comparison)
    if not found:
        return None
    once = single_passes(comparison)
    rows = [Row(p.system, "", [_payback_cell(figure, once) for figure in (p.energy, p.time)]) for p in found]
    caption = f"After how many summaries each recipe pays, held against {found[0].against}, the cheapest to train"
    return Table(caption, ["By energy, carbon, electricity", "By time, device cost"], rows)


def _payback_cell(found: BreakEven, once: Sequence[str]) -> Cell:
    if found.outcome == "unknown":
        return Cell("not known", (found.reason,), missing=True)
    if found.outcome == "never":
        return Cell("never", (f"{found.dearer} takes more to train, and {found.reason}",))
    low, high = _count(found.low), _count(found.high)
    if found.outcome == "unclear":
        middle = f"{_count(found.summaries)} by the values" if found.summaries is not None else "never by the values"
        return Cell("unclear", (f"{middle}, {low} or more within the ranges, or never: {found.reason}",))
    noise = ("noise not known: timed once",) if {found.dearer, found.cheaper}.intersection(once) else ()
    return Cell(f"after {_count(found.summaries)}", (*((f"range {low} to {high}",) if low != high else ()), *noise))


def _count(summaries: float | None) -> str:
    return format_count(round(summaries or 0.0))


def _payback_notes(comparison: Comparison) -> list[str]:
    if not paybacks(comparison):
        return []
    held = []
    for system in comparison.systems:
        window = cheapest_window(system)
        if system.method != "none" and window is not None:
            held.append(f"{system.system} as {ARRANGEMENTS[window.arrangement]}")
    notes = [
        "The number of summaries from which training and summaries together take less, n = (T1 - T2) / (c2 - c1). "
        "Each system in the arrangement whose summaries were read cheapest: "
        f"{listed(held)}."
        if held
        else "No cost of summaries was recorded."
    ]
    once = [
        name
        for name in single_passes(comparison)
        if any(s.system == name and s.method != "none" for s in comparison.systems)
    ]
    if held and once:
        notes.append(
            f"Timed once, so that the noise of the machine is not in the ranges: {listed(once)}. Two models of one "
            "size take the same time but for noise: --inference-cost repeats the passes, and shows it."
        )
    return notes
