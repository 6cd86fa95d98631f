"""``results.csv``: a row a system, empty where unmeasured; and the reason for every empty cell."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass

from peftsum.comparison import COSTS, ROUGES, Comparison, System, rouge, train_reading
from peftsum.cost.readings import Reading
from peftsum.metrics.errors.fitted import Checked
from peftsum.report.ledger_columns import ledger_cells, ledger_columns, ledger_reason
from peftsum.units import format_bytes

Value = str | int | float | None
NEAR = 0.05  # of 0 or 1: where every system is as near, differences are smaller than a detector's own mistakes


@dataclass(frozen=True)
class EmptyCells:
    """Cells of ``results.csv`` that are empty for one reason."""

    systems: list[str]
    columns: list[str]
    reason: str


def error_names(comparison: Comparison) -> list[str]:
    """Return the error rates that any system has, in the order they were scored."""
    return list(dict.fromkeys(name for system in comparison.systems for name in system.scores.error_rates))


def shown_errors(comparison: Comparison) -> list[str]:
    """Return the error rates fit to be shown: detectors that people checked first, then the heuristics by their names.

    A rule that nobody has checked stays in ``results.csv``; its rate beside checked ones would be taken for one.
    """
    from peftsum.metrics.errors import RULES

    names = [name for name in error_names(comparison) if name not in RULES]
    return sorted(names, key=lambda name: name.startswith("heuristic_"))


def checked_errors(name: str) -> Checked | None:
    """Return how the detector did on the first set that labels its error, FacEval but for one; None for no detector."""
    from peftsum.metrics.errors import FITTED, fitted

    return next(iter(fitted().detectors[name].checked.values())) if name in FITTED else None


def unranking_errors(comparison: Comparison) -> list[str]:
    """Return the shown error rates that are near 0 in every system, or near 1 in every one: they rank nothing."""
    found = []
    for name in shown_errors(comparison):
        rates = [s.scores.error_rates[name].rate for s in comparison.systems if name in s.scores.error_rates]
        if len(rates) > 1 and (max(rates) <= NEAR or min(rates) >= 1 - NEAR):
            found.append(name)
    return found


def further_names(comparison: Comparison) -> list[str]:
    """Return the scores of added metrics that any system has, in the order they were scored."""
    return list(dict.fromkeys(name for system in comparison.systems for name in system.scores.further))


def further_costs(comparison: Comparison) -> list[str]:
    """Return the readings of added meters that any training has, by their names in ``METERS``."""
    return list(dict.fromkeys(name for system in comparison.systems if system.train for name in system.train.further))


def result_columns(comparison: Comparison) -> list[str]:
    """Return the columns of ``results.csv``."""
    scores = [f"{name}_{part}" for name in ROUGES for part in ("f", "low", "high")]
    sizes = ["trainable_params", "total_params", "adapter_bytes"]
    costs = ["peak_memory_bytes", "train_wall_s", "train_energy_j", "train_energy_source"]
    ledger = ledger_columns(comparison)
    costs += [f"train_{name}" for name in further_costs(comparison)]
    rates = [*error_names(comparison), *further_names(comparison)]
    return ["system", "method", "quantize", "base", "n", *scores, *sizes, *costs, *ledger, *rates]


def result_row(comparison: Comparison, system: System) -> dict[str, Value]:
    """Return one system's cells by column; None where unmeasured. Scores and rates are fractions."""
    row: dict[str, Value] = {
        "system": system.system,
        "method": system.method,
        "quantize": system.quantize,
        "base": system.base,
        "n": system.scores.n,
    }
    for name in ROUGES:
        score = rouge(system, name)
        row |= {f"{name}_f": score.f, f"{name}_low": score.low, f"{name}_high": score.high}
    memory = COSTS["peak_memory_bytes"].of(system)
    energy = train_reading(system, "energy_j")
    row |= {
        "trainable_params": system.trainable_params,
        "total_params": system.total_params,
        "adapter_bytes": system.adapter_bytes,
        "peak_memory_bytes": None if memory is None else round(memory),
        "train_wall_s": COSTS["train_wall_s"].of(system),
        "train_energy_j": COSTS["train_energy_j"].of(system),
        "train_energy_source": _source(energy),
    }
    row |= ledger_cells(comparison, system)
    for name in further_costs(comparison):
        reading = further_reading(system, name)
        row[f"train_{name}"] = reading.value if reading is not None else None
    further = system.scores.further
    row |= {name: further[name].mean if name in further else None for name in further_names(comparison)}
    rates = system.scores.error_rates
    return row | {name: rates[name].rate if name in rates else None for name in error_names(comparison)}


def further_reading(system: System, name: str) -> Reading | None:
    """Return what an added meter read of a training; None where it was not there."""
    return system.train.further.get(name) if system.train else None


def _source(energy: Reading | None) -> str | None:
    if energy is None or energy.value is None:
        return None
    return energy.source if not energy.estimated or "estimate" in energy.source else f"estimate: {energy.source}"


def results_csv(comparison: Comparison) -> str:
    """Return ``results.csv``; numbers keep every digit, so that they read back equal."""
    text = io.StringIO()
    writer = csv.DictWriter(text, result_columns(comparison), lineterminator="\n")
    writer.writeheader()
    writer.writerows(result_row(comparison, system) for system in comparison.systems)
    return text.getvalue()


def empty_cells(comparison: Comparison) -> list[EmptyCells]:
    """Return why each empty cell of ``results.csv`` is empty, equal reasons of the same columns together."""
    by_system: dict[tuple[str, str], list[str]] = {}
    for system in comparison.systems:
        for column, value in result_row(comparison, system).items():
            if value is None:
                by_system.setdefault((system.system, _reason(comparison, system, column)), []).append(column)
    grouped: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for (name, reason), columns in by_system.items():
        grouped.setdefault((reason, tuple(columns)), []).append(name)
    return [EmptyCells(systems, list(columns), reason) for (reason, columns), systems in grouped.items()]


def _reason(comparison: Comparison, system: System, column: str) -> str:
    if (reason := ledger_reason(comparison, system, column)) is not None:
        return reason
    if column == "adapter_bytes" and system.method == "full":
        size = "" if system.model_bytes is None else f" of {format_bytes(system.model_bytes)}"
        return f"full fine-tuning saves a whole model{size}, not an adapter"
    trained = column in ("trainable_params", "adapter_bytes", "peak_memory_bytes") or column.startswith("train_")
    if system.method == "none" and trained:
        return "the untuned base was not trained: it has no adapter and no cost of training"
    reading = _reading(system, column)
    if reading is not None and reading.reason:
        return reading.reason
    if system.train is None and reading is None and column in ("peak_memory_bytes", "train_wall_s", "train_energy_j"):
        return "the costs of its training were not recorded"
    if column == "train_energy_source":
        return "the costs of its training were not recorded"
    return "not recorded for this system"


def _reading(system: System, column: str) -> Reading | None:
    if column == "train_wall_s":
        return train_reading(system, "wall_s")
    if column == "peak_memory_bytes":
        return train_reading(system, "peak_memory_bytes")
    if (further := further_reading(system, column.removeprefix("train_"))) is not None:
        return further
    return train_reading(system, "energy_j") if column.startswith("train_energy") else None
