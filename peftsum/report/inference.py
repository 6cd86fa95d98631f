"""What a thousand summaries take, by system and by how it is held: the table of the page, and ``inference.csv``."""

from __future__ import annotations

from collections.abc import Sequence

from peftsum.comparison import Comparison, System
from peftsum.cost.inference import ARRANGEMENTS, InferenceCost, software_carbon_intensity
from peftsum.ledger.windows import windows
from peftsum.report.figures.base import csv_text
from peftsum.report.tables import Cell, Row, Table, quantity_cell
from peftsum.report.text import NOT_MEASURED, in_unit, listed
from peftsum.units import format_bytes, format_count, format_grams, format_seconds


def inference_table(comparison: Comparison) -> Table | None:
    """Return a row a system and arrangement; None where no window is known."""
    found = [(system, window) for system in comparison.systems for window in windows(system)]
    if not found:
        return None
    energies = [w.energy_j.ends[1] for _, w in found if w.energy_j.value is not None]
    like = max(energies, default=None)
    rows = [Row(s.system, ARRANGEMENTS[w.arrangement], _window_cells(comparison, s, w, like)) for s, w in found]
    carbon = "Carbon" if comparison.cost.embodied_kg is None else "SCI"
    headers = ["Time", "Energy", carbon, "Peak memory", "Weights in memory", "Written in the window"]
    return Table("What a thousand summaries take, by how the model is held", headers, _best_marked(rows, found))


def _window_cells(comparison: Comparison, system: System, window: InferenceCost, like: float | None) -> list[Cell]:
    cost = comparison.cost
    scored = comparison.cost.embodied_kg is not None
    carbon = software_carbon_intensity(window, cost) if scored else window.disclosure(cost).carbon_g
    if window.readings is None:
        reason = window.reason or NOT_MEASURED
        return [Cell(NOT_MEASURED, (reason,), missing=True), *(Cell(NOT_MEASURED, missing=True) for _ in range(5))]
    weights = window.weights_bytes
    return [
        quantity_cell(window.wall_s, _seconds),
        quantity_cell(window.energy_j, lambda value: in_unit(value, "J", like=like)),
        quantity_cell(carbon, format_grams),
        quantity_cell(window.peak_memory_bytes, format_bytes),
        Cell(format_bytes(weights)) if weights is not None else Cell(NOT_MEASURED, missing=True),
        _window_cell(window),
    ]


def _seconds(value: float) -> str:
    """Return seconds as seconds, so that a column can be compared."""
    return f"{value:.3g} s" if value < 999.5 else f"{format_count(round(value))} s"


def _window_cell(window: InferenceCost) -> Cell:
    assert window.readings is not None
    wall = window.readings.wall_s.value
    time = f"in {format_seconds(wall)}" if wall is not None else "time not measured"
    passes = f"{len(window.pass_s)} passes" if window.pass_s else "one pass, when scored"
    short = ("too short a window to rely on",) if window.short else ()
    return Cell(f"{format_count(window.summaries)} {time}", (passes, *short))


def _best_marked(rows: list[Row], found: Sequence[tuple[System, InferenceCost]]) -> list[Row]:
    """Mark the fastest of the tuned systems, where it is outside the noise of all others."""
    tuned = [(w, row) for (s, w), row in zip(found, rows, strict=True) if s.method != "none"]
    spans = [(w.wall_s.ends, row) for w, row in tuned if w.wall_s.value is not None]
    if len(spans) < 2:
        return rows
    (_, first_high), best = min(spans, key=lambda span: span[0][1])
    if any(ends[0] <= first_high for ends, row in spans if row is not best):
        return rows
    cell = best.cells[0]
    best.cells[0] = Cell(cell.text, cell.details, best=True)
    return rows


def inference_notes(comparison: Comparison) -> list[str]:
    """Return what a reader of the table has to know."""
    if all(not windows(system) for system in comparison.systems):
        return []
    notes = [
        "The range of the time is that of the fastest and the slowest pass over the sample; that of the energy is the "
        "range of the estimate, if it is one, times that of the passes. Longer summaries take longer: an untuned base "
        "may be quick because it says little. Training is not in these figures."
    ]
    if comparison.cost.embodied_kg is not None:
        notes.append(
            "SCI is the Software Carbon Intensity of ISO/IEC 21031:2024, (E × I + M) per thousand summaries: energy "  # noqa: RUF001
            "times grid intensity, and the share of making the device by time."
        )
    if not any(system.inference for system in comparison.systems):
        notes.append(
            "Each system as it was held when it was scored, with its one window. peftsum compare --inference-cost "
            "measures the adapter beside its base, merged, and in 8 bits."
        )
    short = [s.system for s in comparison.systems if any(w.short for w in windows(s))]
    if short:
        notes.append(f"Windows under 2 s, which meters and noise make unreliable: {listed(short)}.")
    return notes


def inference_csv(comparison: Comparison) -> str:
    """Return ``inference.csv``: a row a system and arrangement, with ranges and the window; empty where unknown."""
    rows = [_inference_row(system, window) for system in comparison.systems for window in windows(system)]
    figures = [f"{name}{end}" for name in ("wall_s", "energy_j") for end in ("", "_low", "_high")]
    columns = ["system", "arrangement", "summaries", "passes", "window_s", "short", *figures]
    return csv_text([*columns, "peak_memory_bytes", "weights_bytes", "energy_source", "reason"], rows)


def _inference_row(system: System, window: InferenceCost) -> list[object]:
    readings = window.readings
    figures: list[object] = []
    for quantity in (window.wall_s, window.energy_j):
        figures += [quantity.value, *(quantity.ends if quantity.value is not None else (None, None))]
    return [
        system.system,
        window.arrangement,
        window.summaries,
        len(window.pass_s) or 1,
        readings.wall_s.value if readings else None,
        "yes" if window.short else "no",
        *figures,
        window.peak_memory_bytes.value,
        window.weights_bytes,
        readings.energy_j.source if readings and readings.energy_j.value is not None else None,
        window.reason or (window.energy_j.reason if window.energy_j.value is None else None),
    ]
