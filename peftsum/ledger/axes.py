"""What systems can be held against one another by: scores, error rates, costs. Any two make a Pareto front."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from peftsum.comparison import COSTS, ROUGES, Comparison, Point, System, comparable, pareto_front, rouge, train_reading
from peftsum.cost.quantity import Quantity
from peftsum.exceptions import UsageError
from peftsum.ledger.windows import cheapest_window
from peftsum.metrics.selection import selectable_scores
from peftsum.registry import Registry

Unit = Literal["points", "share", "s", "B", "J", "count"]
Values = tuple[float, float | None, float | None]
"""A value, with the ends of its range where it has one."""


@dataclass(frozen=True)
class Axis:
    """One thing that systems differ in."""

    key: str
    label: str
    """In a sentence: "training energy"."""
    unit: Unit
    more_is_better: bool
    of: Callable[[System], Values | None]

    def place(self, system: System) -> float | None:
        """Return where a system stands, more being better whatever the axis."""
        found = self.of(system)
        if found is None:
            return None
        return found[0] if self.more_is_better else -found[0]


def _rouge(name: str) -> Axis:
    def of(system: System) -> Values:
        score = rouge(system, name)
        return score.f, score.low, score.high

    return Axis(name, name.replace("rouge", "ROUGE-"), "points", True, of)


def _rate(name: str) -> Axis:
    def of(system: System) -> Values | None:
        found = system.scores.error_rates.get(name)
        return None if found is None else (found.rate, found.low, found.high)

    return Axis(name, f"rate of {name}", "share", False, of)


def _cost(name: str, unit: Unit) -> Axis:
    def of(system: System) -> Values | None:
        value = COSTS[name].of(system)
        if value is None:
            return None
        reading = train_reading(system, "energy_j") if name == "train_energy_j" else None
        return (value, reading.low, reading.high) if reading is not None else (value, None, None)

    return Axis(name, COSTS[name].label, unit, False, of)


def _inference(key: str, label: str, unit: Unit, of_window: Callable[[System], Quantity | None]) -> Axis:
    def of(system: System) -> Values | None:
        found = of_window(system)
        return None if found is None or found.value is None else (found.value, found.low, found.high)

    return Axis(key, label, unit, False, of)


def _window(name: str) -> Callable[[System], Quantity | None]:
    def of(system: System) -> Quantity | None:
        found = cheapest_window(system)
        return None if found is None else getattr(found, name)

    return of


_COST_UNITS: dict[str, Unit] = {
    "train_energy_j": "J",
    "train_wall_s": "s",
    "peak_memory_bytes": "B",
    "stored_bytes": "B",
    "trainable_params": "count",
}
_ALL = [
    *(_rouge(name) for name in ROUGES),
    *(_rate(name) for name in selectable_scores() if name.startswith(("error_", "heuristic_"))),
    *(_cost(name, unit) for name, unit in _COST_UNITS.items()),
    _inference("inference_energy_j", "energy of a thousand summaries", "J", _window("energy_j")),
    _inference("inference_wall_s", "time of a thousand summaries", "s", _window("wall_s")),
    _inference("inference_memory_bytes", "peak memory when summarizing", "B", _window("peak_memory_bytes")),
]
AXES: Registry[Axis] = Registry("axis", {axis.key: axis for axis in _ALL})


def parse_pair(text: str) -> tuple[str, str]:
    """Return the two axes of ``rougeL,train_energy_j``: what is drawn upwards, and the cost it is held against.

    Raises:
        UsageError: not two, an unknown one, the same twice, or the second is no cost.
    """
    keys = tuple(part.strip() for part in text.split(","))
    if len(keys) != 2 or keys[0] == keys[1]:
        raise UsageError(f"{text!r} is no pair of axes", hint="name two with a comma: rougeL,train_energy_j")
    up, across = (AXES[key] for key in keys)  # an unknown one raises with the nearest
    if across.more_is_better:
        raise UsageError(
            f"{across.key} is no cost to hold {up.key} against", hint=f"turn them round: {across.key},{up.key}"
        )
    return up.key, across.key


def fair(systems: Sequence[System], key: str) -> bool:
    """Return whether an axis can be read across systems: an estimate of energy says nothing beside a measurement."""
    if key == "train_energy_j":
        return comparable(systems, key)
    if key != "inference_energy_j":
        return True
    found = [window.readings.energy_j for s in systems if (window := cheapest_window(s)) and window.readings]
    return len({reading.estimated for reading in found}) <= 1


def placed(comparison: Comparison, up: str, across: str) -> list[Point]:
    """Return the systems that have both axes, as points whose quality is ``up`` with more being better."""
    found = []
    for system in comparison.systems:
        quality, cost = AXES[up].place(system), AXES[across].of(system)
        if quality is not None and cost is not None:
            found.append(Point(system.system, quality, cost[0]))
    return found


def front(comparison: Comparison, up: str, across: str) -> list[Point]:
    """Return the Pareto front of two axes, cheapest first."""
    return pareto_front(placed(comparison, up, across))
