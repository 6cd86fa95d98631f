"""The cost side of ``results.csv``: forecasts with their error, carbon and money, and a thousand summaries."""

from __future__ import annotations

from typing import get_args

from peftsum.comparison import Comparison, System
from peftsum.cost.disclosure import disclose
from peftsum.cost.inference import Arrangement, InferenceCost
from peftsum.cost.quantity import Quantity
from peftsum.ledger.forecasts import Check, system_checks
from peftsum.ledger.windows import evaluation_window

FORECAST = {"peak_memory_bytes": "peak_memory_bytes", "wall_s": "train_wall_s", "energy_j": "train_energy_j"}
TRAINING = (
    "train_energy_low_j",
    "train_energy_high_j",
    "train_site_kwh",
    "train_carbon_g",
    "train_carbon_low_g",
    "train_carbon_high_g",
    "train_embodied_g",
    "train_electricity_cost",
    "train_device_cost",
    "cost_currency",
)
PER_THOUSAND = ("wall_s_per_1000", "energy_j_per_1000", "peak_memory_bytes")
NOT_FORECAST = "nothing was forecast before this training"

Value = str | int | float | None


def measured_arrangements(comparison: Comparison) -> list[Arrangement]:
    """Return the arrangements that were measured for any system."""
    found = {window.arrangement for system in comparison.systems for window in system.inference}
    return [name for name in get_args(Arrangement) if name in found]


def ledger_columns(comparison: Comparison) -> list[str]:
    """Return the columns: those of arrangements only where these were measured."""
    forecasts = [column for name in FORECAST.values() for column in (f"forecast_{name}", f"forecast_{name}_error")]
    scored = [f"evaluate_{part}" for part in ("summaries", *PER_THOUSAND)]
    held = [f"inference_{name}_{part}" for name in measured_arrangements(comparison) for part in PER_THOUSAND]
    return [*forecasts, *TRAINING, *scored, *held]


def ledger_cells(comparison: Comparison, system: System) -> dict[str, Value]:
    """Return one system's cells; None where unknown. An error is a share of the reading: 0.03 was 3 % too high."""
    return {column: value for column, (value, _) in _cells(comparison, system).items()}


def ledger_reason(comparison: Comparison, system: System, column: str) -> str | None:
    """Return why a cell of one of these columns is empty; None where it is none of them."""
    return _cells(comparison, system).get(column, (None, None))[1]


def _cells(comparison: Comparison, system: System) -> dict[str, tuple[Value, str | None]]:
    """Return value and reason of each cell; the reason counts where the value is None."""
    cells: dict[str, tuple[Value, str | None]] = {}
    trained = system.method != "none"
    untrained = "the untuned base was not trained: it has no adapter and no cost of training"
    for check in system_checks(system):
        forecast, error = _check_cells(check)
        name = FORECAST[check.cost]
        cells[f"forecast_{name}"] = forecast if trained else (None, untrained)
        cells[f"forecast_{name}_error"] = error if trained else (None, untrained)
    for column, quantity_or_text in _training(comparison, system).items():
        cells[column] = quantity_or_text if trained else (None, untrained)
    scored = evaluation_window(system)
    cells["evaluate_summaries"] = (scored.summaries if scored else None, "not recorded for this system")
    cells |= {f"evaluate_{part}": cell for part, cell in _window_cells(scored).items()}
    by_name = {window.arrangement: window for window in system.inference}
    for name in measured_arrangements(comparison):
        absent = f"{name.replace('_', ' ')} is no way to hold this system"
        cells |= {f"inference_{name}_{part}": c for part, c in _window_cells(by_name.get(name), absent).items()}
    return cells


def _check_cells(check: Check) -> tuple[tuple[Value, str | None], tuple[Value, str | None]]:
    if check.forecast is None:
        return (None, NOT_FORECAST), (None, NOT_FORECAST)
    lost = check.reading.reason if check.reading is not None else "the costs of its training were not recorded"
    return (check.forecast.value, None), (check.error, lost or "the reading is 0")


def _training(comparison: Comparison, system: System) -> dict[str, tuple[Value, str | None]]:
    found = disclose(system.train, comparison.cost)
    reading = system.train.energy_j if system.train else None
    no_range = "a counter's reading, which has no range" if reading and reading.value is not None else None
    lost = no_range or (reading.reason if reading else None) or "the costs of its training were not recorded"
    carbon = found.carbon_g
    ends = carbon.ends if carbon.value is not None else (None, None)
    currency = comparison.cost.currency
    return {
        "train_energy_low_j": (reading.low if reading else None, lost),
        "train_energy_high_j": (reading.high if reading else None, lost),
        "train_site_kwh": _cell(found.energy_kwh),
        "train_carbon_g": _cell(carbon),
        "train_carbon_low_g": (ends[0], carbon.reason),
        "train_carbon_high_g": (ends[1], carbon.reason),
        "train_embodied_g": _cell(found.embodied_g),
        "train_electricity_cost": _cell(found.electricity_money),
        "train_device_cost": _cell(found.device_money),
        "cost_currency": (currency, "no price is stated"),
    }


def _cell(quantity: Quantity) -> tuple[Value, str | None]:
    return quantity.value, quantity.reason


def _window_cells(
    window: InferenceCost | None, absent: str = "not recorded for this system"
) -> dict[str, tuple[Value, str | None]]:
    if window is None:
        return dict.fromkeys(PER_THOUSAND, (None, absent))
    figures = (window.wall_s, window.energy_j, window.peak_memory_bytes)
    return {part: _cell(figure) for part, figure in zip(PER_THOUSAND, figures, strict=True)}
